"""Rows of campaigns, their contacts and attempts, as the engine's types and back. Works on a connection, blocking."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.campaigns.book import Campaign
from gateway.campaigns.model import Attempt, CampaignState, Contact, Done, DoneReason, Later, Number
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.pacing import Pace, PaceLimits
from gateway.record import Outcome
from gateway.store.schema import campaign_attempts, campaign_contacts, do_not_call
from gateway.store.values import json_text
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "attempt_of",
    "campaign_of",
    "contact_of",
    "contacts_with_attempts",
    "done_of",
    "listed_of",
    "new_contact",
    "order_of",
    "pace_of",
    "pace_text",
    "verdict_columns",
]

_orders: dict[str, CampaignOrder] = {}  # by text: parsing costs a millisecond, and active campaigns are read often


def order_of(text: str) -> CampaignOrder:
    if text not in _orders:
        if len(_orders) > 200:
            _orders.clear()
        _orders[text] = CampaignOrder.model_validate_json(text)
    return _orders[text]


def campaign_of(row: Row[Any], live: int, next_at: float | None) -> Campaign:
    return Campaign(
        row.campaign_id,
        order_of(row.order),
        CampaignState(row.state),
        row.reason,
        live,
        None if next_at is None else _time(next_at),
        row.failures,
    )


def pace_of(text: str) -> Pace:
    kept = json.loads(text)
    return Pace(**{**kept, "limits": PaceLimits(**kept["limits"])})


def pace_text(pace: Pace) -> str:
    return json_text(asdict(pace))


def contact_of(row: Row[Any], attempts: Sequence[Attempt]) -> Contact:
    return Contact(
        row.contact_id,
        row.key,
        tuple(Number(number, tuple(zones), region) for number, zones, region in json.loads(row.numbers)),
        json.loads(row.variables),
        tuple(attempts),
        row.consent,
        None if row.callback_at is None else _time(row.callback_at),
        _time(row.added_at),
    )


def new_contact(campaign_id: str, contact: Contact, now: datetime) -> dict[str, Any]:
    """Its row; the database gives it its id."""
    return {
        "campaign_id": campaign_id,
        "key": contact.key,
        "numbers": json_text([[number.number, number.zones, number.region] for number in contact.numbers]),
        "variables": json_text(dict(contact.variables)),
        "consent": contact.consent,
        "state": "waiting",
        "next_at": now.timestamp(),
        "callback_at": None,
        "rule": "",
        "done": None,
        "lease_by": "",
        "lease_until": 0.0,
        "call_id": "",
        "added_at": now.timestamp(),
    }


def attempt_of(row: Row[Any]) -> Attempt:
    return Attempt(
        row.number,
        _time(row.at),
        None if row.outcome is None else Outcome(row.outcome),
        None if row.answered_by is None else AnsweredBy(row.answered_by),
        row.delivered,
        row.call_id,
    )


def done_of(row: Row[Any]) -> Done | None:
    return None if row.done is None else Done(DoneReason(row.done), row.rule)


def verdict_columns(verdict: Later | Done) -> dict[str, Any]:
    """A contact's columns once it is free."""
    free = {"lease_by": "", "lease_until": 0.0, "call_id": "", "rule": verdict.rule}
    if isinstance(verdict, Done):
        return {**free, "state": "done", "done": verdict.reason.value}
    return {**free, "state": "waiting", "next_at": verdict.at.timestamp()}


def contacts_with_attempts(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Contact, ...]:
    by_contact: dict[int, list[Attempt]] = {row.contact_id: [] for row in rows}
    made = select(campaign_attempts).where(campaign_attempts.c.contact_id.in_(by_contact))
    for attempt in connection.execute(made.order_by(campaign_attempts.c.contact_id, campaign_attempts.c.place)):
        by_contact[attempt.contact_id].append(attempt_of(attempt))
    return tuple(contact_of(row, by_contact[row.contact_id]) for row in rows)


def listed_of(connection: Connection, campaign_id: str, contacts: Sequence[Contact]) -> Mapping[str, str]:
    numbers = {number.number for contact in contacts for number in contact.numbers}
    lists = select(do_not_call.c.number, do_not_call.c.list).where(
        do_not_call.c.number.in_(numbers), do_not_call.c.campaign_id.in_(("", campaign_id))
    )
    return {row.number: row.list for row in connection.execute(lists)}


def contact_row(connection: Connection, contact_id: int) -> Row[Any] | None:
    """With its row locked."""
    this = select(campaign_contacts).where(campaign_contacts.c.contact_id == contact_id).with_for_update()
    return connection.execute(this).first()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
