"""The messages between the worker's main process and each job process (see agent.warm.channel)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.warm.channel import Channel as FramedChannel
from agent.warm.channel import ChannelError, Message, Wire

__all__ = [
    "WIRE",
    "Beat",
    "Channel",
    "ChannelError",
    "EndJob",
    "JobEnded",
    "JobSays",
    "JobState",
    "Message",
    "ProcessReady",
    "RunJob",
    "Stop",
    "TellJob",
]


@dataclass(frozen=True, slots=True)
class RunJob(Message):
    """To a process: run this. `job` is a serialized livekit.Job, as hexadecimal digits. `attempt` above 1: its process
    was lost; `state` is then the job's last stored state, or None."""

    job_id: str
    job: str
    url: str
    token: str
    identity: str
    worker_id: str
    attempt: int = 1
    state: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EndJob(Message):
    """To a process: end this job; `politely`: let it say goodbye."""

    job_id: str
    politely: bool
    reason: str


@dataclass(frozen=True, slots=True)
class TellJob(Message):
    """To a process: something from the application's part in the main process for this job."""

    job_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """To a process: end all jobs and exit."""


@dataclass(frozen=True, slots=True)
class ProcessReady(Message):
    """From a process: ready for jobs."""

    pid: int


@dataclass(frozen=True, slots=True)
class JobState(Message):
    """From a process: the state for resuming this job in another process."""

    job_id: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobSays(Message):
    """From a process: something for the application's part in the main process."""

    job_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobEnded(Message):
    """From a process: this job has ended; `error` is empty unless it failed."""

    job_id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Beat(Message):
    """From a process, once a second."""

    jobs: list[str]
    loop_lag_ms: float


WIRE = Wire(
    (RunJob, EndJob, TellJob, Stop, ProcessReady, JobState, JobSays, JobEnded, Beat),
    most_bytes=16 * 1024 * 1024,  # a long conversation's state
)


class Channel(FramedChannel):
    """One end of a control channel."""

    wire = WIRE
