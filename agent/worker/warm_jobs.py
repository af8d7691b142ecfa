"""Job processes as forks of a warm parent that has loaded their program's needs."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.warm.client import OnExit, WarmParent
from agent.warm.memory import map_library
from agent.worker.program import Program

__all__ = ["WarmJobs", "start_warm_jobs"]

_ALWAYS = (  # needed by every job, so that all processes share it
    "agent.worker.process",
    "agent.worker.tokens",
    "agent.session",
    "telephony.livekit.rtc_connection",
    "telephony.livekit.room",
    "telephony.livekit.verbs",
)


@dataclass(frozen=True, slots=True)
class WarmJobs:
    """Implements `agent.warm.parent.WarmProgram`."""

    program: Program

    def load(self) -> None:
        """In the warm parent."""
        for name in _ALWAYS:
            importlib.import_module(name)
        map_library("livekit.rtc.resources", "liblivekit_ffi.so")
        program = self.program
        program.entry()
        if program.prewarm is not None:
            program.prewarm.resolve()
        if program.preload is not None:
            program.preload.resolve()(program.arguments)

    def run(self, channel: socket.socket, name: str, details: Mapping[str, Any]) -> int:
        """In a fresh fork."""
        from agent.worker.process import run  # imported by `load`; the main process does not need it

        return run(channel, self.program, name)


async def start_warm_jobs(program: Program, on_exit: OnExit) -> WarmParent:
    """A warm parent for this program alone. Raises what `WarmParent.start` raises."""
    return await WarmParent.start(WarmJobs(program), on_exit)
