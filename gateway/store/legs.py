"""Legs and transfers: how their messages change the tables, and their rows as records.

As with calls, first facts win: duplicates add only missing values, and an end is written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, case, func, select, update

from gateway.record import (
    CallClosed,
    LegClosed,
    LegMoved,
    LegOpened,
    LegRecord,
    Outcome,
    TransferBegan,
    TransferEnded,
    TransferRecord,
    WorkerLost,
    leg_id_of,
)
from gateway.store.queries import fields_of, validated
from gateway.store.schema import calls, legs, transfers
from gateway.store.upsert import add_or_ignore, insert_into
from gateway.store.values import encodable, fitting
from telephony.call import EndedBy, LegRole
from telephony.keys import KeyFigures

__all__ = [
    "begin_transfer",
    "close_customers_leg",
    "close_leg",
    "end_later",
    "end_left_open",
    "end_of_ended_calls",
    "end_transfer",
    "latest_keys",
    "legs_of",
    "lose",
    "move_leg",
    "open_customers_leg",
    "open_leg",
    "transfers_of",
]

_LATE = ("answered_at", "media", "first_rtp_ms", "media_alarms")  # columns that a late end may add
_SHARED_BEGINNING = (
    "call_id", "direction", "trunk", "called", "caller", "sip_call_id", "worker", "started_at",
)  # fmt: skip
_SHARED_END = (
    "answered_at", "ended_at", "outcome", "sip_status", "q850_cause", "ended_by", "end_reason", "media", "first_rtp_ms",
    "media_alarms",
)  # fmt: skip
_FIRST_END = update(legs).where(legs.c.leg_id == bindparam("this"), legs.c.outcome.is_(None))
_leg = TypeAdapter(LegRecord)
_transfer = TypeAdapter(TransferRecord)
log = structlog.get_logger(__name__)


def open_customers_leg(connection: Connection, call: Mapping[str, Any]) -> None:
    """`call`: its beginning as columns of `calls`, just written."""
    row = {name: call[name] for name in _SHARED_BEGINNING}
    row |= {"leg_id": leg_id_of(call["call_id"]), "role": LegRole.CUSTOMER.value, "end_reason": ""}
    add_or_ignore(connection, legs, row)


def close_customers_leg(connection: Connection, closed: CallClosed, call: Mapping[str, Any]) -> None:
    """`call`: its end as columns of `calls`."""
    row = {name: call[name] for name in _SHARED_END}
    if connection.execute(_FIRST_END, {**row, "this": leg_id_of(closed.call_id)}).rowcount == 0:
        close_leg(connection, LegClosed.of_customer(closed))


def open_leg(connection: Connection, opened: LegOpened) -> None:
    if not _knows(connection, opened.call_id):
        log.warning("leg_of_unknown_call", call_id=opened.call_id, leg_id=opened.leg_id)
        return
    new = insert_into(connection, legs).values(_columns(opened) | {"end_reason": ""})
    missing = {
        name: case((legs.c[name] == "", new.excluded[name]), else_=legs.c[name]) for name in ("sip_call_id", "worker")
    }
    connection.execute(new.on_conflict_do_update(index_elements=["leg_id"], set_=missing))


def move_leg(connection: Connection, moved: LegMoved) -> None:
    """The customer's leg takes its call with it."""
    trunk = fitting(legs, {"trunk": moved.trunk, "caller": moved.caller})
    connection.execute(update(legs).where(legs.c.leg_id == moved.leg_id).values(trunk))
    if moved.leg_id == leg_id_of(moved.call_id):
        connection.execute(update(calls).where(calls.c.call_id == moved.call_id).values(trunk))


def close_leg(connection: Connection, closed: LegClosed) -> None:
    row = connection.execute(select(legs).where(legs.c.leg_id == closed.leg_id)).mappings().first()
    if row is None:
        log.warning("end_of_unknown_leg", call_id=closed.call_id, leg_id=closed.leg_id, outcome=closed.outcome)
        return
    columns = _columns(closed)
    columns["media_alarms"] = list(columns["media_alarms"])
    come = {name: value for name, value in columns.items() if value is not None and name not in ("leg_id", "call_id")}
    if row["outcome"] is not None:
        come = {name: come[name] for name in _LATE if name in come and row[name] is None}
    if come:
        connection.execute(update(legs).where(legs.c.leg_id == closed.leg_id).values(come))


def end_later(connection: Connection, call_id: str, ended_at: datetime) -> None:
    """A later sign of life of a call whose gateway died: its customer's leg lasted at least until then."""
    lost = (legs.c.leg_id == leg_id_of(call_id), legs.c.outcome == Outcome.GATEWAY_LOST)
    connection.execute(update(legs).where(*lost).values(ended_at=ended_at))


def begin_transfer(connection: Connection, began: TransferBegan) -> None:
    if not _knows(connection, began.call_id):
        log.warning("transfer_of_unknown_call", call_id=began.call_id, transfer_id=began.transfer_id)
        return
    come = {name: value for name, value in _columns(began).items() if name in transfers.c}  # the screen's data is not
    new = insert_into(connection, transfers).values(come | {"reason": ""})
    leg_id = {"leg_id": func.coalesce(transfers.c.leg_id, new.excluded.leg_id)}
    connection.execute(new.on_conflict_do_update(index_elements=["transfer_id"], set_=leg_id))


def end_transfer(connection: Connection, ended: TransferEnded) -> None:
    known = select(transfers.c.outcome).where(transfers.c.transfer_id == ended.transfer_id)
    row = connection.execute(known).first()
    if row is None:
        log.warning("end_of_unknown_transfer", call_id=ended.call_id, transfer_id=ended.transfer_id)
    elif row.outcome is None:
        come = {name: value for name, value in _columns(ended).items() if name not in ("transfer_id", "call_id")}
        connection.execute(update(transfers).where(transfers.c.transfer_id == ended.transfer_id).values(come))


def end_left_open(connection: Connection, closed: CallClosed) -> None:
    """A lost call's legs and transfers end with it."""
    come = _lost(closed.outcome, closed.ended_at, closed.end_reason)
    open_legs = (legs.c.call_id == closed.call_id, legs.c.outcome.is_(None))
    connection.execute(update(legs).where(*open_legs).values(come[0]))
    open_transfers = (transfers.c.call_id == closed.call_id, transfers.c.outcome.is_(None))
    connection.execute(update(transfers).where(*open_transfers).values(come[1]))


def lose(connection: Connection, lost: WorkerLost) -> None:
    """End the legs of a dead worker whose calls continue."""
    come = _lost(Outcome.WORKER_LOST, lost.at, lost.reason)[0]
    connection.execute(update(legs).where(legs.c.leg_id.in_(lost.leg_ids), legs.c.outcome.is_(None)).values(come))


def end_of_ended_calls(connection: Connection, of_calls: Any, reason: str) -> None:
    """At startup: legs and transfers whose end a lost process never reported, though their call has ended. They end
    with it. `of_calls`: a condition on `calls`."""
    for table in (legs, transfers):
        query = (
            select(calls.c.call_id, calls.c.ended_at)
            .distinct()
            .join(table, table.c.call_id == calls.c.call_id)
            .where(table.c.outcome.is_(None), calls.c.outcome.is_not(None), of_calls)
        )
        for call in connection.execute(query).all():
            come = _lost(Outcome.GATEWAY_LOST, call.ended_at, reason)[0 if table is legs else 1]
            still_open = (table.c.call_id == call.call_id, table.c.outcome.is_(None))
            connection.execute(update(table).where(*still_open).values(come))


def legs_of(connection: Connection, call_id: str) -> tuple[LegRecord, ...]:
    """In the order in which they began."""
    order = (legs.c.started_at, func.length(legs.c.leg_id), legs.c.leg_id)
    rows = connection.execute(select(legs).where(legs.c.call_id == call_id).order_by(*order)).mappings()
    return tuple(validated(_leg, fields_of(row)) for row in rows)


def transfers_of(connection: Connection, call_id: str) -> tuple[TransferRecord, ...]:
    """In the order in which they began."""
    order = (transfers.c.began_at, func.length(transfers.c.transfer_id), transfers.c.transfer_id)
    rows = connection.execute(select(transfers).where(transfers.c.call_id == call_id).order_by(*order)).mappings()
    return tuple(validated(_transfer, fields_of(row)) for row in rows)


def _lost(outcome: Outcome, at: datetime, reason: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The end of legs and transfers left open, as columns."""
    why = encodable(reason)
    leg = {"outcome": outcome, "ended_at": at, "end_reason": why, "ended_by": EndedBy.SYSTEM}
    return leg, {"outcome": outcome, "ended_at": at, "reason": why}


def _knows(connection: Connection, call_id: str) -> bool:
    return connection.execute(select(calls.c.call_id).where(calls.c.call_id == call_id)).first() is not None


def _columns(message: LegOpened | LegClosed | TransferBegan | TransferEnded) -> dict[str, Any]:
    table = legs if isinstance(message, LegOpened | LegClosed) else transfers
    return fitting(table, asdict(message))


def latest_keys(connection: Connection, most: int) -> tuple[tuple[str, KeyFigures], ...]:
    """The trunks of the latest legs that have ended, and the keys that came over them, oldest first. `most`: calls that
    are looked at."""
    latest = select(calls.c.call_id, calls.c.started_at).order_by(calls.c.started_at.desc()).limit(most).subquery()
    found = (
        select(legs.c.trunk, legs.c.media)
        .join(latest, latest.c.call_id == legs.c.call_id)
        .where(legs.c.media.is_not(None))
        .order_by(latest.c.started_at, legs.c.leg_id)
    )
    return tuple((row.trunk, KeyFigures.of(row.media.get("keys", {}))) for row in connection.execute(found))
