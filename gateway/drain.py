"""Ends the gateway's calls at shutdown: first they may finish, then they get a goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.control import Drain, Message
from gateway.live_calls import LiveCalls

__all__ = ["CallsEnding"]

POLITE_END_S = 15.0  # time for a goodbye after the drain limit


class CallsEnding:
    """`observe` is to be called after each record message."""

    def __init__(self, live: LiveCalls, broadcast: Callable[[Message], None]) -> None:
        """`broadcast` tells all workers."""
        self._live = live
        self._broadcast = broadcast
        self._idle = asyncio.Event()

    def observe(self, _: object) -> None:
        if not self._live.in_workers:
            self._idle.set()

    async def run(self, limit_s: float, stop_now: asyncio.Event) -> None:
        """Returns when workers have no more calls, when they were ended but did not finish in time, or when
        `stop_now` is set."""
        if not await self._ended(limit_s, stop_now) and not stop_now.is_set():
            self._broadcast(Drain("the gateway is shutting down"))
            await self._ended(POLITE_END_S, stop_now)

    async def _ended(self, limit_s: float, stop_now: asyncio.Event) -> bool:
        if not self._live.in_workers:
            return True
        self._idle.clear()
        waits = [asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(stop_now.wait())]
        await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self._live.in_workers
