"""The hooks between the stages: a persona's `llm_node` and `tts_node` in place of its model and its synthesis."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from agent.context import RunContext
from agent.persona import Agent, overrides
from agent.providers.base import LLM, TTS, ChatMessage, LLMEvent, SpokenAudio, TextDelta, ToolSpec

__all__ = ["llm_through", "tts_through"]

T = TypeVar("T")


def llm_through(agent: Agent, llm: LLM | None, context: Callable[[], RunContext]) -> LLM | None:
    """`llm`, or the persona's `llm_node` if it has one."""
    return _NodeLLM(agent, llm, context) if llm is not None and overrides(agent, "llm_node") else llm


def tts_through(agent: Agent, tts: TTS | None, context: Callable[[], RunContext]) -> TTS | None:
    """`tts`, or the persona's `tts_node` if it has one."""
    return _NodeTTS(agent, tts, context) if tts is not None and overrides(agent, "tts_node") else tts


class _NodeLLM:
    def __init__(self, agent: Agent, llm: LLM, context: Callable[[], RunContext]) -> None:
        self._agent = agent
        self._llm = llm
        self._context = context
        self.name = llm.name

    async def warm(self) -> None:
        await self._llm.warm()

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        async for event in _items(self._agent.llm_node(self._context(), messages, tools)):
            if isinstance(event, str):
                yield TextDelta(event)
            elif isinstance(event, LLMEvent):
                yield event
            elif event is not None:
                raise TypeError(f"llm_node gave {type(event).__name__}, which is neither text nor a model event")


class _NodeTTS:
    def __init__(self, agent: Agent, tts: TTS, context: Callable[[], RunContext]) -> None:
        self._agent = agent
        self._tts = tts
        self._context = context
        self.name = tts.name

    async def warm(self) -> None:
        await self._tts.warm()

    async def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        async for audio in _items(self._agent.tts_node(self._context(), text)):
            if isinstance(audio, bytes | bytearray):
                yield SpokenAudio(bytes(audio))
            elif isinstance(audio, SpokenAudio):
                yield audio
            elif audio is not None:
                raise TypeError(f"tts_node gave {type(audio).__name__}, which is not audio")


async def _items(given: Any) -> AsyncIterator[Any]:
    """Iterate over a node's result: a stream, an awaitable of one, a single item, or None. Closes the stream."""
    if inspect.isawaitable(given):
        given = await given
    if given is None:
        return
    if isinstance(given, str | bytes | TextDelta | SpokenAudio):
        yield given
        return
    try:
        async for item in given:
            yield item
    finally:
        if hasattr(given, "aclose"):
            with suppress(Exception):
                await given.aclose()
