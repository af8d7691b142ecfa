"""Copies calls with all their data, queues and API keys from one store to another. Existing data stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, or_, select, tuple_

from gateway.store.retention import Place
from gateway.store.schema import (
    api_keys,
    calls,
    events,
    legs,
    queue_members,
    queue_memory,
    queue_waits,
    transfers,
    turns,
)
from gateway.store.upsert import add_or_ignore

__all__ = [
    "CopiedCall",
    "add_calls",
    "add_keys",
    "add_queues",
    "add_waits",
    "read_calls",
    "read_keys",
    "read_queues",
    "read_waits",
]

_PARTS = (turns, events, legs, transfers)
_ROWS_AT_ONCE = 50
Row = Mapping[str, Any]
CopiedCall = Mapping[str, Sequence[Row]]  # a table's name -> rows of one call


def read_calls(connection: Connection, after: Place | None, limit: int) -> list[CopiedCall]:
    """Oldest first; `after`: the place of the previous one."""
    query = select(calls).order_by(calls.c.started_at, calls.c.call_id).limit(limit)
    if after is not None:
        query = query.where(tuple_(calls.c.started_at, calls.c.call_id) > tuple_(*after))
    return [_with_parts(connection, dict(row)) for row in connection.execute(query).mappings()]


def add_calls(connection: Connection, found: Sequence[CopiedCall], gateway_id: str) -> int:
    """Returns how many were new. `gateway_id`: the calls' owner from now on."""
    ids = [call["calls"][0]["call_id"] for call in found]
    known = set(connection.execute(select(calls.c.call_id).where(calls.c.call_id.in_(ids))).scalars())
    new = [call for call in found if call["calls"][0]["call_id"] not in known]
    for call in new:
        connection.execute(insert(calls), {**call["calls"][0], "gateway_id": gateway_id or None})
        for table in _PARTS:
            rows = [dict(row) for row in call[table.name]]
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                connection.execute(insert(table), rows[first : first + _ROWS_AT_ONCE])
    return len(new)


def read_keys(connection: Connection) -> list[Row]:
    return [dict(row) for row in connection.execute(select(api_keys)).mappings()]


def add_keys(connection: Connection, rows: Sequence[Row]) -> None:
    for row in rows:
        add_or_ignore(connection, api_keys, dict(row))


def read_queues(connection: Connection) -> dict[str, list[Row]]:
    """What is known of members and queues. Ids of waits are the other store's own."""
    members: list[Row] = [{**row, "last_wait": None} for row in connection.execute(select(queue_members)).mappings()]
    memory: list[Row] = [dict(row) for row in connection.execute(select(queue_memory)).mappings()]
    return {"members": members, "memory": memory}


def add_queues(connection: Connection, found: Mapping[str, Sequence[Row]]) -> None:
    for table, rows in ((queue_members, found["members"]), (queue_memory, found["memory"])):
        for row in rows:
            add_or_ignore(connection, table, dict(row))


def read_waits(connection: Connection, after: int, limit: int) -> list[Row]:
    """Past waits, and callbacks that are still to be made. `after`: the id of the previous one."""
    waits = queue_waits.c
    query = select(queue_waits).where(waits.id > after, or_(waits.ended_at.is_not(None), waits.is_callback))
    return [dict(row) for row in connection.execute(query.order_by(waits.id).limit(limit)).mappings()]


def add_waits(connection: Connection, found: Sequence[Row], gateway_id: str) -> int:
    """Returns how many were new."""
    key = (queue_waits.c.call_id, queue_waits.c.queue, queue_waits.c.joined_at)
    these = select(*key).where(queue_waits.c.call_id.in_([row["call_id"] for row in found]))
    known = {tuple(row) for row in connection.execute(these)}
    new = [row for row in found if (row["call_id"], row["queue"], row["joined_at"]) not in known]
    if new:
        connection.execute(insert(queue_waits), [{**_without_id(row), "gateway": gateway_id} for row in new])
    return len(new)


def _with_parts(connection: Connection, call: Row) -> CopiedCall:
    found: dict[str, Sequence[Row]] = {"calls": [call]}
    for table in _PARTS:
        query = select(table).where(table.c.call_id == call["call_id"])
        if table is events:  # their order is that of their ids, which are the other store's own
            query = query.order_by(events.c.id)
        found[table.name] = [_without_id(row) for row in connection.execute(query).mappings()]
    return found


def _without_id(row: Mapping[Any, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "id"}
