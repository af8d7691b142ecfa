"""The LiveKit agent worker: registers with a LiveKit server and runs agents in its rooms. See docs/worker.md.

Names are loaded at first use: LiveKit's packages are an extra that local mode does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.worker.job import AutoSubscribe, JobContext, JobProcess, get_job_context
    from agent.worker.requests import JobRequest
    from agent.worker.server import AgentServer

__all__ = ["AgentServer", "AutoSubscribe", "JobContext", "JobProcess", "JobRequest", "get_job_context"]

_HOMES = {
    "AgentServer": "agent.worker.server",
    "AutoSubscribe": "agent.worker.job",
    "JobContext": "agent.worker.job",
    "JobProcess": "agent.worker.job",
    "JobRequest": "agent.worker.requests",
    "get_job_context": "agent.worker.job",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
