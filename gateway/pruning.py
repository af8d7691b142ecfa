"""Removes old calls (records, recordings or transcripts) in small steps, also while a gateway is running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from gateway.store import Kept, OldCall, Selection
from gateway.store.retention import Place
from telephony.media.redaction import erase

__all__ = ["OldCalls", "Pruned", "prune"]

_AT_ONCE = 100  # calls per transaction: keeps a gateway's writes waiting for only a fraction of a second
_PAUSE_S = 0.02


class OldCalls(Protocol):
    """The part of `CallStore` that is needed."""

    async def old_calls(self, selection: Selection, what: Kept, after: Place | None, limit: int) -> list[OldCall]: ...

    async def forget(self, what: Kept, call_ids: list[str]) -> None: ...

    async def forget_waits(self, until: datetime, gateway_id: str, *, dry_run: bool = False) -> int: ...


@dataclass(slots=True)
class Pruned:
    """`waits`: in queues. `errors`: recordings that could not be removed; their calls are left as they are."""

    calls: int = 0
    waits: int = 0
    recordings: int = 0
    bytes: int = 0
    errors: tuple[str, ...] = ()


async def prune(
    store: OldCalls,
    folder: Path,
    selection: Selection,
    what: Kept,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Pruned:
    """`folder`: of the recordings. Each file is removed before its record, so an interrupted run can be resumed.
    Raises StoreUnavailable."""
    done = Pruned()
    after: Place | None = None
    while batch := await store.old_calls(selection, what, after, _AT_ONCE):
        after = batch[-1].place
        gone: list[str] = []
        for call in batch:
            if what is Kept.RECORDINGS and not call.recording:
                continue
            if what is not Kept.TRANSCRIPTS and call.recording:
                try:
                    files, size = await asyncio.to_thread(_remove, folder, call.recording, dry_run)
                except OSError as error:
                    done.errors += (f"{call.call_id}: {error}",)
                    continue
                done.recordings += files
                done.bytes += size
            gone.append(call.call_id)
        if gone and not dry_run:
            await store.forget(what, gone)
            await asyncio.sleep(_PAUSE_S)
        done.calls += len(gone)
        progress(done.calls)
    if what is Kept.RECORDS and selection.until is not None and selection.since is None and not selection.dialplan:
        done.waits = await store.forget_waits(selection.until, selection.gateway_id, dry_run=dry_run)
    return done


def _remove(folder: Path, name: str, dry_run: bool) -> tuple[int, int]:
    """A recording with its parts: how many files, and bytes. Raises OSError."""
    from gateway.api.recordings import confined

    path = confined(folder, name)
    if path is None:
        return 0, 0
    parts = [path, *sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))]
    size = sum(part.stat().st_size for part in parts)
    if not dry_run:
        for part in parts:
            erase(part)
        with suppress(OSError):  # the day's folder, once it is empty
            path.parent.rmdir()
    return len(parts), size
