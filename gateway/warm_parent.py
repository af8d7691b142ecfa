"""Where the supervisor's call workers come from: forks of a warm parent (agent.warm)."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Protocol

from agent.warm.client import ForkSource, OnExit, WarmParent
from agent.warm.parent import LoadFailed
from gateway.callworker.warm import CallWorkers
from gateway.config import Settings

__all__ = ["OnExit", "WarmWorkers", "WorkerProcess", "WorkerSource"]


class WorkerProcess(Protocol):
    """A worker that has been started."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """Kill it. Idempotent, also if it has already ended."""


class WorkerSource(Protocol):
    """Where workers come from."""

    @property
    def dead(self) -> bool:
        """It can't start any more workers."""

    async def fork(self, name: str, rtp: tuple[int, int], worker_end: socket.socket) -> WorkerProcess:
        """Start a worker that gets its calls over `worker_end`. Raises OSError, including TimeoutError."""

    async def close(self) -> None:
        """Its workers keep running."""


class WarmWorkers:
    """Implements `WorkerSource`."""

    def __init__(self, warm: ForkSource) -> None:
        self._warm = warm

    @classmethod
    async def start(cls, settings: Settings, on_exit: OnExit) -> WarmWorkers:
        """Raises OSError, including TimeoutError."""
        return await cls.sharing(WarmParent.start(CallWorkers(settings), on_exit))

    @classmethod
    async def sharing(cls, starting: Awaitable[ForkSource]) -> WarmWorkers:
        """Use a shared warm parent. Raises OSError, including TimeoutError."""
        try:
            return cls(await starting)
        except LoadFailed as error:
            raise OSError(f"what call workers need can't be loaded: {error}") from error

    @property
    def dead(self) -> bool:
        return self._warm.dead

    async def fork(self, name: str, rtp: tuple[int, int], worker_end: socket.socket) -> WorkerProcess:
        return await self._warm.fork(name, worker_end, {"rtp": list(rtp)})

    async def close(self) -> None:
        await self._warm.close()
