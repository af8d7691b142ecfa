"""Several providers as one: the first working one of a list is used.

A provider that fails rests for a while, so that not every turn pays for it; the next request after that probes it. If
all providers rest, all are tried in order. Objects are shared among the calls of a process, so that one call's
experience spares the others. A call learns of failures through `reporting`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol, TypeVar, runtime_checkable

from agent.persona import Agent, PersonaAware
from agent.providers._fallback_stream import FallbackStream
from agent.providers._resting import Resting
from agent.providers.base import (
    LLM,
    STT,
    TTS,
    ChatMessage,
    Expectations,
    LLMEvent,
    ProviderError,
    ProviderTimeout,
    SpokenAudio,
    TextDelta,
    ToolCall,
    ToolSpec,
)

__all__ = ["FallbackLLM", "FallbackReport", "FallbackSTT", "FallbackTTS", "ReportsFallbacks", "reporting"]

P = TypeVar("P", LLM, STT, TTS)
T = TypeVar("T")
FallbackReport = Callable[[ProviderError], None]
COOL_DOWN_S = 30.0
_log = logging.getLogger(__name__)


@runtime_checkable
class ReportsFallbacks(Protocol):
    """A provider that handles failures itself."""

    def reporting(self, report: FallbackReport) -> Any:
        """The same provider for one call, which reports each failure that another provider compensated for."""


def reporting(provider: P, report: FallbackReport) -> P:
    """For a session: `provider`, calling `report` with the failures that it hides, if any."""
    return provider.reporting(report) if isinstance(provider, ReportsFallbacks) else provider


def _unreported(error: ProviderError) -> None:
    _log.warning("asking the next provider: %s", error)


class FallbackLLM:
    """Before the first delta, the next model is asked if one fails or is silent for `first_token_s`; the session
    handles later failures. The last model has no time limit of its own."""

    def __init__(self, models: Sequence[LLM], *, first_token_s: float = 2.5, cool_down_s: float = COOL_DOWN_S) -> None:
        self._models = tuple(models)
        self._first_token_s = first_token_s
        self._resting = Resting(len(self._models), cool_down_s)
        self._report: FallbackReport = _unreported
        self.name = _names(self._models)

    def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        return _first_that_works(
            self._models,
            lambda model: model.chat(messages, tools),
            _is_content,
            self._first_token_s,
            self._resting,
            self._report,
        )

    def for_persona(self, agent: Agent) -> FallbackLLM:
        """Those that follow the persona (its rules) get it; a resting provider rests for all personas."""
        return self._copy([m.for_persona(agent) if isinstance(m, PersonaAware) else m for m in self._models])

    def reporting(self, report: FallbackReport) -> FallbackLLM:
        copy = self._copy(self._models)
        copy._report = report
        return copy

    def _copy(self, models: Sequence[LLM]) -> FallbackLLM:
        copy = FallbackLLM(models, first_token_s=self._first_token_s)
        copy._resting, copy._report = self._resting, self._report
        return copy

    async def warm(self) -> None:
        """All of them; raises ProviderError only if none gets warm."""
        await _warm(self._models, self._resting)


class FallbackTTS:
    """Before the first audio of a sentence, the next voice is asked if one fails or is silent for `first_audio_s`. The
    session handles later failures."""

    def __init__(self, voices: Sequence[TTS], *, first_audio_s: float = 1.5, cool_down_s: float = COOL_DOWN_S) -> None:
        self._voices = tuple(voices)
        self._first_audio_s = first_audio_s
        self._resting = Resting(len(self._voices), cool_down_s)
        self._report: FallbackReport = _unreported
        self.name = _names(self._voices)

    def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        return _first_that_works(
            self._voices,
            lambda tts: tts.synthesize(text, voice=voice, language=language),
            lambda audio: bool(audio.pcm),
            self._first_audio_s,
            self._resting,
            self._report,
        )

    def reporting(self, report: FallbackReport) -> FallbackTTS:
        copy = FallbackTTS(self._voices, first_audio_s=self._first_audio_s)
        copy._resting, copy._report = self._resting, report
        return copy

    async def warm(self) -> None:
        """All of them; raises ProviderError only if none gets warm."""
        await _warm(self._voices, self._resting)


class FallbackSTT:
    """A stream that fails, or has no text `final_s` after a flush, is replaced by one of the next recogniser, which
    gets the speech without text (30 s at most)."""

    def __init__(self, recognizers: Sequence[STT], *, final_s: float = 1.2, cool_down_s: float = COOL_DOWN_S) -> None:
        self._recognizers = tuple(recognizers)
        self._final_s = final_s
        self.final_s = max((getattr(stt, "final_s", 0.0) for stt in self._recognizers), default=0.0)
        self._resting = Resting(len(self._recognizers), cool_down_s)
        self._report: FallbackReport = _unreported
        self.name = _names(self._recognizers)
        self.whole_turns = any(getattr(stt, "whole_turns", False) for stt in self._recognizers)
        self.turns = bool(getattr(self._recognizers[0], "turns", False))  # behind others that don't, silence ends turns

    def stream(self, *, language: str, expectations: Expectations) -> FallbackStream:
        """Raises ProviderError when no recognizer has a stream."""
        return FallbackStream(self._recognizers, self._resting, self._report, self._final_s, language, expectations)

    def reporting(self, report: FallbackReport) -> FallbackSTT:
        copy = FallbackSTT(self._recognizers, final_s=self._final_s)
        copy._resting, copy._report = self._resting, report
        return copy

    async def warm(self) -> None:
        """All of them; raises ProviderError only if none gets warm."""
        await _warm(self._recognizers, self._resting)


async def _first_that_works(
    providers: Sequence[P],
    open_stream: Callable[[P], AsyncIterator[T]],
    counts: Callable[[T], bool],
    first_s: float,
    resting: Resting,
    report: FallbackReport,
) -> AsyncGenerator[T, None]:
    order = resting.order()
    for index in order:
        last = index == order[-1]
        begun = False
        try:
            limited = _limited(providers[index].name, open_stream(providers[index]), counts, None if last else first_s)
            async with aclosing(limited) as stream:
                async for item in stream:
                    begun = begun or counts(item)
                    yield item
        except ProviderError as error:
            resting.failed(index, error)
            if begun or last:
                raise
            report(error)
            continue
        return


async def _limited(
    name: str, stream: AsyncIterator[T], counts: Callable[[T], bool], first_s: float | None
) -> AsyncGenerator[T, None]:
    """The stream with a time limit for its first relevant item, raising only provider errors."""
    until = None if first_s is None else asyncio.get_running_loop().time() + first_s
    try:
        while True:
            async with asyncio.timeout_at(until):
                item = await anext(stream)
            until = None if counts(item) else until
            yield item
    except StopAsyncIteration:
        return
    except ProviderError:
        raise
    except TimeoutError as error:
        raise ProviderTimeout(name, f"nothing for {first_s} s") from error
    except Exception as error:
        raise ProviderError(name, f"{type(error).__name__}: {error}") from error
    finally:
        if (close := getattr(stream, "aclose", None)) is not None:
            with suppress(Exception):
                await close()


async def _warm(providers: Sequence[LLM] | Sequence[STT] | Sequence[TTS], resting: Resting) -> None:
    results = await asyncio.gather(*(provider.warm() for provider in providers), return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for index, result in enumerate(results):
        if isinstance(result, ProviderError):
            resting.failed(index, result)
            _log.warning("not warm: %s", result)
    others = [error for error in errors if not isinstance(error, ProviderError)]
    if others or len(errors) == len(providers):
        raise (others or errors)[0]


def _names(providers: Sequence[LLM] | Sequence[STT] | Sequence[TTS]) -> str:
    return " | ".join(provider.name for provider in providers)


def _is_content(event: LLMEvent) -> bool:
    return isinstance(event, ToolCall) or (isinstance(event, TextDelta) and bool(event.text))
