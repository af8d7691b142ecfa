"""A 20 ms clock on the loop, for places without a media thread: agents, and legs whose own clock has stopped."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable

from telephony.media.frames import FRAME_MS

__all__ = ["Pacer"]

_FRAME_S = FRAME_MS / 1000
_EARLY_S = 1e-6  # a loop may call early by its clock's resolution
_CATCH_UP_FRAMES = 10  # after a stall of more than 200 ms, missed ticks are dropped


class Pacer:
    """Calls `tick(at)` every 20 ms, late ones in a burst, so a busy loop loses nothing. On the loop.

    All clocks of a process tick together: one wake-up, with the code in the CPU caches after the first.
    Different processes tick at different times."""

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
            phase = os.getpid() % FRAME_MS / 1000
            self._due = (math.floor((self._loop.time() - phase) / _FRAME_S) + 1) * _FRAME_S + phase
            self._timer = self._loop.call_at(self._due, self._run)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        now = self._loop.time()
        if now - self._due > _CATCH_UP_FRAMES * _FRAME_S:
            self._due = now
        while self._due <= now + _EARLY_S and self._timer is not None:
            at = self._due
            self._due += _FRAME_S
            self._tick(at)
        if self._timer is not None:
            self._timer = self._loop.call_at(self._due, self._run)
