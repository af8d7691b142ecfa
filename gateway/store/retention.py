"""Retention: finds old calls and removes them, or parts of them, from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, insert, or_, select, tuple_, update

from gateway.store.schema import calls, events, queue_waits, turns
from gateway.store.values import json_text

__all__ = ["Kept", "OldCall", "Place", "Selection", "find_calls", "find_old", "forget", "forget_waits"]

PRUNED = "pruned"  # the type of the event that records it
Place = tuple[datetime, str]  # of a call in the order of time: started_at, call_id


class Kept(StrEnum):
    """What an age limit applies to."""

    RECORDS = "records"  # everything about a call, including its recording
    RECORDINGS = "recordings"
    TRANSCRIPTS = "transcripts"  # and all events of the conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Ended calls, `since` <= started_at < `until`. `dialplan`: only those answered by a rule of this file.
    `gateway_id`: only those of this gateway; empty: all."""

    since: datetime | None = None
    until: datetime | None = None
    dialplan: str = ""
    gateway_id: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [calls.c.outcome.is_not(None)]
        if self.since is not None:
            found.append(calls.c.started_at >= self.since)
        if self.until is not None:
            found.append(calls.c.started_at < self.until)
        if self.dialplan:
            rules = f"{self.dialplan}:"  # rules are named by file and line
            found.append(func.substr(calls.c.rule, 1, len(rules)) == rules)
        if self.gateway_id:
            found.append(calls.c.gateway_id == self.gateway_id)
        return found


@dataclass(frozen=True, slots=True)
class OldCall:
    """`recording`: relative to the folder of recordings; empty: none."""

    call_id: str
    started_at: datetime
    recording: str

    @property
    def place(self) -> Place:
        return self.started_at, self.call_id


def find_calls(connection: Connection, selection: Selection, after: Place | None, limit: int) -> list[str]:
    """Ids, oldest first. `after`: the place of the last one so far."""
    query = _in_order(select(calls.c.call_id).where(*selection.conditions()), after, limit)
    return list(connection.execute(query).scalars())


def find_old(
    connection: Connection, selection: Selection, what: Kept, after: Place | None, limit: int
) -> list[OldCall]:
    """Calls that still have data to remove, oldest first."""
    query = select(calls.c.call_id, calls.c.started_at, calls.c.recording).where(*selection.conditions())
    if what is Kept.RECORDINGS:
        query = query.where(calls.c.recording.is_not(None))
    elif what is Kept.TRANSCRIPTS:
        query = query.where(exists().where(events.c.call_id == calls.c.call_id, events.c.type != PRUNED))
    rows = connection.execute(_in_order(query, after, limit)).all()
    return [OldCall(row.call_id, row.started_at, _path(row.recording)) for row in rows]


def forget(connection: Connection, what: Kept, call_ids: Sequence[str], now: datetime) -> None:
    """Records are removed with all dependent rows. Otherwise the record stays and says what was removed."""
    if what is Kept.RECORDS:
        connection.execute(delete(calls).where(calls.c.call_id.in_(call_ids)))
        connection.execute(delete(queue_waits).where(queue_waits.c.call_id.in_(call_ids)))
    elif what is Kept.RECORDINGS:
        for call_id, recording in connection.execute(
            select(calls.c.call_id, calls.c.recording).where(calls.c.call_id.in_(call_ids))
        ).all():
            gone = {**(recording or {}), "path": "", "error": PRUNED}
            connection.execute(update(calls).where(calls.c.call_id == call_id).values(recording=gone))
    else:
        for table in (turns, events):
            connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
        note = json_text({"type": PRUNED, "at": 0.0, "t_ms": None, "what": what.value, "on": now.isoformat()})
        rows = [{"call_id": call_id, "t_ms": None, "type": PRUNED, "event": note} for call_id in call_ids]
        connection.execute(insert(events), rows)


def forget_waits(connection: Connection, until: datetime, gateway_id: str, *, dry_run: bool) -> int:
    """Waits in queues that began before, also callbacks that nobody has made; how many. `gateway_id`: see
    `Selection`."""
    waits = queue_waits.c
    old = [waits.joined_at < until.timestamp(), or_(waits.ended_at.is_not(None), waits.is_callback)]
    if gateway_id:
        old.append(waits.gateway == gateway_id)
    count = connection.execute(select(func.count()).select_from(queue_waits).where(*old)).scalar_one()
    if count and not dry_run:
        connection.execute(delete(queue_waits).where(*old))
    return count


def _in_order(query: Select[Any], after: Place | None, limit: int) -> Select[Any]:
    if after is not None:
        query = query.where(tuple_(calls.c.started_at, calls.c.call_id) > tuple_(*after))
    return query.order_by(calls.c.started_at, calls.c.call_id).limit(limit)


def _path(recording: Mapping[str, Any] | None) -> str:
    return str((recording or {}).get("path", ""))
