"""The agent worker of a gateway that has its own: `trunkline worker` inside `trunkline serve`, for one machine.

Its job processes are forked by the same warm parent as the call workers, and what its jobs say goes the way of the
gateway's own records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from agent.warm.client import ForkSource, OnExit
from agent.warm.shared import SharedParent
from agent.worker.program import Program
from agent.worker.server import WorkerCannotRun, work
from agent.worker.warm_jobs import WarmJobs
from agent.worker.worker import Worker
from gateway.callworker.warm import CallWorkers
from gateway.config import Settings
from gateway.livekit.room_endings import RoomEndings
from gateway.livekit_jobs.job_steering import JobSteering
from gateway.livekit_jobs.worker import end_what_was_left, make_worker, program_of
from gateway.record import RecordMessage
from gateway.store import CallStore, StoreLock
from gateway.warm_parent import WarmWorkers
from telephony.livekit.access import LiveKitAccess

__all__ = ["HostedWorker"]

log = structlog.get_logger(__name__)

REGISTER_LIMIT_S = 5.0  # a LiveKit server that is away must not keep the gateway from starting
RETRY_S = 15.0
_CALLS, _JOBS = "calls", "jobs"


class HostedWorker:
    def __init__(self, settings: Settings) -> None:
        """Raises SecretMissing."""
        assert settings.livekit is not None, "the settings are checked"
        livekit = settings.livekit
        self._settings = settings
        self._keys = (livekit.api_key.read(), livekit.api_secret.read())
        self._http = (livekit.worker.http.host, livekit.worker.http.port)
        self._record: Callable[[RecordMessage], None] = lambda _: None
        self._forks = SharedParent({_CALLS: CallWorkers(settings), _JOBS: WarmJobs(program_of(settings, self._keys))})
        self._endings = RoomEndings(LiveKitAccess(livekit.url, *self._keys))
        self._stop, self._stop_now = asyncio.Event(), asyncio.Event()
        self._worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock: StoreLock | None = None
        self._failed = ""
        self.steering = JobSteering()
        self.url = ""  # of /healthz and /metrics

    async def call_workers(self, _: Settings, on_exit: OnExit) -> WarmWorkers:
        """Where the supervisor's call workers come from."""
        return await WarmWorkers.sharing(self._forks.start(_CALLS, on_exit))

    async def start(self, store: CallStore, record: Callable[[RecordMessage], None]) -> None:
        """Returns once LiveKit knows the worker, or has kept it waiting for 5 s. Raises OSError if it cannot run."""
        self._record = record
        self._lock = await end_what_was_left(store, self._settings, self._record)
        try:
            worker, task = self._begin()
            registered = asyncio.create_task(worker.registered.wait(), name="first registration")
            await asyncio.wait({task, registered}, timeout=REGISTER_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            registered.cancel()
            if task.done():
                task.result()
        except WorkerCannotRun as error:
            raise OSError(f"the agent worker (livekit.worker.in_gateway): {error}") from error
        task.add_done_callback(self._ended)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for /healthz."""
        trouble = self._failed or (self._worker.trouble if self._worker is not None else "it is not running")
        return (f"the agent worker takes no calls: {trouble}",) if trouble and not self._stop.is_set() else ()

    async def drain(self, stop_now: asyncio.Event) -> None:
        """Let jobs end, as `trunkline worker` does at shutdown; at once if `stop_now` is set."""
        self._stop.set()
        if self._task is None or self._task.done():
            return
        hurry = asyncio.create_task(stop_now.wait())
        await asyncio.wait({self._task, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        await self.close()

    async def close(self) -> None:
        """At once. Idempotent."""
        self._stop.set()
        self._stop_now.set()
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._endings.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _begin(self) -> tuple[Worker, asyncio.Task[None]]:
        worker = make_worker(
            self._settings, self._keys, self._record, self._endings.end, self._job_forks, self.steering
        )
        running = work(worker, self._http, self._stop, self._stop_now, self._started)
        self._worker, self._task = worker, asyncio.create_task(running, name="agent worker")
        return worker, self._task

    async def _job_forks(self, _: Program, on_exit: OnExit) -> ForkSource:
        return await self._forks.start(_JOBS, on_exit)

    def _started(self, _: Worker, url: str) -> None:
        self.url = url
        log.info("agent_worker", url=url)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Long after the start, usually because LiveKit no longer accepts the keys. Running calls continue without
        it."""
        if task.cancelled() or self._stop.is_set():
            return
        error = task.exception()
        self._failed = str(error) if error is not None else "it has ended"
        unforeseen = None if isinstance(error, WorkerCannotRun) else error
        log.error("agent_worker_failed", error=self._failed, exc_info=unforeseen)
        asyncio.get_running_loop().call_later(RETRY_S, self._again)

    def _again(self) -> None:
        if not self._stop.is_set():
            self._failed = ""
            _, task = self._begin()
            task.add_done_callback(self._ended)
