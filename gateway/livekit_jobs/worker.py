"""`trunkline worker` put together: settings, dialplans, job processes, records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent.warm.client import WarmParent
from agent.worker.load import Capacity
from agent.worker.placement import PlacementSettings
from agent.worker.processes import StartForks
from agent.worker.program import Program, Reference
from agent.worker.protocol import Registration
from agent.worker.server import WorkerCannotRun, run_until_told
from agent.worker.worker import LiveKitAccount, Worker, WorkerSettings
from gateway.config import Settings
from gateway.livekit_jobs.account import JobRecords
from gateway.livekit_jobs.ending import end_room
from gateway.record import RecordMessage
from gateway.store import CallStore, RecordWriter, StoreInUse, StoreLock
from telephony.livekit.access import LiveKitAccess
from telephony.livekit.api import LiveKitApi

__all__ = ["Farewells", "end_what_was_left", "make_worker", "program_of", "run_worker"]


def program_of(settings: Settings, keys: tuple[str, str]) -> Program:
    """What the job processes run."""
    livekit = settings.livekit
    assert livekit is not None, "the command checks it"
    return Program(
        Reference("gateway.livekit_jobs.job", "entrypoint"),
        preload=Reference("gateway.livekit_jobs.process", "preload"),
        prewarm=Reference("gateway.livekit_jobs.process", "prewarm"),
        orphaned=Reference("gateway.livekit_jobs.orphans", "keep_records"),
        arguments=settings,
        memory_warn_mb=livekit.worker.memory_warn_mb,
        memory_limit_mb=livekit.worker.memory_limit_mb,
        keys=keys,
    )


class Farewells:
    """The ends of calls whose job can do nothing more for them: the caller must not be left with nobody."""

    def __init__(self, url: str, keys: tuple[str, str]) -> None:
        self._access = LiveKitAccess(url, *keys)
        self._tasks: set[asyncio.Task[None]] = set()

    def end_call(self, job: Any) -> None:
        task = asyncio.create_task(self._end(job.room.name), name="end of a call without an agent")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def said(self) -> None:
        """Those that are under way; 5 s at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()

    async def _end(self, room: str) -> None:
        api = LiveKitApi(self._access)
        try:
            await end_room(api, room)
        finally:
            await api.close()


def make_worker(
    settings: Settings,
    keys: tuple[str, str],
    record: Callable[[RecordMessage], None],
    given_up: Callable[[Any], None],
    start_forks: StartForks = WarmParent.start,
) -> Worker:
    """`record` takes what jobs say of calls that no gateway bridges. Raises WorkerCannotRun."""
    livekit = settings.livekit
    assert livekit is not None, "the command checks it"
    worker = livekit.worker
    try:
        return Worker(
            LiveKitAccount(livekit.url, *keys),
            Registration(livekit.agent_name, version("trunkline")),
            program_of(settings, keys),
            WorkerSettings(
                Capacity(worker.load_threshold),
                PlacementSettings(worker.jobs_per_process, worker.idle_processes),
                worker.drain_s,
            ),
            JobRecords(record, given_up),
            start_forks=start_forks,
        )
    except ValueError as error:
        raise WorkerCannotRun(str(error)) from error


async def run_worker(
    settings: Settings,
    *,
    started: Callable[[Worker, str], object] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Until SIGTERM or SIGINT, or `stop`. Raises WorkerCannotRun, StoreError."""
    livekit = settings.livekit
    assert livekit is not None, "the command checks it"
    keys = (livekit.api_key.read(), livekit.api_secret.read())
    store = await CallStore.open(settings.store, migrate_apart=True)
    lock = await end_what_was_left(store, settings.store_path)
    writer = RecordWriter(store)
    await writer.start()
    farewells = Farewells(livekit.url, keys)
    try:
        worker = make_worker(settings, keys, writer.put, farewells.end_call)
        await run_until_told(worker, (livekit.worker.http.host, livekit.worker.http.port), stop, started)
    finally:
        await farewells.said()
        await writer.close()
        await store.close()
        if lock is not None:
            lock.release()


async def end_what_was_left(store: CallStore, path: Path) -> StoreLock | None:
    """Records that a worker before us left open; unless another one that shares the store is at work with them."""
    try:
        lock = StoreLock.take(path.with_name(path.name + ".worker"))
    except StoreInUse:
        return None
    await store.fail_open("worker_lost", of_livekit_worker=True)
    return lock
