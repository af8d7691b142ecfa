"""Copies the records of a SQLite file into the settings' store, for moving a gateway to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.store import CallStore, Spill, StoreError, StoreLock
from gateway.store.copying import (
    add_calls,
    add_keys,
    add_queues,
    add_waits,
    read_calls,
    read_keys,
    read_queues,
    read_waits,
)
from gateway.store.retention import Place

__all__ = ["Copied", "copy"]

_AT_ONCE = 50  # calls a transaction


@dataclass(frozen=True, slots=True)
class Copied:
    calls: int
    known: int  # were there already
    keys: int
    waits: int = 0  # in queues, that are new


async def copy(
    source: Path, target: CallStore, gateway_id: str, progress: Callable[[int], None] = lambda _: None
) -> Copied:
    """Can be interrupted and repeated. Raises StoreError, and StoreInUse while a gateway writes into `source`."""
    lock = _taken(source)
    try:
        store = await CallStore.open(f"sqlite:///{source}")
        try:
            return await _copied(store, target, gateway_id, progress)
        finally:
            await store.close()
    finally:
        lock.release()


def _taken(source: Path) -> StoreLock:
    """Raises StoreError if the source cannot be copied completely."""
    if not source.exists():
        raise StoreError(f"no store at {source}")
    for role in ("", "worker"):
        if (waiting := Spill(source, role).waiting).exists():
            raise StoreError(f"records wait in {waiting}: start a gateway with this store once, then copy it")
    return StoreLock.take(source)


async def _copied(source: CallStore, target: CallStore, gateway_id: str, progress: Callable[[int], None]) -> Copied:
    new = seen = 0
    after: Place | None = None
    while batch := await source.read(partial(read_calls, after=after, limit=_AT_ONCE)):
        last = batch[-1]["calls"][0]
        after = last["started_at"], last["call_id"]
        new += await target.write(partial(add_calls, found=batch, gateway_id=gateway_id))
        seen += len(batch)
        progress(seen)
    keys = await source.read(read_keys)
    await target.write(partial(add_keys, rows=keys))
    return Copied(new, seen - new, len(keys), await _copied_queues(source, target, gateway_id))


async def _copied_queues(source: CallStore, target: CallStore, gateway_id: str) -> int:
    """Returns how many waits are new."""
    await target.write(partial(add_queues, found=await source.read(read_queues)))
    new = after = 0
    while batch := await source.read(partial(read_waits, after=after, limit=_AT_ONCE)):
        after = batch[-1]["id"]
        new += await target.write(partial(add_waits, found=batch, gateway_id=gateway_id))
    return new
