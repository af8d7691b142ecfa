"""20 ms on the loop, for those who have no media thread: an agent's place, and a leg whose own clock has stopped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from telephony.media.frames import FRAME_MS

__all__ = ["Pacer", "Uplink"]

_FRAME_S = FRAME_MS / 1000
_CATCH_UP_FRAMES = 10  # a loop that was held up for longer than 200 ms does not make up for it
_BACKLOG_FRAMES = 10


class Pacer:
    """Calls `tick(at)` every 20 ms, late ones in a burst, so that a busy loop loses nothing. On the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[float], None]) -> None:
        self._loop = loop
        self._tick = tick
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._timer is not None

    def start(self) -> None:
        if self._timer is None:
            self._due = self._loop.time() + _FRAME_S
            self._timer = self._loop.call_at(self._due, self._run)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        now = self._loop.time()
        if now - self._due > _CATCH_UP_FRAMES * _FRAME_S:
            self._due = now
        while self._due <= now and self._timer is not None:
            at = self._due
            self._due += _FRAME_S
            self._tick(at)
        if self._timer is not None:
            self._timer = self._loop.call_at(self._due, self._run)


class Uplink:
    """Frames on their way from any thread to `play` on the loop, in order. Beyond 200 ms the oldest are dropped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, play: Callable[[bytes], Awaitable[None]]) -> None:
        self._loop = loop
        self._play = play
        self._frames: deque[bytes] = deque(maxlen=_BACKLOG_FRAMES)
        self._scheduled = False
        self._comes = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, frame: bytes) -> None:
        """On any thread."""
        self._frames.append(frame)
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._comes.set)
            except RuntimeError:  # the loop is closed; a media thread must never see this
                pass

    def start(self) -> None:
        if self._task is None:
            self._frames.clear()  # what was said before there was anybody to hear it
            self._task = self._loop.create_task(self._run(), name="livekit uplink")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while True:
            await self._comes.wait()
            self._comes.clear()
            self._scheduled = False  # before the queue is emptied: a frame that comes meanwhile schedules anew
            while self._frames:
                await self._play(self._frames.popleft())
