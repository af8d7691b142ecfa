"""Records of calls whose worker's main process has died: their job process writes them itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from agent.worker.job import JobProcess
from gateway.config import Settings
from gateway.livekit_jobs.job_records import JobRecords
from gateway.store import RecordWriter, Spill, StoreError, open_store

__all__ = ["keep_records"]

WRITE_LIMIT_S = 5.0
log = structlog.get_logger(__name__)


async def keep_records(process: JobProcess, bodies: Sequence[Mapping[str, Any]]) -> None:
    """Never raises. Each call's beginning from before the death is repeated here. The rest is lost unless the main
    process had written it, which it does every 0.2 s."""
    settings: Settings = process.arguments
    try:
        store = await open_store(settings)
    except StoreError as error:
        log.error("records_lost", error=str(error), messages=len(bodies))
        return
    writer = RecordWriter(store, spill=Spill(settings.store_path, "worker"))
    records = JobRecords(writer.put)
    for body in bodies:
        records.job_says("", body)
    await writer.close(WRITE_LIMIT_S)
    await store.close()
