"""`trunkline worker` put together: settings, dialplans, job processes, records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version

from agent.worker.load import Capacity
from agent.worker.placement import PlacementSettings
from agent.worker.processes import StartForks
from agent.worker.program import Program, Reference
from agent.worker.protocol import Registration
from agent.worker.server import WorkerCannotRun, run_until_told
from agent.worker.warm_jobs import start_warm_jobs
from agent.worker.worker import LiveKitAccount, Worker, WorkerSettings
from gateway.adoption import Adoption
from gateway.config import Settings
from gateway.live_calls import LiveCalls
from gateway.livekit.room_endings import RoomEndings
from gateway.livekit_jobs.job_records import JobRecords
from gateway.livekit_jobs.job_steering import JobSteering
from gateway.record import RecordMessage
from gateway.record_flow import RecordFlow
from gateway.store import (
    CallStore,
    RecordWriter,
    Spill,
    StoreInUse,
    StoreLock,
    open_store,
    recover,
    shorten_thread_turns,
)
from telephony.livekit.access import LiveKitAccess

__all__ = ["end_what_was_left", "make_worker", "program_of", "run_worker"]


def program_of(settings: Settings, keys: tuple[str, str]) -> Program:
    """The program of the job processes."""
    livekit = settings.livekit
    assert livekit is not None, "the command checks it"
    return Program(
        Reference("gateway.livekit_jobs.job", "entrypoint"),
        preload=Reference("gateway.livekit_jobs.process", "preload"),
        prewarm=Reference("gateway.livekit_jobs.process", "prewarm"),
        orphaned=Reference("gateway.livekit_jobs.orphaned_records", "keep_records"),
        arguments=settings,
        memory_warn_mb=livekit.worker.memory_warn_mb,
        memory_limit_mb=livekit.worker.memory_limit_mb,
        keys=keys,
    )


def make_worker(
    settings: Settings,
    keys: tuple[str, str],
    record: Callable[[RecordMessage], None],
    end_room: Callable[[str], None],
    start_forks: StartForks = start_warm_jobs,
    steering: JobSteering | None = None,
) -> Worker:
    """`record` gets jobs' messages about calls not bridged by a gateway, `end_room` the rooms of abandoned jobs.
    Raises WorkerCannotRun."""
    livekit = settings.livekit
    assert livekit is not None, "the command checks it"
    worker = livekit.worker
    records = JobRecords(record, end_room, steering.answered if steering is not None else lambda _: None)
    try:
        made = Worker(
            LiveKitAccount(livekit.url, *keys),
            Registration(livekit.agent_name, version("trunkline")),
            program_of(settings, keys),
            WorkerSettings(
                Capacity(worker.load_threshold),
                PlacementSettings(worker.jobs_per_process, worker.idle_processes),
                worker.drain_s,
            ),
            records,
            start_forks=start_forks,
        )
    except ValueError as error:
        raise WorkerCannotRun(str(error)) from error
    if steering is not None:
        steering.tell, steering.job_of = made.tell, records.job_of
    return made


async def run_worker(
    settings: Settings,
    *,
    started: Callable[[Worker, str], object] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Until SIGTERM, SIGINT or SIGHUP, or `stop`. Raises WorkerCannotRun, StoreError."""
    livekit = settings.livekit
    assert livekit is not None, "the command checks it"
    keys = (livekit.api_key.read(), livekit.api_secret.read())
    shorten_thread_turns()
    store = await open_store(settings, migrate_apart=True)
    spill = Spill(settings.store_path, "worker")
    writer = RecordWriter(store, spill=spill)
    lock = await end_what_was_left(store, settings, writer.put, spill)
    await writer.start()
    endings = RoomEndings(LiveKitAccess(livekit.url, *keys))
    try:
        worker = make_worker(settings, keys, RecordFlow(writer.put, LiveCalls()).put, endings.end)
        await run_until_told(worker, (livekit.worker.http.host, livekit.worker.http.port), stop, started)
    finally:
        await endings.close()
        await writer.close()
        await store.close()
        if lock is not None:
            lock.release()


async def end_what_was_left(
    store: CallStore, settings: Settings, put: Callable[[RecordMessage], None], spill: Spill | None = None
) -> StoreLock | None:
    """Complete records that a previous worker left open or could not write, with their recordings, unless another
    worker that shares the store is handling them."""
    try:
        lock = StoreLock.beside(settings.store_path, "worker")
    except StoreInUse:
        return None
    if spill is not None:
        await recover(store, spill)
    left = await store.open_calls(of_livekit_worker=True)
    await store.fail_open("worker_lost", of_livekit_worker=True)
    await Adoption(left, settings.recordings, put).adopt()
    return lock
