"""An agent's speech on its way to the room's clock: a queue with positions, pause, clear and waiting.

The loop pushes, pauses and clears; the media thread takes one frame a tick. A lock guards the few fields that both
threads change; it is held only for single assignments, never while audio is split or mixed.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from threading import Lock

from telephony.media.frames import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE
from telephony.rooms.mixing import faded

__all__ = ["PlayoutQueue"]

_HISTORY_FRAMES = 512  # 10 s of "taken at" times; earlier times are extrapolated at the rate of the audio
_SAMPLES_A_MS = SAMPLE_RATE // 1000
MOST_GAIN = 4.0  # 12 dB: more only adds noise and clipping


class PlayoutQueue:
    """Implements `AudioOutput`. `wake` runs a callable on the loop, from any thread (`loop.call_soon_threadsafe`)."""

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake = wake
        self._lock = Lock()
        self._frames: deque[tuple[bytes, int]] = deque()  # a frame and the position (samples) of its end
        self._announced: deque[bytes] = deque()
        self._partial = bytearray()
        self._queued = 0  # samples
        self._played = 0  # samples
        # position of a frame's end, time it was taken
        self._taken: deque[tuple[int, float]] = deque(maxlen=_HISTORY_FRAMES)
        self._paused = False
        self._closed = False
        self._gain = 1.0
        self._fade: tuple[float, float] | None = None  # target gain, and its change per frame; None: reached
        self._waiters: list[tuple[int, asyncio.Future[float | None]]] = []
        self._next_wait: float = math.inf  # samples: the nearest position that anybody waits for

    @property
    def queued_ms(self) -> float:
        return self._queued / _SAMPLES_A_MS

    @property
    def played_ms(self) -> float:
        return self._played / _SAMPLES_A_MS

    @property
    def paused(self) -> bool:
        return self._paused

    def push(self, pcm: bytes) -> None:
        """Queue audio; see `AudioOutput.push`. Dropped if closed."""
        if self._closed:
            return
        if self._announced:
            self._announced.clear()
        start = self._queued - len(self._partial) // 2
        self._queued += len(pcm) // 2
        if self._partial:
            self._partial += pcm
            pcm = bytes(self._partial)
            self._partial.clear()
        if len(pcm) == FRAME_BYTES:
            self._frames.append((pcm, start + FRAME_SAMPLES))  # the same object goes out: no copy
            return
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        for offset in range(0, whole, FRAME_BYTES):
            self._frames.append((pcm[offset : offset + FRAME_BYTES], start + offset // 2 + FRAME_SAMPLES))
        self._partial += pcm[whole:]

    def announce(self, pcm: bytes) -> None:
        """Play this while there is nothing else to play, paused or not; a push ends it. It has no position. The only
        method that may be called off the loop's thread: for when the loop is blocked."""
        padded = pcm.ljust(-(-len(pcm) // FRAME_BYTES) * FRAME_BYTES, b"\0")
        self._announced.extend(padded[at : at + FRAME_BYTES] for at in range(0, len(padded), FRAME_BYTES))

    def flush(self) -> None:
        if self._partial:
            padded = bytes(self._partial) + bytes(FRAME_BYTES - len(self._partial))
            self._partial.clear()
            self._frames.append((padded, self._queued))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def set_gain(self, gain: float, over_ms: float = 0.0) -> None:
        """See `AudioOutput.set_gain`."""
        if not 0.0 <= gain <= MOST_GAIN:
            raise ValueError(f"invalid gain {gain}: not between 0 and {MOST_GAIN:g}")
        frames = max(1, round(over_ms / FRAME_MS))
        self._fade = (gain, (gain - self._gain) / frames)

    def clear(self) -> float:
        with self._lock:
            self._frames.clear()
            self._partial.clear()
            self._queued = self._played
            self._paused = False
        self._release_played()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        return self.played_ms

    def close(self) -> None:
        """Nobody listens any more: like `clear`, and later pushes are dropped. `reopen` undoes it."""
        self._closed = True
        self.clear()

    def reopen(self) -> None:
        self._closed = False

    async def wait_played(self, position_ms: float) -> float | None:
        """Wait until `played_ms` >= `position_ms`, that is, until the frame that holds the audio just before the
        position has been taken. Position 0 stands for the first frame ever."""
        position = max(1, math.ceil(position_ms * _SAMPLES_A_MS - 1e-6))
        with self._lock:
            if self._played >= position:
                return self._taken_at(position)
            if self._closed:
                return None
            waiter: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            self._waiters.append((position, waiter))
            self._next_wait = min(self._next_wait, position)
        try:
            return await waiter
        finally:
            self._waiters = [entry for entry in self._waiters if entry[1] is not waiter]

    async def drained(self) -> None:
        while self._played < self._queued:
            await self.wait_played(self.queued_ms)

    def take(self, at: float) -> bytes | None:
        """The next frame, or None for silence. Called by the room's clock, on its thread, at loop-clock time `at`."""
        if self._paused or not self._frames:
            return self._announcement() if self._announced else None
        with self._lock:
            if not self._frames:  # just cleared
                return None
            frame, end = self._frames.popleft()
            self._played = end
            self._taken.append((end, at))
            waited_for = end >= self._next_wait
            if waited_for:
                self._next_wait = math.inf
        if waited_for:
            self._wake(self._release_played)
        return frame if self._gain == 1.0 and self._fade is None else self._at_gain(frame)

    def _at_gain(self, frame: bytes) -> bytes:
        """One step of a fade, or its final gain."""
        first, fade = self._gain, self._fade
        if fade is not None:
            gain, step = fade
            self._gain = first + step
            if abs(gain - self._gain) <= abs(step) / 2:
                self._gain = gain
                if self._fade is fade:  # not changed meanwhile
                    self._fade = None
        return faded(frame, first, self._gain)

    def _announcement(self) -> bytes | None:
        try:
            return self._announced.popleft()
        except IndexError:  # just ended
            return None

    def _release_played(self) -> None:
        with self._lock:
            due = [(position, waiter) for position, waiter in self._waiters if position <= self._played]
            self._waiters = [entry for entry in self._waiters if entry[0] > self._played]
            self._next_wait = min((position for position, _ in self._waiters), default=math.inf)
            times = [self._taken_at(position) for position, _ in due]
        for (_, waiter), at in zip(due, times, strict=True):
            if not waiter.done():
                waiter.set_result(at)

    def _taken_at(self, position: int) -> float:
        found_end, found_at = self._taken[0]
        if position <= found_end - FRAME_SAMPLES:
            return found_at - math.ceil((found_end - FRAME_SAMPLES - position + 1) / FRAME_SAMPLES) * FRAME_MS / 1000
        for end, at in reversed(self._taken):
            if end < position:
                break
            found_at = at
        return found_at
