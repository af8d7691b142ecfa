"""Providers that answer at once: for measuring what the gateway itself takes.

STT gives a fixed sentence when it is flushed, the LLM a fixed answer, TTS a 440 Hz tone of 5 s in one piece.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Sequence
from functools import cache

from agent.providers.base import ChatMessage, Expectations, LLMEvent, SpokenAudio, TextDelta, ToolSpec, Transcript
from telephony.media.frames import SAMPLE_RATE, AudioFrame

__all__ = ["InstantLLM", "InstantSTT", "InstantTTS", "tone"]

_SENTENCE = "This is what the caller said."
_ANSWER = "This is what the agent answers."
_TONE_HZ = 440
_TONE_SECONDS = 5
_AMPLITUDE = 8000


@cache
def tone() -> SpokenAudio:
    """The tone, made once a process (a parent that forks makes it for its children)."""
    step = 2 * math.pi * _TONE_HZ / SAMPLE_RATE
    samples = array("h", (round(_AMPLITUDE * math.sin(step * n)) for n in range(SAMPLE_RATE * _TONE_SECONDS)))
    return SpokenAudio(samples.tobytes())


class _InstantStream:
    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._transcripts: asyncio.Queue[Transcript | None] = asyncio.Queue()

    def push(self, frame: AudioFrame) -> None:
        """The audio is not looked at."""

    def flush(self) -> None:
        self._transcripts.put_nowait(Transcript(self._sentence, final=True))

    def expect(self, expectations: Expectations) -> None:
        """It hears its sentence, whatever is expected."""

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        while (transcript := await self._transcripts.get()) is not None:
            yield transcript

    async def aclose(self) -> None:
        self._transcripts.put_nowait(None)


class InstantSTT:
    name = "instant"

    def __init__(self, sentence: str = _SENTENCE) -> None:
        self._sentence = sentence

    def stream(self, *, language: str, expectations: Expectations) -> _InstantStream:
        return _InstantStream(self._sentence)

    async def warm(self) -> None:
        """Nothing to load."""


class InstantLLM:
    name = "instant"

    def __init__(self, answer: str = _ANSWER) -> None:
        self._answer = answer

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        yield TextDelta(self._answer)

    async def warm(self) -> None:
        """Nothing to load."""


class InstantTTS:
    name = "instant"

    async def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        yield tone()

    async def warm(self) -> None:
        tone()
