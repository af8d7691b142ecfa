"""One warm parent for several programs, whose forks share common memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.warm.client import ForkedProcess, OnExit, WarmParent
from agent.warm.parent import WarmProgram

__all__ = ["Programs", "ShareOfParent", "SharedParent"]


@dataclass(frozen=True, slots=True)
class Programs:
    """Implements `WarmProgram`: loads all; a fork runs the requested one."""

    programs: Mapping[str, WarmProgram]

    def load(self) -> None:
        for program in self.programs.values():
            program.load()

    def run(self, channel: socket.socket, name: str, details: Mapping[str, Any]) -> int:
        return self.programs[details["program"]].run(channel, name, details["details"])


class SharedParent:
    """The warm parent runs from its first user's `start` to its last user's `close`. If it dies, the next `start`
    creates another one."""

    def __init__(self, programs: Mapping[str, WarmProgram]) -> None:
        self._programs = Programs(programs)
        self._lock = asyncio.Lock()
        self._warm: WarmParent | None = None
        self._shares: set[ShareOfParent] = set()

    async def start(self, program: str, on_exit: OnExit) -> ShareOfParent:
        """For the forks of one program. Raises what `WarmParent.start` raises."""
        async with self._lock:
            if self._warm is None or self._warm.dead:
                dead, self._warm = self._warm, None
                if dead is not None:
                    await dead.close()
                self._warm = await WarmParent.start(self._programs, self._exited)
            share = ShareOfParent(self, self._warm, program, on_exit)
            self._shares.add(share)
            return share

    def _exited(self, pid: int, status: int) -> None:
        for share in self._shares:
            share.exited(pid, status)

    async def leave(self, share: ShareOfParent) -> None:
        """For `ShareOfParent.close`."""
        async with self._lock:
            self._shares.discard(share)
            if not self._shares and self._warm is not None:
                await self._warm.close()
                self._warm = None


class ShareOfParent:
    """One user's view of it, with the interface of a `WarmParent`."""

    def __init__(self, owner: SharedParent, warm: WarmParent, program: str, on_exit: OnExit) -> None:
        self._owner = owner
        self._warm = warm
        self._program = program
        self._on_exit = on_exit
        self._pids: set[int] = set()

    @property
    def dead(self) -> bool:
        return self._warm.dead

    async def fork(
        self, name: str, process_end: socket.socket, details: Mapping[str, Any] | None = None
    ) -> ForkedProcess:
        """Like `WarmParent.fork`. All programs' forks have different names."""
        asked = {"program": self._program, "details": dict(details or {})}
        process = await self._warm.fork(name, process_end, asked)
        self._pids.add(process.pid)
        return process

    def exited(self, pid: int, status: int) -> None:
        """Not called for a fork that ends while starting: it never reported ready either."""
        if pid in self._pids:
            self._pids.discard(pid)
            self._on_exit(pid, status)

    async def close(self) -> None:
        """Idempotent."""
        await self._owner.leave(self)
