"""Reading calls: filters, keyset pages, and rows as records. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Select, select, tuple_

from gateway.record import CallDetail, CallRecord, Outcome, Turn
from gateway.store.errors import BadCursor
from gateway.store.schema import calls
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "CallFilters",
    "CallPage",
    "decode_cursor",
    "detail_of",
    "encode_cursor",
    "fields_of",
    "record_of",
    "select_calls",
    "validated",
]

_detail = TypeAdapter(CallDetail)
_record = TypeAdapter(CallRecord)
_turn = TypeAdapter(Turn)
_JSON_COLUMNS = frozenset({"recording", "media", "media_alarms", "tokens", "answering", "message"})
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilters:
    """Which calls to list; None: any. `since` <= started_at < `until`. `live`: only calls in progress."""

    called: str | None = None
    caller: str | None = None
    outcome: Outcome | None = None
    persona: str | None = None
    answered_by: AnsweredBy | None = None
    since: datetime | None = None
    until: datetime | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, newest first. `next_cursor` continues after them; None: there are no more."""

    calls: tuple[CallRecord, ...]
    next_cursor: str | None


def select_calls(filters: CallFilters, limit: int, cursor: str | None) -> Select[Any]:
    """Newest first; one row more than `limit`, to know whether there is a next page. Raises BadCursor."""
    query = select(calls).order_by(calls.c.started_at.desc(), calls.c.call_id.desc()).limit(limit + 1)
    for column in ("called", "caller", "outcome", "persona", "answered_by"):
        wanted = getattr(filters, column)
        if wanted is not None:
            query = query.where(calls.c[column] == wanted)
    if filters.live:
        query = query.where(calls.c.outcome.is_(None))
    if filters.since is not None:
        query = query.where(calls.c.started_at >= filters.since)
    if filters.until is not None:
        query = query.where(calls.c.started_at < filters.until)
    if cursor is not None:
        started_at, call_id = decode_cursor(cursor)
        query = query.where(tuple_(calls.c.started_at, calls.c.call_id) < tuple_(started_at, call_id))
    return query


CURSOR = r"^[0-9]{1,17}\.[A-Za-z0-9_.-]{1,128}$"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_cursor(started_at: datetime, call_id: str) -> str:
    """Each text that matches `CURSOR` is a place in the list."""
    return f"{max(0, (started_at - _EPOCH) // timedelta(microseconds=1))}.{call_id}"


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Raises BadCursor for anything that `encode_cursor` did not make."""
    if not re.fullmatch(CURSOR, cursor, re.ASCII):
        raise BadCursor("invalid cursor")
    microseconds, _, call_id = cursor.partition(".")
    return _EPOCH + timedelta(microseconds=int(microseconds)), call_id


def record_of(row: Mapping[Any, Any]) -> CallRecord:
    return validated(_record, fields_of(row))


def detail_of(row: Mapping[Any, Any], **parts: Sequence[Any]) -> CallDetail:
    """`parts`: legs, transfers, turns, events."""
    return validated(_detail, {**fields_of(row), **parts})


def validated(model: TypeAdapter[Record], fields: dict[str, Any]) -> Record:
    """A JSON column written in another version's format is left out: one old call must not break a list."""
    try:
        return model.validate_python(fields)
    except ValidationError as error:
        foreign = {str(each["loc"][0]) for each in error.errors()}
        if not foreign <= _JSON_COLUMNS:
            raise
        return model.validate_python({name: value for name, value in fields.items() if name not in foreign})


def turn_from_json(text: str) -> Turn:
    """Raises ValueError for a turn in another version's format."""
    return _turn.validate_json(text)


def turn_to_json(turn: Turn) -> str:
    return _turn.dump_json(turn, warnings=False).decode()


def fields_of(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of `calls` or `legs` as the model's fields: missing values get the model's defaults."""
    return {name: value for name, value in row.items() if value is not None or name == "caller"}
