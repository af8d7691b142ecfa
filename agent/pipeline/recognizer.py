"""One call's speech recognition: pieces of speech go in, exactly one final text comes out for each, or a failure.

A piece's audio is kept until its text arrives, so that a broken stream can be reopened and given the audio again.
A recogniser that detects turns gets one endless piece; its unsolicited results become signals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from agent.clock import is_our_end
from agent.persona import Agent
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import (
    STT,
    Expectations,
    InterimsOnDemand,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    SpeechStream,
    Transcript,
)
from agent.turns.backchannel import COMMON
from agent.turns.signals import Final, Interim, Signal
from telephony.media.frames import AudioFrame

__all__ = ["Piece", "PieceDone", "Recognizer", "RecognizerEvent", "RecognizerLimits", "StreamLost", "StreamWell"]

_PATIENCE = 5  # further attempts with a recogniser that nothing wakes
_PATIENCE_S = 2.0  # apart


@dataclass(slots=True, eq=False)
class Piece:
    """Speech up to one flush."""

    frames: deque[AudioFrame] = field(default_factory=deque)
    whole: bool = False  # it contains the turn from its start: its text replaces earlier text
    keep: int | None = None  # the latest frames, if not all


@dataclass(frozen=True, slots=True)
class PieceDone:
    """The final text of a flushed piece; None: recognition failed for good."""

    piece: Piece
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class StreamLost:
    """The stream broke. `for_good`: it will not be reopened."""

    for_good: bool = False


@dataclass(frozen=True, slots=True)
class StreamWell:
    """The stream works again after it was lost."""


RecognizerEvent = Signal | PieceDone | StreamLost | StreamWell
FailureTold = Callable[[ProviderError, Literal["retry", "canned", "ignored"]], None]


@dataclass(frozen=True, slots=True)
class RecognizerLimits:
    """`alone`: there is no VAD to signal speech, so the recogniser must reopen the stream itself."""

    final_ms: float
    retries: int
    backoff_ms: float
    alone: bool = False


class Recognizer:
    def __init__(
        self,
        stt: STT,
        agent: Agent,
        tasks: SessionTasks,
        limits: RecognizerLimits,
        *,
        heard: Callable[[RecognizerEvent], None],
        failed: FailureTold,
    ) -> None:
        """`agent`: gives the language and the expectations. `failed` gets each failure."""
        self.limits = limits
        self._stt = stt
        self._agent = agent
        self._tasks = tasks
        self._heard = heard
        self._told = failed
        self._stream: SpeechStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._open: Piece | None = None
        self._awaiting: deque[Piece] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._reopening: asyncio.TimerHandle | None = None
        self._failed = 0  # in a row
        self._slow = 0
        self._lost = False
        self._language = ""
        self._interims = True  # wanted
        self._closed = False

    @property
    def detects_turns(self) -> bool:
        """Whether the provider in use signals the ends of turns."""
        return self._stream is not None and bool(getattr(self._stream, "turns", getattr(self._stt, "turns", False)))

    def begin(self, piece: Piece) -> None:
        """Speech begins; `piece.frames` is the audio just before. An open piece ends and its text is not needed."""
        if self._stream is not None and not self._awaiting and self._language != self._agent.language:
            self._disconnect()  # after a handoff while the caller was speaking
        self._open = None
        self.wake()
        self._open = piece
        for frame in tuple(piece.frames):
            self._to_stream(frame)

    def wake(self) -> None:
        """Someone is speaking: open the stream if necessary."""
        if self._stream is None and self._reopening is None:
            self._reconnect()

    def push(self, frame: AudioFrame) -> None:
        piece = self._open
        if piece is not None:
            piece.frames.append(frame)
            while piece.keep is not None and len(piece.frames) > piece.keep:
                piece.frames.popleft()
            self._to_stream(frame)

    def flush(self) -> None:
        """The piece is complete: request its text."""
        piece, self._open = self._open, None
        if piece is None:
            return
        self._awaiting.append(piece)
        if self._stream is None and self._reopening is None:
            self._fail(ProviderUnavailable(self._stt.name, "no stream"))
        else:
            self._flush_stream()

    def agent_changed(self, agent: Agent) -> None:
        """Another persona expects other words, or speaks another language."""
        self._agent = agent
        if self._stream is None:
            return
        idle = (self._open is None or self._open.keep is not None) and not self._awaiting
        if idle and agent.language != self._language:
            self._disconnect()
            self._reconnect()
            return
        with self._guard():
            self._stream.expect(self._expectations())

    def want_interims(self, wanted: bool) -> None:
        """Whether anybody uses texts before the final one."""
        if wanted is not self._interims:
            self._interims = wanted
            self._tell_interims()

    def start(self) -> None:
        """Open the stream ahead of the first speech."""
        self._connect()

    def close(self) -> None:
        self._closed = True
        for timer in (self._timer, self._reopening):
            if timer is not None:
                timer.cancel()
        self._awaiting.clear()
        self._open = None
        self._disconnect()

    # --- the stream -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._reopening = None
        self._language = self._agent.language
        with self._guard():
            self._stream = self._stt.stream(language=self._language, expectations=self._expectations())
            self._tell_interims()
            self._reader = self._tasks.spawn(self._read(self._stream), "recognizer")

    def _tell_interims(self) -> None:
        if isinstance(stream := self._stream, InterimsOnDemand):
            stream.want_interims(self._interims)

    def _expectations(self) -> Expectations:
        rules = self._agent.rules
        if rules is None:
            return Expectations()
        expected = rules.expectations()
        return replace(expected, phrases=(*expected.phrases, *COMMON.get(self._language.partition("-")[0], ())))

    def _reconnect(self) -> None:
        self._connect()
        for piece in list(self._awaiting):
            for frame in tuple(piece.frames):
                self._to_stream(frame)
            self._flush_stream()
        if self._open is not None:
            for frame in tuple(self._open.frames):
                self._to_stream(frame)

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
        if stream is not None:
            self._tasks.let_go(_close(stream))

    def _to_stream(self, frame: AudioFrame) -> None:
        if self._stream is not None:
            with self._guard():
                self._stream.push(frame)

    def _flush_stream(self) -> None:
        if self._stream is None:
            return
        self._arm()
        with self._guard():
            self._stream.flush()

    async def _read(self, stream: SpeechStream) -> None:
        try:
            async for item in stream:
                if stream is not self._stream:
                    return
                self._came(item)
            error: ProviderError = ProviderUnavailable(self._stt.name, "the stream ended")
        except ProviderError as provider_error:
            error = provider_error
        except BaseException as other:
            if is_our_end(other):
                raise
            error = ProviderError(self._stt.name, f"{type(other).__name__}: {other}")
        if stream is self._stream and not self._closed:
            self._fail(error)

    def _came(self, item: Transcript | Signal) -> None:
        if self._lost:
            self._lost = False
            self._heard(StreamWell())
        if self.limits.alone or not isinstance(item, Transcript):
            self._failed = self._slow = 0
        if not isinstance(item, Transcript):
            self._heard(item)
        elif not item.final:
            self._heard(Interim(item.text, self._now()))
        elif self._awaiting:
            piece = self._awaiting.popleft()
            self._failed = self._slow = 0
            self._arm()
            self._heard(PieceDone(piece, item))
        else:
            self._heard(Final(item.text, self._now(), item.confidence))

    def _now(self) -> float:
        return self._tasks.loop.time()

    # --- faults ---------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._awaiting:
            self._timer = self._tasks.loop.call_later(self.limits.final_ms / 1000, self._too_late)

    def _too_late(self) -> None:
        self._timer = None
        self._fail(ProviderTimeout(self._stt.name, f"no final text within {self.limits.final_ms:.0f} ms"))

    def _fail(self, error: ProviderError) -> None:
        if self._closed:
            return
        self._disconnect()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        limits = self.limits
        self._failed += 1
        self._slow += isinstance(error, ProviderTimeout)
        self._lost = True
        if error.retryable and self._failed <= limits.retries and self._slow <= min(1, limits.retries):
            self._told(error, "retry")
            self._reopen_in(limits.backoff_ms * self._failed / 1000)
            self._tell_lost()
            return
        lost, self._awaiting = list(self._awaiting), deque()
        self._told(error, "canned" if lost else "ignored")
        patient = limits.alone and error.retryable and self._failed <= limits.retries + _PATIENCE
        if patient:
            self._reopen_in(_PATIENCE_S)
        elif not limits.alone:
            self._failed = self._slow = 0  # the next piece of speech tries again
        for piece in lost:
            self._heard(PieceDone(piece, None))
        self._tell_lost(for_good=limits.alone and not patient)

    def _tell_lost(self, *, for_good: bool = False) -> None:
        # Later, since it may have broken in the middle of a call into it.
        self._tasks.loop.call_soon(lambda: None if self._closed else self._heard(StreamLost(for_good)))

    def _reopen_in(self, seconds: float) -> None:
        self._reopening = self._tasks.loop.call_later(seconds, self._reconnect)

    def _guard(self) -> _Guard:
        return _Guard(self)

    def broke(self, error: Exception) -> None:
        """A call into the stream has raised."""
        failure = error if isinstance(error, ProviderError) else ProviderError(self._stt.name, repr(error))
        self._fail(failure)


class _Guard:
    """Turns exceptions from the stream into recogniser failures."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self._recognizer.broke(error)
            return True
        return False


async def _close(stream: SpeechStream) -> None:
    with suppress(Exception):
        await stream.aclose()
