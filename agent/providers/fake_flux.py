"""A scripted recogniser that detects turns, for tests: `FakeFlux((1000, StartOfTurn()), (1800, EndOfTurn("yes")))`.

Its steps have the names of Deepgram's Flux.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from agent.providers.base import Expectations, Transcript
from agent.turns import signals
from telephony.media.frames import AudioFrame

__all__ = ["EagerEndOfTurn", "EndOfTurn", "FakeFlux", "FluxStep", "StartOfTurn", "TurnResumed", "Update"]


@dataclass(frozen=True, slots=True)
class StartOfTurn:
    pass


@dataclass(frozen=True, slots=True)
class Update:
    """All words of the turn so far."""

    text: str


@dataclass(frozen=True, slots=True)
class EagerEndOfTurn:
    text: str
    p: float = 0.5


@dataclass(frozen=True, slots=True)
class TurnResumed:
    pass


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    text: str
    p: float = 0.9


FluxStep = StartOfTurn | Update | EagerEndOfTurn | TurnResumed | EndOfTurn | Exception


class _FakeFluxStream:
    turns = True

    def __init__(self, stt: FakeFlux) -> None:
        self._stt = stt
        self._queue: asyncio.Queue[Transcript | signals.Signal | Exception | None] = asyncio.Queue()

    def push(self, frame: AudioFrame) -> None:
        stt = self._stt
        if stt.began_at is None:
            stt.began_at = frame.at - 0.02
        stt.frames.append(frame)
        while stt.script and (frame.at - stt.began_at) * 1000 >= stt.script[0][0] - 0.1:
            self._say(stt.script.popleft()[1], frame.at)

    def flush(self) -> None:
        self._stt.flushed_at.append(asyncio.get_running_loop().time())
        text, self._stt.words = self._stt.words, ""
        self._queue.put_nowait(Transcript(text, final=True))

    def expect(self, expectations: Expectations) -> None:
        """It follows its script only."""

    async def __aiter__(self) -> AsyncIterator[Transcript | signals.Signal]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def aclose(self) -> None:
        self._stt.closed += 1
        self._queue.put_nowait(None)

    def _say(self, step: FluxStep, at: float) -> None:
        put = self._queue.put_nowait
        match step:
            case StartOfTurn():
                put(signals.SpeechStarted(at - 0.1, at))
            case Update(text=text):
                self._stt.words = text
                put(Transcript(text, final=False))
            case EagerEndOfTurn(text=text, p=p):
                self._stt.words = text
                put(Transcript(text, final=False))
                put(signals.EndOfTurn(p, at, eager=True))
            case TurnResumed():
                put(signals.TurnResumed(at))
            case EndOfTurn(text=text, p=p):
                self._stt.words = ""
                put(Transcript(text, final=True))
                put(signals.EndOfTurn(p, at))
            case Exception():
                self._stt.refuses = self._stt.refuses_after
                put(step)


class FakeFlux:
    """A recogniser that detects turns, as Deepgram's Flux does. `script`: (ms of received audio over all its streams,
    what it emits); an exception breaks the stream."""

    name = "fake-flux"
    turns = True

    def __init__(self, *script: tuple[float, FluxStep]) -> None:
        self.script = deque(script)
        self.words = ""  # of the turn so far
        self.frames: list[AudioFrame] = []
        self.flushed_at: list[float] = []
        self.began_at: float | None = None
        self.streams = 0
        self.languages: list[str] = []
        self.closed = 0
        self.refuses: Exception | None = None  # raised instead of opening a stream
        self.refuses_after: Exception | None = None  # the same, once a stream has broken

    def stream(self, *, language: str, expectations: Expectations) -> _FakeFluxStream:
        self.streams += 1
        self.languages.append(language)
        if self.refuses is not None:
            raise self.refuses
        return _FakeFluxStream(self)

    async def warm(self) -> None:
        """Nothing to load."""
