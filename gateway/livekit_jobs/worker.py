"""`trunkline worker` put together: settings, dialplans, job processes, records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from agent.worker.load import Capacity
from agent.worker.placement import PlacementSettings
from agent.worker.program import Program, Reference
from agent.worker.protocol import Registration
from agent.worker.server import serve
from agent.worker.worker import LiveKitAccount, Worker, WorkerSettings
from gateway.config import LiveKitSettings, Settings
from gateway.livekit_jobs.account import JobRecords
from gateway.store import CallStore, RecordWriter, StoreInUse, StoreLock
from telephony.livekit.access import LiveKitAccess
from telephony.livekit.api import LiveKitApi
from telephony.livekit.errors import LiveKitError

__all__ = ["program_of", "run_worker"]

log = structlog.get_logger(__name__)


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
    lock = await _end_what_was_left(store, settings.store_path)
    writer = RecordWriter(store)
    await writer.start()
    access = LiveKitAccess(livekit.url, *keys)
    tasks: set[asyncio.Task[None]] = set()

    def given_up(job: Any) -> None:
        task = asyncio.create_task(_end_call(access, job.room.name), name="end of a call without an agent")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        await serve(
            LiveKitAccount(livekit.url, *keys),
            Registration(livekit.agent_name, version("trunkline")),
            program_of(settings, keys),
            _worker_settings(livekit),
            (livekit.worker.http.host, livekit.worker.http.port),
            hooks=JobRecords(writer.put, given_up),
            started=started,
            stop=stop,
        )
    finally:
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await writer.close()
        await store.close()
        if lock is not None:
            lock.release()


async def _end_what_was_left(store: CallStore, path: Path) -> StoreLock | None:
    """Records that a worker before us left open; unless another one that shares the store is at work with them."""
    try:
        lock = StoreLock.take(path.with_name(path.name + ".worker"))
    except StoreInUse:
        return None
    await store.fail_open("worker_lost", of_livekit_worker=True)
    return lock


def _worker_settings(livekit: LiveKitSettings) -> WorkerSettings:
    worker = livekit.worker
    return WorkerSettings(
        Capacity(worker.load_threshold),
        PlacementSettings(worker.jobs_per_process, worker.idle_processes),
        worker.drain_s,
    )


async def _end_call(access: LiveKitAccess, room: str) -> None:
    """A call whose job has failed for good: the caller must not be left with nobody."""
    api = LiveKitApi(access)
    try:
        await api.delete_room(room)
    except LiveKitError as error:
        log.warning("room_not_ended", room=room, error=str(error))
    finally:
        await api.close()
