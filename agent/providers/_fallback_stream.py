"""One call's speech recognition by whichever recognizer works."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from agent.providers._resting import Resting
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
from agent.turns.signals import EndOfTurn, Signal
from telephony.media.frames import FRAME_MS, AudioFrame

__all__ = ["FallbackStream"]

_KEPT_FRAMES = 30_000 // FRAME_MS  # of one utterance


@dataclass(slots=True)
class _Utterance:
    """Speech whose text has not arrived yet."""

    frames: deque[AudioFrame] = field(default_factory=lambda: deque(maxlen=_KEPT_FRAMES))
    flushed: bool = False


class FallbackStream:
    """Implements `SpeechStream`."""

    def __init__(
        self,
        recognizers: Sequence[STT],
        resting: Resting,
        report: Callable[[ProviderError], None],
        final_s: float,
        language: str,
        expectations: Expectations,
    ) -> None:
        self._recognizers = recognizers
        self._resting = resting
        self._report = report
        self._final_s = final_s
        self._language = language
        self._expectations = expectations
        self._out: asyncio.Queue[Transcript | Signal | ProviderError | None] = asyncio.Queue()
        self._utterances: deque[_Utterance] = deque()
        self._interims = True  # wanted
        self._failed: set[int] = set()  # since the last text
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._stream: SpeechStream | None = None
        self._open()

    @property
    def turns(self) -> bool:
        """Whether the current recogniser detects turns."""
        return self._stream is not None and bool(getattr(self._recognizers[self._index], "turns", False))

    def push(self, frame: AudioFrame) -> None:
        if not self._utterances or self._utterances[-1].flushed:
            self._utterances.append(_Utterance())
        self._utterances[-1].frames.append(frame)
        self._do(lambda stream: stream.push(frame))

    def flush(self) -> None:
        if not self._utterances or self._utterances[-1].flushed:
            self._utterances.append(_Utterance())
        self._utterances[-1].flushed = True
        self._arm()
        self._do(lambda stream: stream.flush())

    def expect(self, expectations: Expectations) -> None:
        self._expectations = expectations
        self._do(lambda stream: stream.expect(expectations))

    def want_interims(self, wanted: bool) -> None:
        self._interims = wanted
        if isinstance(stream := self._stream, InterimsOnDemand):
            stream.want_interims(wanted)

    async def __aiter__(self) -> AsyncIterator[Transcript | Signal]:
        while (item := await self._out.get()) is not None:
            if isinstance(item, ProviderError):
                raise item
            yield item

    async def aclose(self) -> None:
        self._disarm()
        stream, self._stream = self._stream, None
        if self._pump is not None:
            self._pump.cancel()
        self._out.put_nowait(None)
        if stream is not None:
            await stream.aclose()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    # --- the stream of one recognizer -------------------------------------------------------------------------------

    def _open(self) -> None:
        """A stream of the first recognizer that has not failed since the last text. Raises ProviderError."""
        errors: list[ProviderError] = []
        for index in self._resting.order():
            if index in self._failed:
                continue
            if errors:
                self._report(errors[-1])
            stt = self._recognizers[index]
            try:
                stream = stt.stream(language=self._language, expectations=self._expectations)
            except Exception as error:  # noqa: BLE001 - an adapter that lets a vendor's exception through
                errors.append(self._note(index, error))
                continue
            self._stream, self._index = stream, index
            self.want_interims(self._interims)
            self._pump = self._spawn(self._read(stream, stt.name))
            return
        raise errors[-1] if errors else ProviderUnavailable("stt", "no recognizer is left")

    async def _read(self, stream: SpeechStream, name: str) -> None:
        failure: Exception = ProviderUnavailable(name, "the stream ended")
        try:
            async for item in stream:
                if isinstance(item, Transcript) and item.final:
                    self._heard()
                elif isinstance(item, EndOfTurn) and not item.eager:
                    self._turn_over()
                self._out.put_nowait(item)
        except Exception as error:  # noqa: BLE001 - as above
            failure = error
        if stream is self._stream:
            self._broke(failure)

    def _heard(self) -> None:
        self._failed.clear()
        if self._utterances and self._utterances[0].flushed:
            self._utterances.popleft()
        self._arm()

    def _turn_over(self) -> None:
        """The recognizer ended a turn unasked: no other provider needs to hear that again."""
        if self._utterances and not self._utterances[-1].flushed:
            self._utterances.pop()

    def _do(self, work: Callable[[SpeechStream], None]) -> None:
        if self._stream is None:
            return
        try:
            work(self._stream)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        """Switch to the next one, with all speech that has no text yet; the last one's failure is raised."""
        failure = self._note(self._index, error)
        stream, self._stream = self._stream, None
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()
        if stream is not None:
            self._spawn(_close(stream))
        self._disarm()
        if len(self._failed) == len(self._recognizers):
            self._out.put_nowait(failure)
            return
        self._report(failure)
        try:
            self._open()
        except ProviderError as none_left:
            self._out.put_nowait(none_left)
            return
        self._replay()

    def _replay(self) -> None:
        self._arm()
        opened = self._stream
        for utterance in list(self._utterances):
            self._do(partial(_give, utterance))
            if self._stream is not opened:
                return  # that one broke, too, and its successor has got everything

    def _note(self, index: int, error: Exception) -> ProviderError:
        name = self._recognizers[index].name
        failure = error if isinstance(error, ProviderError) else ProviderError(name, f"{type(error).__name__}: {error}")
        self._failed.add(index)
        self._resting.failed(index, failure)
        return failure

    # --- time -------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Set the time limit for the oldest utterance's text, unless this is the last recogniser: then the session's
        limit counts."""
        self._disarm()
        if self._utterances and self._utterances[0].flushed and len(self._failed) + 1 < len(self._recognizers):
            wait_s = max(self._final_s, getattr(self._recognizers[self._index], "final_s", 0.0))
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._too_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self._stream is not None:
            self._broke(ProviderTimeout(self._recognizers[self._index].name, f"no text within {self._final_s} s"))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _give(utterance: _Utterance, stream: SpeechStream) -> None:
    for frame in utterance.frames:
        stream.push(frame)
    if utterance.flushed:
        stream.flush()


async def _close(stream: SpeechStream) -> None:
    with suppress(Exception):
        await stream.aclose()
