"""Redaction in the database: rows are rewritten, and the file is compacted so that no trace of the old ones is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from gateway.redaction import digits_masked, redacted, spans_of, text_digits_masked
from gateway.store.schema import calls, deliveries, events, legs, transfers
from gateway.store.writes import Transaction

__all__ = ["CallGoesOn", "NoSuchCall", "RedactedCall", "redact_rows"]


class NoSuchCall(LookupError):
    pass


class CallGoesOn(Exception):
    """Only ended calls can be redacted: later messages would escape it."""


@dataclass(frozen=True, slots=True)
class RedactedCall:
    """`events`: how many were changed. `recording`: its path in the record, "" for none. `spans`: the parts to silence,
    in milliseconds; None: all."""

    events: int
    recording: str
    spans: list[tuple[float, float]] | None


def redact_rows(connection: Connection, call_id: str, *, digits_only: bool) -> RedactedCall:
    """Raises NoSuchCall, CallGoesOn."""
    row = connection.execute(select(calls).where(calls.c.call_id == call_id)).mappings().first()
    if row is None:
        raise NoSuchCall(call_id)
    if row["outcome"] is None:
        raise CallGoesOn(call_id)
    stored = connection.execute(
        select(events.c.id, events.c.event).where(events.c.call_id == call_id).order_by(events.c.id)
    ).all()
    before: list[dict[str, Any]] = [json.loads(each.event) for each in stored]
    change = digits_masked if digits_only else redacted
    after = [change(event) for event in before]
    changed = 0
    for each, old, new in zip(stored, before, after, strict=True):
        if new != old:
            changed += 1
            text = json.dumps(new, ensure_ascii=False)
            connection.execute(update(events).where(events.c.id == each.id).values(event=text))
    if changed:
        _note(connection, call_id, before[-1], "digits" if digits_only else "all")
    Transaction(connection).make_turns(call_id)
    recording = (row["recording"] or {}).get("path", "")
    columns: dict[str, Any] = {"end_reason": text_digits_masked(row["end_reason"])}
    if not digits_only and row["recording"] is not None:
        columns["recording"] = {**row["recording"], "path": "", "error": "redacted"}
    connection.execute(update(calls).where(calls.c.call_id == call_id).values(columns))
    _redact_legs(connection, call_id, digits_only=digits_only)
    waiting = deliveries.c.body.contains(f'"{call_id}"', autoescape=True)  # webhook events contain words, too
    connection.execute(delete(deliveries).where(waiting))
    return RedactedCall(changed, recording, spans_of(before, after) if digits_only else None)


def _redact_legs(connection: Connection, call_id: str, *, digits_only: bool) -> None:
    """Clear why legs and transfers ended, as the reasons may contain words. Numbers stay, as the call's do."""
    for leg in connection.execute(select(legs.c.leg_id, legs.c.end_reason).where(legs.c.call_id == call_id)).all():
        reason = text_digits_masked(leg.end_reason)
        connection.execute(update(legs).where(legs.c.leg_id == leg.leg_id).values(end_reason=reason))
    query = select(transfers.c.transfer_id, transfers.c.reason).where(transfers.c.call_id == call_id)
    for transfer in connection.execute(query).all():
        masked = text_digits_masked(transfer.reason)
        reason = masked if digits_only else redacted({"reason": transfer.reason})["reason"]
        this = transfers.c.transfer_id == transfer.transfer_id
        connection.execute(update(transfers).where(this).values(reason=reason))


def _note(connection: Connection, call_id: str, last: Mapping[str, Any], what: str) -> None:
    """Note in the record that it was redacted."""
    event = {"type": "redacted", "at": last.get("at", 0.0), "t_ms": last.get("t_ms"), "what": what}
    row = {"call_id": call_id, "t_ms": event["t_ms"], "type": "redacted", "event": json.dumps(event)}
    connection.execute(insert(events).values(row))
