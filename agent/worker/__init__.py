"""The LiveKit agent worker: registers with a LiveKit server and runs agents in its rooms. docs/worker.md tells how.

The names are loaded when they are first used: LiveKit's packages are an extra that local mode does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.worker.job import JobContext, JobProcess
    from agent.worker.server import AgentServer

__all__ = ["AgentServer", "JobContext", "JobProcess"]

_HOMES = {
    "AgentServer": "agent.worker.server",
    "JobContext": "agent.worker.job",
    "JobProcess": "agent.worker.job",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
