"""The pool of job processes: forks them, gives them jobs, and notices when one is lost.

`placement` makes the decisions about processes; this module carries them out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from agent.warm.client import ForkedProcess, ForkSource, OnExit
from agent.warm.forks import ParentInUse, end_forks, watch_forks
from agent.warm.parent import LoadFailed
from agent.worker.channel import (
    Beat,
    Channel,
    ChannelError,
    EndJob,
    JobEnded,
    JobSays,
    JobState,
    Message,
    ProcessReady,
    RunJob,
    Stop,
    TellJob,
)
from agent.worker.load import memory_verdict
from agent.worker.placement import Fork, PlacementSettings, ProcessView, choose, tend
from agent.worker.program import Program, ProgramError
from agent.worker.warm_jobs import start_warm_jobs

__all__ = ["JobProcesses", "PoolEvents", "StartForks"]

StartForks = Callable[[Program, OnExit], Awaitable[ForkSource]]

BEAT_LIMIT_S = 4.0  # gateways give up on an agent without a sign of life after 5 to 7 s
WATCH_EVERY_S = 0.25
READY_LIMIT_S = 20.0
MEMORY_EVERY_S = 5.0
CALM_S = 1.0  # after the last job arrived: then deferred work is done
_RESTART_PAUSE_S = 1.0  # after a process that died before it was ready
_MIB = 1024 * 1024
_log = logging.getLogger(__name__)


class PoolEvents(Protocol):
    """Receives the pool's events. Called on the loop."""

    def job_state(self, message: JobState) -> None: ...

    def job_says(self, message: JobSays) -> None: ...

    def job_ended(self, message: JobEnded) -> None: ...

    def jobs_lost(self, jobs: list[RunJob], why: str) -> None:
        """Their process is gone."""


@dataclass(slots=True)
class _Process:
    name: str
    channel: Channel
    started_at: float
    heard_at: float
    forked: ForkedProcess | None = None  # None: not yet
    ready: bool = False
    retired: bool = False
    warned: bool = False
    served: int = 0
    loop_lag_ms: float = 0.0
    jobs: dict[str, RunJob] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return 0 if self.forked is None else self.forked.pid

    def kill(self) -> None:
        if self.forked is not None:
            self.forked.kill()

    def view(self) -> ProcessView:
        return ProcessView(self.name, self.ready, len(self.jobs), self.served)


class JobProcesses:
    def __init__(
        self,
        program: Program,
        settings: PlacementSettings,
        events: PoolEvents,
        start_forks: StartForks = start_warm_jobs,
    ) -> None:
        """`start_forks`: the source of processes; default: our own warm parent."""
        self._program = program
        self._settings = settings
        self._events = events
        self._start_forks = start_forks
        self._warm: ParentInUse[ForkSource] = ParentInUse(self._start_parent)
        self._processes: dict[str, _Process] = {}
        self._waiting: deque[RunJob] = deque()
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._early_deaths = 0
        self._calm_from = 0.0
        self.lost = 0  # processes that died with jobs in them
        self.reserved = 0  # jobs about to arrive: processes are forked for them

    # --- what others see ------------------------------------------------------------------------------------------

    @property
    def idle(self) -> int:
        return sum(p.ready and not p.jobs and not p.retired for p in self._processes.values())

    @property
    def count(self) -> int:
        return len(self._processes)

    def pid_of(self, job_id: str) -> int | None:
        for process in self._processes.values():
            if job_id in process.jobs:
                return process.pid
        return None

    @property
    def worst_lag_ms(self) -> float:
        return max((p.loop_lag_ms for p in self._processes.values()), default=0.0)

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the program and fork the first processes. Raises ProgramError, OSError, TimeoutError."""
        await self._warm.get()
        self._tend()
        watch = watch_forks(self._processes.values, _patience_s, _tell_silence, every_s=WATCH_EVERY_S)
        self._spawn(watch, "watch of the job processes")
        if self._program.memory_warn_mb or self._program.memory_limit_mb:
            self._spawn(self._watch_memory(), "watch of the job processes' memory")

    async def stop(self, limit_s: float) -> None:
        """End all processes; kill the rest after `limit_s`."""
        self._stopping = True
        for process in self._processes.values():
            process.channel.send(Stop())
        await end_forks(self._processes.values, limit_s)
        for task in self._tasks:
            task.cancel()
        await self._warm.close()

    # --- jobs -----------------------------------------------------------------------------------------------------

    def run(self, job: RunJob) -> None:
        """Assign the job to a process, or to the next one that becomes ready."""
        self._job_comes()
        name = choose([p.view() for p in self._processes.values() if not p.retired], self._settings)
        if name is None:
            self._waiting.append(job)
        else:
            self._give(self._processes[name], job)
        self._tend()

    def end(self, job_id: str, *, politely: bool, reason: str) -> bool:
        """False if no process has it (any longer)."""
        for job in self._waiting:
            if job.job_id == job_id:
                self._waiting.remove(job)
                self._events.job_ended(JobEnded(job_id, ""))
                return True
        for process in self._processes.values():
            if job_id in process.jobs:
                process.channel.send(EndJob(job_id, politely, reason))
                return True
        return False

    def tell(self, job_id: str, body: Mapping[str, Any]) -> bool:
        """False if no process has it."""
        for process in self._processes.values():
            if job_id in process.jobs:
                process.channel.send(TellJob(job_id, body))
                return True
        return False

    def expect(self, reserved: int) -> None:
        """This many jobs have been accepted and are about to be assigned."""
        self.reserved = reserved
        self._job_comes()
        self._tend()

    def _job_comes(self) -> None:
        loop = asyncio.get_running_loop()
        self._calm_from = loop.time() + CALM_S
        loop.call_at(self._calm_from + 0.01, self._tend)  # a loop may call early, by up to its clock's resolution

    def _give(self, process: _Process, job: RunJob) -> None:
        process.jobs[job.job_id] = job
        process.served += 1
        try:
            process.channel.send(job)
        except ChannelError as error:
            del process.jobs[job.job_id]
            self._events.job_ended(JobEnded(job.job_id, str(error)))

    # --- processes ------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        if self._stopping:
            return
        views = [p.view() for p in self._processes.values() if not p.retired]
        calm = asyncio.get_running_loop().time() >= self._calm_from
        for action in tend(views, self._settings, waiting=len(self._waiting) + self.reserved, calm=calm):
            if isinstance(action, Fork):
                for _ in range(action.count):
                    self._fork()
            else:
                process = self._processes[action.name]
                process.retired = True
                process.channel.send(Stop())

    def _fork(self) -> None:
        self._generation += 1
        # Register the process now, so that the same shortage does not lead to two forks.
        self._spawn(self._fork_one(f"j{self._generation}", self._placeholder(f"j{self._generation}")), "fork")

    def _placeholder(self, name: str) -> _Process:
        now = asyncio.get_running_loop().time()
        channel = Channel(lambda message: self._received(name, message), lambda: self._closed(name))
        process = self._processes[name] = _Process(name, channel, started_at=now, heard_at=now)
        return process

    async def _fork_one(self, name: str, process: _Process) -> None:
        ours, theirs = socket.socketpair()
        try:
            if self._early_deaths:
                await asyncio.sleep(min(_RESTART_PAUSE_S * 2.0 ** (self._early_deaths - 1), 30.0))
            warm = await self._warm.get()
            await process.channel.connect(ours)
            process.heard_at = asyncio.get_running_loop().time()
            process.forked = await warm.fork(name, theirs)
            if name not in self._processes:
                process.kill()  # abandoned in the meantime
        except (OSError, TimeoutError, ProgramError) as error:
            _log.error("no job process could be forked: %s", error)
            ours.close()
            self._early_deaths += 1
            self._closed(name)
        finally:
            theirs.close()

    async def _start_parent(self) -> ForkSource:
        try:
            return await self._start_forks(self._program, self._exited)
        except LoadFailed as error:
            raise ProgramError(str(error)) from error

    def _received(self, name: str, message: Message) -> None:
        process = self._processes.get(name)
        if process is None:
            return
        process.heard_at = asyncio.get_running_loop().time()
        match message:
            case ProcessReady():
                process.ready = True
                self._early_deaths = 0
                while self._waiting and choose([process.view()], self._settings):
                    self._give(process, self._waiting.popleft())
                self._tend()
            case Beat(loop_lag_ms=lag):
                process.loop_lag_ms = lag
            case JobState():
                self._events.job_state(message)
            case JobSays():
                self._events.job_says(message)
            case JobEnded(job_id=job_id):
                process.jobs.pop(job_id, None)
                self._events.job_ended(message)
                self._tend()
            case _:
                _log.error("a job process sent %s", type(message).__name__)

    def _closed(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.kill()
        jobs = list(process.jobs.values())
        if jobs:
            self.lost += 1
        if not self._stopping:
            if not process.ready:
                self._early_deaths += 1
            if jobs:
                self._events.jobs_lost(jobs, "its process died")
            self._tend()

    def _exited(self, pid: int, status: int) -> None:
        if status and not self._stopping:
            _log.warning("job process %d ended with status %d", pid, status)

    async def _watch_memory(self) -> None:
        """Replace processes that use too much memory."""
        while True:
            await asyncio.sleep(MEMORY_EVERY_S)
            self._check_memory()

    def _check_memory(self) -> None:
        for process in list(self._processes.values()):
            used_mb = _own_memory_mb(process.pid) if process.pid else 0.0
            verdict = memory_verdict(used_mb, self._program.memory_warn_mb, self._program.memory_limit_mb)
            if verdict == "end":
                _log.error("job process %d uses %.0f MiB, above its limit: it is replaced", process.pid, used_mb)
                process.kill()
                process.channel.close()
            elif verdict == "warn" and not process.warned:
                process.warned = True
                _log.warning("job process %d uses %.0f MiB", process.pid, used_mb)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _patience_s(process: _Process) -> float:
    return BEAT_LIMIT_S if process.ready else READY_LIMIT_S + _RESTART_PAUSE_S * 30


def _tell_silence(process: _Process, silent_s: float) -> None:
    _log.error("no sign of life from job process %d for %.0f s", process.pid, silent_s)


def _own_memory_mb(pid: int) -> float:
    """The process's own memory, without memory shared with its warm parent; 0 if it is gone."""
    try:
        return float(psutil.Process(pid).memory_full_info().uss) / _MIB
    except psutil.Error:
        return 0.0
