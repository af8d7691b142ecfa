"""Copies calls with all their data, and API keys, from one store to another. Existing data stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, tuple_

from gateway.store.retention import Place
from gateway.store.schema import api_keys, calls, events, legs, transfers, turns
from gateway.store.upsert import add_or_ignore

__all__ = ["CopiedCall", "add_calls", "add_keys", "read_calls", "read_keys"]

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
