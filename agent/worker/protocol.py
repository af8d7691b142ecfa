"""The worker's side of LiveKit's agent protocol as a machine: (what happened, now) -> what to do. No I/O.

LiveKit's server speaks `livekit.protocol.agent` over a WebSocket at `/agent`: the worker registers, reports its status,
is asked whether it takes a job (`AvailabilityRequest`), answers, and gets the job with a token for its room. Times are
seconds of any steady clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from livekit.protocol import agent as pb
from livekit.protocol import models

from agent.worker.load import SERVER_TARGET_LOAD, Accept, Refuse
from agent.worker.requests import Acceptance, Rejection

__all__ = [
    "Accepted",
    "Action",
    "AskProgram",
    "BeginJob",
    "Drop",
    "EndJob",
    "JobOutcome",
    "ProtocolMisuse",
    "Refused",
    "Registered",
    "Registration",
    "RetryAfter",
    "Send",
    "WorkerMachine",
    "WorkerState",
    "backoff_s",
]

ANSWER_S = 8.0  # the server waits 10 s for our answer, and we as long for the job that we accepted
REGISTER_S = 10.0
PING_S = 5.0
SILENCE_S = 15.0  # without anything from the server, even a pong: then the connection is dead
_MOST_LOAD = SERVER_TARGET_LOAD - 0.05
_BACKOFF_FIRST_S = 0.2
_BACKOFF_MOST_S = 10.0


class WorkerState(StrEnum):
    OFFLINE = "offline"
    REGISTERING = "registering"
    REGISTERED = "registered"


class JobOutcome(StrEnum):
    SUCCESS = "success"
    FAILED = "failed"


class ProtocolMisuse(RuntimeError):
    """An event that the state does not allow."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How the worker introduces itself. `agent_name` empty: it gets every room's job (automatic dispatch), else only
    jobs dispatched to that name. `job_type`: "room", or "publisher" (a job for each publishing participant). `asks`:
    the program decides about each job that there is room for."""

    agent_name: str = ""
    version: str = ""
    namespace: str = ""
    job_type: str = "room"
    asks: bool = False
    identity: Callable[[str], str] = field(default=lambda job_id: f"agent-{job_id}")

    def message(self) -> pb.WorkerMessage:
        kind = {"room": pb.JT_ROOM, "publisher": pb.JT_PUBLISHER}[self.job_type]
        permissions = models.ParticipantPermission(
            can_publish=True, can_subscribe=True, can_publish_data=True, can_update_metadata=True, agent=True
        )
        register = pb.RegisterWorkerRequest(
            type=kind,
            agent_name=self.agent_name,
            version=self.version,
            namespace=self.namespace,
            ping_interval=int(PING_S),
            allowed_permissions=permissions,
        )
        return pb.WorkerMessage(register=register)


# --- what to do -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    message: pb.WorkerMessage


@dataclass(frozen=True, slots=True)
class Registered:
    """The server knows us: jobs may come."""

    worker_id: str
    server_version: str


@dataclass(frozen=True, slots=True)
class AskProgram:
    """Ask the program whether to accept the job: `decided` follows. A place is reserved meanwhile."""

    job: pb.Job


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job will be assigned within seconds: prepare a process."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """For the log and the metrics."""

    job_id: str
    room: str
    reason: str


@dataclass(frozen=True, slots=True)
class BeginJob:
    """Run it. `url` is empty if the room is on the server that we are registered with."""

    job: pb.Job
    url: str
    token: str
    identity: str


@dataclass(frozen=True, slots=True)
class EndJob:
    """The server ends a job: its dispatch was deleted, or its agent has left the room."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection, as it is useless; `lost` follows."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Connect again after this many seconds."""

    seconds: float


Action = Send | Registered | AskProgram | Accepted | Refused | BeginJob | EndJob | Drop | RetryAfter


def backoff_s(failures: int) -> float:
    """How long to wait after this many consecutive failures (1: the first): 0.2, 0.4, 0.8 … 10 s."""
    return float(min(_BACKOFF_FIRST_S * 2 ** (failures - 1), _BACKOFF_MOST_S))


class WorkerMachine:
    """One for the life of the worker, over all its connections. It knows the running jobs and reports them to the
    server after a reconnect."""

    def __init__(self, registration: Registration, decide: Callable[[int, int], Accept | Refuse]) -> None:
        """`decide(running, reserved)`: whether one more job may be taken now."""
        self._registration = registration
        self._decide = decide
        self._state = WorkerState.OFFLINE
        self._failures = 0
        self._since = 0.0  # start of the current state
        self._heard_at = 0.0
        self._pinged_at = 0.0
        self._reserved: dict[str, tuple[float, str]] = {}  # accepted job -> (until when, our identity in its room)
        self._running: dict[str, int] = {}  # job -> how often its process was replaced
        self._forgiven: dict[str, int] = {}  # job -> expected terminations that only refer to the agent we replaced
        self.worker_id = ""

    @property
    def state(self) -> WorkerState:
        return self._state

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(self._running)

    @property
    def reserved(self) -> int:
        return len(self._reserved)

    # --- the connection -------------------------------------------------------------------------------------------

    def connected(self, now: float) -> tuple[Action, ...]:
        """The WebSocket is open."""
        if self._state is not WorkerState.OFFLINE:
            raise ProtocolMisuse(f"connected while {self._state}")
        self._enter(WorkerState.REGISTERING, now)
        self._heard_at = self._pinged_at = now
        return (Send(self._registration.message()),)

    def lost(self, now: float) -> tuple[Action, ...]:
        """The WebSocket has closed, or could not be opened. Jobs continue: their rooms have separate connections."""
        self._enter(WorkerState.OFFLINE, now)
        self._failures += 1
        self._reserved.clear()  # their assignments were lost with the connection; the server asks again
        self._forgiven.clear()
        return (RetryAfter(backoff_s(self._failures)),)

    def received(self, message: pb.ServerMessage, now: float) -> tuple[Action, ...]:
        self._heard_at = now
        which = message.WhichOneof("message")
        if which == "register":
            return self._registered(message.register, now)
        if self._state is not WorkerState.REGISTERED:
            return (Drop(f"the server sent {which} before the registration was answered"),) if which != "pong" else ()
        if which == "availability":
            return self._asked(message.availability, now)
        if which == "assignment":
            return self._assigned(message.assignment)
        if which == "termination":
            return self._terminated(message.termination.job_id)
        return ()  # pong, and messages of newer servers

    def tick(self, now: float) -> tuple[Action, ...]:
        """Call it every half second."""
        if self._state is WorkerState.OFFLINE:
            return ()
        if self._state is WorkerState.REGISTERING and now - self._since > REGISTER_S:
            return (Drop("the server did not answer the registration"),)
        if now - self._heard_at > SILENCE_S:
            return (Drop(f"the server has said nothing for {SILENCE_S:.0f} s"),)
        for job_id in [job_id for job_id, (until, _) in self._reserved.items() if now > until]:
            del self._reserved[job_id]
        if now - self._pinged_at < PING_S:
            return ()
        self._pinged_at = now
        return (Send(pb.WorkerMessage(ping=pb.WorkerPing(timestamp=int(now * 1000)))),)

    # --- our reports -------------------------------------------------------------------------------------------

    def status(self, load: float) -> tuple[Action, ...]:
        """Tell the server how busy we are."""
        if self._state is not WorkerState.REGISTERED:
            return ()
        verdict = self._decide(len(self._running), len(self._reserved))
        status = pb.WS_AVAILABLE if isinstance(verdict, Accept) else pb.WS_FULL
        # At its target load the server would not ask us, although we report that we are available.
        told = min(load, _MOST_LOAD) if status == pb.WS_AVAILABLE else load
        update = pb.UpdateWorkerStatus(status=status, load=told, job_count=len(self._running))
        return (Send(pb.WorkerMessage(update_worker=update)),)

    def job_began(self, job_id: str) -> tuple[Action, ...]:
        return self._job_status(job_id, pb.JS_RUNNING)

    def job_replaced(self, job_id: str) -> None:
        """Its process was lost and another one takes over its agent's identity. The server will end the job once, for
        the agent that left; that is not meant for the new one."""
        if job_id in self._running:
            self._running[job_id] += 1
            self._forgiven[job_id] = self._forgiven.get(job_id, 0) + 1

    def job_ended(self, job_id: str, outcome: JobOutcome, error: str = "") -> tuple[Action, ...]:
        if self._running.pop(job_id, None) is None:
            return ()
        self._forgiven.pop(job_id, None)
        status = pb.JS_SUCCESS if outcome is JobOutcome.SUCCESS else pb.JS_FAILED
        return self._job_status(job_id, status, error)

    def _job_status(self, job_id: str, status: pb.JobStatus, error: str = "") -> tuple[Action, ...]:
        if self._state is not WorkerState.REGISTERED:
            return ()
        update = pb.UpdateJobStatus(job_id=job_id, status=status, error=error)
        return (Send(pb.WorkerMessage(update_job=update)),)

    # --- messages from the server -------------------------------------------------------------------------------------

    def _registered(self, response: pb.RegisterWorkerResponse, now: float) -> tuple[Action, ...]:
        self._enter(WorkerState.REGISTERED, now)
        self._failures = 0
        self.worker_id = response.worker_id
        actions: list[Action] = [Registered(response.worker_id, response.server_info.version)]
        if self._running:
            actions.append(Send(pb.WorkerMessage(migrate_job=pb.MigrateJobRequest(job_ids=list(self._running)))))
            actions += [action for job_id in self._running for action in self.job_began(job_id)]
        return tuple(actions)

    def _asked(self, request: pb.AvailabilityRequest, now: float) -> tuple[Action, ...]:
        job = request.job
        verdict: Accept | Refuse = self._decide(len(self._running), len(self._reserved))
        if job.id in self._running or job.id in self._reserved:
            verdict = Refuse("this job is running already")
        if isinstance(verdict, Refuse):
            answer = pb.AvailabilityResponse(job_id=job.id, available=False)
            return (Send(pb.WorkerMessage(availability=answer)), Refused(job.id, job.room.name, verdict.reason))
        self._reserved[job.id] = (now + ANSWER_S, self._registration.identity(job.id))
        return (AskProgram(job),) if self._registration.asks else self.decided(job, Acceptance(), now)

    def decided(self, job: pb.Job, answer: Acceptance | Rejection, now: float) -> tuple[Action, ...]:
        """The program's answer about a job."""
        reserved = self._reserved.pop(job.id, None)
        if reserved is None:
            return ()  # too late: the connection was lost, or the time is up
        if isinstance(answer, Rejection):
            no = pb.AvailabilityResponse(job_id=job.id, available=False, terminate=answer.for_all)
            return (Send(pb.WorkerMessage(availability=no)), Refused(job.id, job.room.name, answer.reason))
        identity = answer.identity or reserved[1]
        self._reserved[job.id] = (now + ANSWER_S, identity)
        yes = pb.AvailabilityResponse(
            job_id=job.id,
            available=True,
            participant_identity=identity,
            participant_name=answer.name or self._registration.agent_name or "agent",
            participant_metadata=answer.metadata,
            participant_attributes={**_attributes(self._registration.agent_name), **answer.attributes},
        )
        return (Send(pb.WorkerMessage(availability=yes)), Accepted(job.id))

    def _assigned(self, assignment: pb.JobAssignment) -> tuple[Action, ...]:
        job_id = assignment.job.id
        reserved = self._reserved.pop(job_id, None)
        if job_id in self._running:
            return ()
        identity = reserved[1] if reserved is not None else self._registration.identity(job_id)
        self._running[job_id] = 0
        return (BeginJob(assignment.job, assignment.url, assignment.token, identity), *self.job_began(job_id))

    def _terminated(self, job_id: str) -> tuple[Action, ...]:
        if job_id not in self._running:
            return ()
        forgiven = self._forgiven.get(job_id, 0)
        if forgiven:
            self._forgiven[job_id] = forgiven - 1
            return ()
        return (EndJob(job_id),)

    def _enter(self, state: WorkerState, now: float) -> None:
        self._state = state
        self._since = now


def _attributes(agent_name: str) -> Mapping[str, str]:
    return {"lk.agent_name": agent_name} if agent_name else {}


def sends(actions: Iterable[Action]) -> list[pb.WorkerMessage]:
    """The messages among actions."""
    return [action.message for action in actions if isinstance(action, Send)]
