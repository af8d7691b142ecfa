"""The worker's main process: registered with LiveKit, it accepts jobs, assigns them to job processes and keeps them
alive.

A job whose process is lost is assigned to another one at once, which joins the room with the same identity and resumes
from the job's last stored state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from livekit.protocol import agent as pb

from agent.worker.channel import JobEnded, JobSays, JobState, RunJob
from agent.worker.connection import ServerConnection
from agent.worker.load import SAMPLE_S, Accept, Capacity, MovingAverage, Refuse, WorkerLoad
from agent.worker.machine_load import CpuMeter, available_mb
from agent.worker.placement import PlacementSettings
from agent.worker.processes import JobProcesses, StartForks
from agent.worker.program import Program
from agent.worker.protocol import (
    Accepted,
    Action,
    AskProgram,
    BeginJob,
    EndJob,
    JobOutcome,
    Refused,
    Registered,
    Registration,
    WorkerMachine,
    WorkerState,
)
from agent.worker.requests import OnRequest, asked
from agent.worker.restarts import RestartPolicy
from agent.worker.tokens import renewed_job_token
from agent.worker.warm_jobs import start_warm_jobs

__all__ = ["LiveKitAccount", "NoHooks", "Worker", "WorkerHooks", "WorkerSettings", "WorkerState"]

FAREWELL_S = 15.0  # for jobs asked to end politely
STOP_S = 5.0  # for jobs asked to end at once
_TELL_EVERY_S = 10.0  # a load that oscillates around its threshold must not fill the log
_SETTLING_S = 2.5  # the length of the CPU's average
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveKitAccount:
    url: str
    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`drain_s`: how long jobs may continue after a request to stop."""

    capacity: Capacity = field(default_factory=Capacity)
    placement: PlacementSettings = field(default_factory=PlacementSettings)
    drain_s: float = 60.0


class WorkerHooks(Protocol):
    """The application's part in the main process. Called on the loop; it must not raise."""

    def job_began(self, job: pb.Job) -> None: ...

    def job_says(self, job_id: str, body: Mapping[str, Any]) -> None:
        """A message the job sent with `JobContext.send`."""

    def job_restarting(self, job_id: str) -> None:
        """Its process was lost; another one takes it over."""

    def job_over(self, job: pb.Job, error: str) -> None:
        """The job ended; `error` is empty unless it failed. An abandoned job no longer has an agent in its room."""


class NoHooks:
    """An application without a part in the main process."""

    def job_began(self, job: pb.Job) -> None: ...

    def job_says(self, job_id: str, body: Mapping[str, Any]) -> None: ...

    def job_restarting(self, job_id: str) -> None: ...

    def job_over(self, job: pb.Job, error: str) -> None: ...


@dataclass(slots=True)
class _Job:
    order: RunJob
    job: pb.Job
    began_at: float
    state: Mapping[str, Any] | None = None
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    ending: bool = False  # it is ending: a lost process is not replaced


@dataclass(slots=True)
class WorkerCounts:
    """Since the start."""

    accepted: int = 0
    refused: int = 0
    succeeded: int = 0
    failed: int = 0
    restarted: int = 0


class Worker:
    def __init__(
        self,
        account: LiveKitAccount,
        registration: Registration,
        program: Program,
        settings: WorkerSettings,
        hooks: WorkerHooks | None = None,
        *,
        on_request: OnRequest | None = None,
        cpu: Callable[[float], float] | None = None,
        start_forks: StartForks = start_warm_jobs,
    ) -> None:
        """`on_request` decides about jobs, for a registration that `asks`. `cpu(now)`: the fraction of the CPU in use,
        for tests. `start_forks`: see `JobProcesses`. Raises ValueError for a URL that can't be a server's."""
        self._account = account
        self._settings = settings
        self._hooks: WorkerHooks = hooks or NoHooks()
        self._cpu_sample = cpu or CpuMeter().sample
        self._cpu = MovingAverage()
        self._jobs: dict[str, _Job] = {}
        self._available_mb: float | None = None
        self._draining = False
        self._told_full = False
        self._tell_from = 0.0
        self._on_request = on_request
        self._asking: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self.registered = asyncio.Event()  # registered with LiveKit for the first time
        self._empty.set()
        self.counts = WorkerCounts()
        self.machine = WorkerMachine(registration, self._decide)
        self.processes = JobProcesses(program, settings.placement, self, start_forks)
        self.connection = ServerConnection(
            self.machine,
            account.url,
            account.api_key,
            account.api_secret,
            act=self._act,
            load=lambda: self.load.told(self._settings.capacity),
        )

    # --- what others see ------------------------------------------------------------------------------------------

    @property
    def load(self) -> WorkerLoad:
        now = asyncio.get_running_loop().time()
        settling = sum(now - job.began_at < _SETTLING_S for job in self._jobs.values())
        return WorkerLoad(
            cpu=self._cpu.value,
            jobs=len(self._jobs),
            reserved=self.machine.reserved,
            settling=settling,
            available_mb=self._available_mb,
            draining=self._draining,
        )

    @property
    def jobs(self) -> tuple[str, ...]:
        return tuple(self._jobs)

    @property
    def trouble(self) -> str:
        """Why no job can arrive now; empty if one can."""
        if self._draining:
            return "draining"
        if self.machine.state is not WorkerState.REGISTERED:
            return self.connection.trouble or "not registered"
        return "" if self.processes.count else "no job process"

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, stop_now: asyncio.Event) -> None:
        """Work until `stop`, then drain; `stop_now` cuts the draining short. Raises ProgramError if there is nothing to
        run, HopelessConnection if the server can't be used with these settings, OSError, TimeoutError."""
        await self.processes.start()
        sampling = asyncio.create_task(self._sample(), name="load")
        connected = asyncio.create_task(self.connection.run(), name="connection to LiveKit")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({connected, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if connected.done():
                connected.result()
            await self._drain(stop_now)
        finally:
            await self.processes.stop(STOP_S)
            await self.connection.flushed()
            tasks = (sampling, connected, stopping, *self._asking)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, stop_now: asyncio.Event) -> None:
        """Accept no new jobs; running ones may finish, are then asked to end, and are finally ended."""
        self._draining = True
        self.connection.perform(self.machine.status(self.load.told(self._settings.capacity)))
        if self._jobs:
            _log.info("draining: %d jobs may continue for up to %.0f s", len(self._jobs), self._settings.drain_s)
        if await self._until_empty(self._settings.drain_s, stop_now):
            return
        if not stop_now.is_set():
            self._end_all(politely=True)
            await self._until_empty(FAREWELL_S, stop_now)
        self._end_all(politely=False)
        await self._until_empty(STOP_S, None)

    async def _until_empty(self, seconds: float, or_event: asyncio.Event | None) -> bool:
        """Wait until no job is left; returns whether that is so."""
        waits = [asyncio.ensure_future(self._empty.wait())]
        if or_event is not None:
            waits.append(asyncio.ensure_future(or_event.wait()))
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._empty.is_set()

    def _end_all(self, *, politely: bool) -> None:
        for job_id, job in list(self._jobs.items()):
            job.ending = True
            self.processes.end(job_id, politely=politely, reason="the worker is stopping")

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._cpu.add(self._cpu_sample(loop.time()))
            self._available_mb = available_mb()
            await asyncio.sleep(SAMPLE_S)

    def _decide(self, running: int, reserved: int) -> Accept | Refuse:
        verdict = self.load.decide(self._settings.capacity)
        full = verdict.reason if isinstance(verdict, Refuse) else ""
        now = asyncio.get_running_loop().time()
        if bool(full) != self._told_full and (now >= self._tell_from or self._draining):
            self._told_full, self._tell_from = bool(full), now + _TELL_EVERY_S
            _log.warning("not accepting jobs: %s", full) if full else _log.info("accepting jobs again")
        return verdict

    # --- actions of the machine -----------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        match action:
            case Registered(worker_id=worker_id, server_version=version):
                self.registered.set()
                _log.info("registered with LiveKit %s as %s", version, worker_id)
            case AskProgram(job=job):
                task = asyncio.create_task(self._ask(job), name=f"on_request of {job.id}")
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            case Accepted():
                self.counts.accepted += 1
                self.processes.expect(self.machine.reserved)
            case Refused(job_id=job_id, room=room, reason=reason):
                self.counts.refused += 1
                _log.warning("job %s of room %s refused: %s", job_id, room, reason)
            case BeginJob():
                self._begin(action)
            case EndJob(job_id=job_id):
                self._end(job_id, "LiveKit ended the job")

    async def _ask(self, job: pb.Job) -> None:
        assert self._on_request is not None, "a registration that asks needs `on_request`"
        answer = await asked(self._on_request, job)
        self.connection.perform(self.machine.decided(job, answer, asyncio.get_running_loop().time()))

    def _begin(self, begin: BeginJob) -> None:
        job = begin.job
        order = RunJob(
            job.id,
            job.SerializeToString().hex(),
            begin.url or self._account.url,
            begin.token,
            begin.identity,
            self.machine.worker_id,
        )
        self._jobs[job.id] = _Job(order, job, asyncio.get_running_loop().time())
        self._empty.clear()
        _log.info("job %s begins in room %s", job.id, job.room.name)
        self._hooks.job_began(job)
        self.processes.reserved = self.machine.reserved
        self.processes.run(order)

    def _end(self, job_id: str, reason: str) -> None:
        if job_id in self._jobs:
            self._jobs[job_id].ending = True
            self.processes.end(job_id, politely=False, reason=reason)

    def tell(self, job_id: str, body: Mapping[str, Any]) -> bool:
        """Send JSON values to a job (`JobContext.on_told`). False if no process has it."""
        return self.processes.tell(job_id, body)

    # --- events from the processes (PoolEvents) -----------------------------------------------------------------------

    def job_state(self, message: JobState) -> None:
        if message.job_id in self._jobs:
            self._jobs[message.job_id].state = message.state

    def job_says(self, message: JobSays) -> None:
        if message.job_id in self._jobs:
            self._hooks.job_says(message.job_id, message.body)

    def job_ended(self, message: JobEnded) -> None:
        job = self._jobs.pop(message.job_id, None)
        if job is None:
            return
        outcome = JobOutcome.FAILED if message.error else JobOutcome.SUCCESS
        if message.error:
            self.counts.failed += 1
            _log.error("job %s failed: %s", message.job_id, message.error)
        else:
            self.counts.succeeded += 1
            _log.info("job %s is over", message.job_id)
        self.connection.perform(self.machine.job_ended(message.job_id, outcome, message.error[:500]))
        self._hooks.job_over(job.job, message.error)
        if not self._jobs:
            self._empty.set()

    def jobs_lost(self, jobs: list[RunJob], why: str) -> None:
        now = asyncio.get_running_loop().time()
        for lost in jobs:
            job = self._jobs.get(lost.job_id)
            if job is None:
                continue
            if job.ending or not job.restarts.allows(now):
                self.job_ended(JobEnded(lost.job_id, why))
                continue
            self.counts.restarted += 1
            _log.warning("job %s: %s; another process takes it over", lost.job_id, why)
            self.machine.job_replaced(lost.job_id)
            self._hooks.job_restarting(lost.job_id)
            job.order = self._again(lost, job.state)
            self.processes.run(job.order)

    def _again(self, lost: RunJob, state: Mapping[str, Any] | None) -> RunJob:
        try:
            token = renewed_job_token(lost.token, self._account.api_key, self._account.api_secret)
        except ValueError as error:
            _log.warning("job %s: its token could not be renewed: %s", lost.job_id, error)
            token = lost.token
        return RunJob(
            lost.job_id,
            lost.job,
            lost.url,
            token,
            lost.identity,
            self.machine.worker_id,
            attempt=lost.attempt + 1,
            state=state,
        )
