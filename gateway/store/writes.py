"""How each message changes the tables, within one transaction."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, delete, insert, select, update

from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    CallRecord,
    LegClosed,
    LegMoved,
    LegOpened,
    Outcome,
    RecordMessage,
    TransferBegan,
    TransferEnded,
    Turn,
    WorkerLost,
    closed_part,
    duration_between,
    opened_part,
)
from gateway.record.answering import MESSAGE, VERDICT, answering_columns
from gateway.store import legs
from gateway.store.queries import turn_from_json, turn_to_json
from gateway.store.schema import calls, events, turns
from gateway.store.upsert import add_or_ignore
from gateway.store.values import encodable, fitting, json_text
from gateway.transcript import build_turns
from telephony.call import EndedBy

__all__ = ["Transaction", "decode_conversation"]

_ROWS_AT_ONCE = 50  # the loop gets its turn between statements, every 0.5 ms or so
# columns that a late end may add
_LATE = ("answered_at", "recording", "media", "first_rtp_ms", "media_alarms", "tokens")
log = structlog.get_logger(__name__)


class Transaction:
    """Applies messages in order. Event rows are gathered and written together; `flush` before commit."""

    def __init__(self, connection: Connection, *, again: bool = False, gateway_id: str = "") -> None:
        """`again`: existing events are left out. `gateway_id`: the owner of calls that begin here."""
        self.connection = connection
        self._gateway_id = gateway_id
        self._again = again
        self._event_rows: list[dict[str, Any]] = []

    def apply(self, message: RecordMessage) -> None:
        match message:
            case CallOpened():
                self._begin(message)
            case CallEvents():
                self._append(message)
            case CallClosed():
                self._finish(message)
            case LegOpened():
                legs.open_leg(self.connection, message)
            case LegMoved():
                legs.move_leg(self.connection, message)
            case LegClosed():
                legs.close_leg(self.connection, message)
            case TransferBegan():
                legs.begin_transfer(self.connection, message)
            case TransferEnded():
                legs.end_transfer(self.connection, message)
            case WorkerLost():
                self._worker_lost(message)
            case CallRecord():
                end = closed_part(message)
                self._begin(opened_part(message))
                self._finish(end)

    def flush(self) -> None:
        """Write the events gathered so far; rebuild the transcripts of calls that had already ended."""
        rows, self._event_rows = self._event_rows, []
        if not rows:
            return
        call_ids = list({row["call_id"] for row in rows})
        query = select(calls.c.call_id, calls.c.outcome).where(calls.c.call_id.in_(call_ids))
        outcomes = {row.call_id: row.outcome for row in self.connection.execute(query)}
        for call_id in call_ids:
            if call_id not in outcomes:
                log.warning("events_of_unknown_call", call_id=call_id)
        rows = [row for row in rows if row["call_id"] in outcomes]
        if self._again:
            rows = self._not_there(rows)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            self.connection.execute(insert(events), rows[first : first + _ROWS_AT_ONCE])
        for call_id, outcome in outcomes.items():
            if outcome is not None:
                self.make_turns(call_id)

    def _not_there(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        call_ids = {row["call_id"] for row in rows}
        there = select(events.c.call_id, events.c.event).where(events.c.call_id.in_(call_ids))
        known = {(row.call_id, row.event) for row in self.connection.execute(there)}
        return [row for row in rows if (row["call_id"], row["event"]) not in known]

    def end_lost(self, call: Any, outcome: Outcome, reason: str) -> None:
        """End an open call (a row with call_id, started_at, answered_at, t_ms) at its last sign of life."""
        ended_at: datetime = call.answered_at or call.started_at
        if call.answered_at is not None and call.t_ms is not None:
            ended_at += timedelta(milliseconds=max(0.0, call.t_ms))
        self._finish(
            CallClosed(
                call_id=call.call_id, outcome=outcome, ended_by=EndedBy.SYSTEM, ended_at=ended_at, end_reason=reason
            )
        )

    def _begin(self, opened: CallOpened) -> None:
        row = fitting(calls, asdict(opened))
        row |= {"end_reason": "", "refused_by": "", "gateway_id": self._gateway_id or None}
        add_or_ignore(self.connection, calls, row)
        legs.open_customers_leg(self.connection, row)

    def _append(self, message: CallEvents) -> None:
        if message.answered_at is not None:
            self.connection.execute(
                update(calls)
                .where(calls.c.call_id == message.call_id, calls.c.answered_at.is_(None))
                .values(answered_at=message.answered_at)
            )
        for event in message.events:
            if event.get("type") in (VERDICT, MESSAGE):
                self._who_answered(message.call_id, event)
            self._event_rows.append(
                {
                    "call_id": message.call_id,
                    "t_ms": _number(event.get("t_ms")),
                    "type": encodable(str(event.get("type", "")))[:64],
                    "event": json_text(event),
                }
            )
        if len(self._event_rows) >= _ROWS_AT_ONCE:
            self.flush()

    def _who_answered(self, call_id: str, event: Mapping[str, Any]) -> None:
        query = select(calls.c.answered_by, calls.c.answering, calls.c.message).where(calls.c.call_id == call_id)
        row = self.connection.execute(query).mappings().first()
        columns = answering_columns(dict(row), event) if row is not None else {}
        if columns:
            fit = {name: _encodable_json(value) for name, value in columns.items()}
            self.connection.execute(update(calls).where(calls.c.call_id == call_id).values(fit))

    def _finish(self, closed: CallClosed) -> None:
        self.flush()
        row = self.connection.execute(select(calls).where(calls.c.call_id == closed.call_id)).mappings().first()
        if row is None:
            log.warning("end_of_unknown_call", call_id=closed.call_id, outcome=closed.outcome)
            return
        columns = _end_columns(closed)
        come = {name: value for name, value in columns.items() if value is not None}
        if row["outcome"] is not None:
            come = {name: come[name] for name in _LATE if name in come and row[name] is None}
            if row["outcome"] == Outcome.GATEWAY_LOST and "recording" in come:
                come |= _end_by_recording(dict(row), come["recording"])
        answered_at, ended_at = come.get("answered_at", row["answered_at"]), come.get("ended_at", row["ended_at"])
        if "duration_ms" not in come and (row["duration_ms"] is None or "answered_at" in come):
            come["duration_ms"] = duration_between(answered_at, ended_at)
        if come:
            self.connection.execute(update(calls).where(calls.c.call_id == closed.call_id).values(come))
        legs.close_customers_leg(self.connection, closed, columns)
        if row["outcome"] == Outcome.GATEWAY_LOST and "ended_at" in come:
            legs.end_later(self.connection, closed.call_id, come["ended_at"])
        if row["outcome"] is None:
            if closed.outcome in (Outcome.WORKER_LOST, Outcome.GATEWAY_LOST):
                legs.end_left_open(self.connection, closed)
            self.make_turns(closed.call_id)

    def _worker_lost(self, lost: WorkerLost) -> None:
        self.flush()
        if lost.leg_ids:
            legs.lose(self.connection, lost)
        query = select(calls.c.call_id).where(calls.c.call_id.in_(lost.call_ids), calls.c.outcome.is_(None))
        for call_id in self.connection.execute(query).scalars().all():
            self._finish(
                CallClosed(
                    call_id=call_id,
                    outcome=Outcome.WORKER_LOST,
                    ended_by=EndedBy.SYSTEM,
                    ended_at=lost.at,
                    end_reason=lost.reason,
                )
            )

    def make_turns(self, call_id: str) -> None:
        """The transcript, built from the stored events."""
        in_order = select(events.c.event).where(events.c.call_id == call_id).order_by(events.c.id)
        happened = self.connection.execute(in_order).scalars().all()
        rows = _turn_rows(call_id, happened)
        self.connection.execute(delete(turns).where(turns.c.call_id == call_id))
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            self.connection.execute(insert(turns), rows[first : first + _ROWS_AT_ONCE])


def decode_conversation(happened: Iterable[str], said: Sequence[str] | None) -> tuple[list[Turn], list[dict[str, Any]]]:
    """Turns and events from their stored JSON. Turns are built from the events if none are stored (`said` is None, a
    live call) or if they are in another version's format."""
    decoded: list[dict[str, Any]] = [json.loads(text) for text in happened]
    if said is not None:
        try:
            return [turn_from_json(text) for text in said], decoded
        except ValueError:
            log.info("turns_of_another_version")
    return build_turns(decoded), decoded


def _turn_rows(call_id: str, happened: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "call_id": call_id,
            "place": place,
            "speaker": turn.speaker,
            "start_ms": turn.start_ms,
            "end_ms": turn.end_ms,
            "text": encodable(turn.text),
            "interrupted": turn.interrupted,
            "latency_ms": turn.latency.first_packet_ms if turn.latency else None,
            "turn": turn_to_json(turn),
        }
        for place, turn in enumerate(build_turns(json.loads(text) for text in happened))
    ]


def _end_columns(closed: CallClosed) -> dict[str, Any]:
    """An end as columns of `calls`; None: not known."""
    columns = fitting(calls, {name: value for name, value in asdict(closed).items() if name != "call_id"})
    columns["media_alarms"] = list(columns["media_alarms"])
    return columns


def _end_by_recording(row: Mapping[str, Any], recording: Mapping[str, Any]) -> dict[str, Any]:
    """The end time of a call whose gateway died is an estimate: its recording may be a later sign of life than its last
    event."""
    if row["answered_at"] is None or row["ended_at"] is None:
        return {}
    ended_at = row["answered_at"] + timedelta(milliseconds=recording["duration_ms"])
    if ended_at <= row["ended_at"]:
        return {}
    return {"ended_at": ended_at, "duration_ms": duration_between(row["answered_at"], ended_at)}


def _encodable_json(value: Any) -> Any:
    return json.loads(json_text(value))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
