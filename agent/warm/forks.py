"""Shared by owners of forks: a warm parent that is restarted if it dies, a watch that kills silent forks
and shutdown of all of them. The owners decide which forks are needed and how to react to a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar

__all__ = ["ParentInUse", "WatchedFork", "end_forks", "watch_forks"]

LATE_S = 1.0  # a watch that is this late was blocked itself


class _Parent(Protocol):
    @property
    def dead(self) -> bool: ...

    async def close(self) -> None: ...


ParentT = TypeVar("ParentT", bound=_Parent)


class ParentInUse(Generic[ParentT]):
    """The warm parent that forks now. Its forks live on if it dies; the next fork comes from a new parent."""

    def __init__(self, start: Callable[[], Awaitable[ParentT]]) -> None:
        self._start = start
        self._parent: ParentT | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> ParentT:
        """Raises whatever starting it raises."""
        async with self._lock:
            if self._parent is None or self._parent.dead:
                dead, self._parent = self._parent, None
                if dead is not None:
                    await dead.close()
                self._parent = await self._start()
            return self._parent

    async def close(self) -> None:
        if self._parent is not None:
            await self._parent.close()


class _Channel(Protocol):
    @property
    def closed(self) -> asyncio.Event: ...

    def close(self) -> None: ...


class WatchedFork(Protocol):
    """A fork, or the slot of one about to be forked. `heard_at`: seconds, loop clock, of its last sign of life."""

    heard_at: float

    @property
    def channel(self) -> _Channel: ...

    def kill(self) -> None:
        """If it has been forked. Idempotent."""


ForkT = TypeVar("ForkT", bound=WatchedFork)


async def watch_forks(
    forks: Callable[[], Iterable[ForkT]],
    patience_s: Callable[[ForkT], float],
    silent: Callable[[ForkT, float], None],
    *,
    every_s: float,
) -> None:
    """Run as a task: kills a fork that has been silent for longer than `patience_s`, closes its channel, so that its
    owner notices, and calls `silent` with it and the seconds."""
    clock = asyncio.get_running_loop().time
    now = clock()
    while True:
        due = now + every_s
        await asyncio.sleep(every_s)
        now = clock()
        if now - due > LATE_S:
            # We were blocked ourselves, so the forks' recent messages are still unread.
            for fork in forks():
                fork.heard_at = now
        for fork in list(forks()):
            silent_s = now - fork.heard_at
            if silent_s > patience_s(fork):
                silent(fork, silent_s)
                fork.kill()
                fork.channel.close()


async def end_forks(forks: Callable[[], Iterable[WatchedFork]], limit_s: float) -> None:
    """After they were told to stop: wait, and kill the rest after `limit_s`."""
    waits = [asyncio.ensure_future(fork.channel.closed.wait()) for fork in forks()]
    if waits:
        await asyncio.wait(waits, timeout=limit_s)
        for wait in waits:
            wait.cancel()
    for fork in list(forks()):
        fork.kill()
        fork.channel.close()
