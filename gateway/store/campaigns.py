"""Campaigns, shared by all gateways of a database.

Contacts are taken with their rows locked, and skipped where another gateway has them (`FOR UPDATE SKIP LOCKED`); the
campaign's own row, locked first, carries the pace for all of them. (SQLite has one writer at a time.) An attempt's row
is written before its INVITE, and its place within the contact is unique: whatever is killed when, none is made twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from gateway.campaigns.book import LEASE, Campaign, Ended, NewAttempt, Taken
from gateway.campaigns.model import Attempt, CampaignState, Done, Later
from gateway.campaigns.pacing import Pace
from gateway.record import Outcome
from gateway.store.campaign_rows import (
    campaign_of,
    contact_row,
    contacts_with_attempts,
    listed_of,
    order_of,
    pace_of,
    pace_text,
    verdict_columns,
)
from gateway.store.database import Database
from gateway.store.schema import calls, campaign_attempts, campaign_contacts, campaign_decisions, campaigns
from gateway.store.upsert import insert_into
from telephony.call import EndedBy
from telephony.media.answering.model import AnsweredBy

__all__ = ["StoredCampaignBook"]

_ACTIVE = (CampaignState.RUNNING, CampaignState.FINISHING)
# The end of a call whose session failed, or whose error ended it ("FactoryFailed: …"), as `gateway.calls` words them.
_FAILED = re.compile(r"error$|[A-Z]\w*: ")
_CONTACTS, _ATTEMPTS = campaign_contacts.c, campaign_attempts.c


class StoredCampaignBook:
    """Implements `CampaignBook` in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what the engine asks ----------------------------------------------------------------------------------------

    async def active(self, now: datetime) -> tuple[Campaign, ...]:
        def read(connection: Connection) -> tuple[Campaign, ...]:
            found = select(campaigns).where(campaigns.c.state.in_(_ACTIVE))
            rows = connection.execute(found.order_by(campaigns.c.priority.desc(), campaigns.c.created_at)).all()
            return tuple(_seen(connection, row) for row in rows)

        return await self._database.read(read)

    async def take(self, campaign_id: str, gateway: str, most: int, now: datetime) -> Taken:
        def write(connection: Connection) -> Taken:
            campaign = _locked(connection, campaign_id)
            if campaign is None or campaign.state != CampaignState.RUNNING:
                return Taken()
            pace = pace_of(campaign.pace).now(now.timestamp())
            count = min(most, pace.allowed(_live(connection, campaign_id)))
            rows = _lease(connection, campaign_id, gateway, count, now) if count > 0 else []
            pace = pace.begun(len(rows))
            _keep_pace(connection, campaign_id, pace)
            contacts = contacts_with_attempts(connection, rows)
            due_s = max(0.0, pace.due - now.timestamp())
            return Taken(contacts, listed_of(connection, campaign_id, contacts), due_s)

        return await self._database.write(write)

    async def dialling(self, attempt: NewAttempt, gateway: str) -> bool:
        def write(connection: Connection) -> bool:
            state = select(campaigns.c.state).where(campaigns.c.campaign_id == attempt.campaign_id)
            contact = contact_row(connection, attempt.contact_id)
            if contact is None or connection.execute(state).scalar() != CampaignState.RUNNING:
                return False
            if contact.state != "dialling" or contact.lease_by != gateway or contact.call_id:
                return False
            row = {
                "contact_id": attempt.contact_id, "place": attempt.place, "campaign_id": attempt.campaign_id,
                "number": attempt.number, "at": attempt.at.timestamp(), "call_id": attempt.call_id, "delivered": False,
                "settled": False,
            }  # fmt: skip
            new = insert_into(connection, campaign_attempts).values(row).on_conflict_do_nothing()
            if not connection.execute(new.execution_options(preserve_rowcount=True)).rowcount:
                return False
            _change(connection, attempt.contact_id, call_id=attempt.call_id, callback_at=None)
            decided = (attempt.campaign_id, attempt.contact_id, attempt.number, attempt.at)
            _decided(connection, decided, "dial", None, attempt.rule)
            return True

        return await self._database.write(write)

    async def not_dialled(self, call_id: str, verdict: Later | Done, now: datetime) -> None:
        def write(connection: Connection) -> None:
            this = select(campaign_attempts).where(_ATTEMPTS.call_id == call_id)
            attempt = connection.execute(this).first()
            if attempt is None:
                return
            connection.execute(delete(campaign_attempts).where(_ATTEMPTS.call_id == call_id))
            self._freed(connection, attempt.contact_id, verdict, now, attempt.number)

        await self._database.write(write)

    async def judged(self, contact_id: int, verdict: Later | Done, now: datetime) -> None:
        await self._database.write(lambda connection: self._freed(connection, contact_id, verdict, now))

    @staticmethod
    def _freed(connection: Connection, contact_id: int, verdict: Later | Done, now: datetime, number: str = "") -> None:
        """A contact that was taken and not called: the pace gets the call back."""
        contact = contact_row(connection, contact_id)
        if contact is None or contact.state != "dialling":
            return
        campaign = _locked(connection, contact.campaign_id)
        if campaign is not None:
            _keep_pace(connection, contact.campaign_id, pace_of(campaign.pace).begun(-1))
        if contact.rule != verdict.rule:  # the same reason as before is no new decision
            kind, until = ("done", None) if isinstance(verdict, Done) else ("later", verdict.at.timestamp())
            _decided(connection, (contact.campaign_id, contact_id, number, now), kind, until, verdict.rule)
        _change(connection, contact_id, **verdict_columns(verdict))

    async def ended(self, gateway: str, now: datetime) -> tuple[Ended, ...]:
        def write(connection: Connection) -> tuple[Ended, ...]:
            _adopt(connection, gateway, now)
            under_way = (
                select(campaign_attempts, calls, _CONTACTS.lease_until, campaigns.c.order)
                .join(campaign_contacts, _CONTACTS.contact_id == _ATTEMPTS.contact_id)
                .join(campaigns, campaigns.c.campaign_id == _ATTEMPTS.campaign_id)
                .outerjoin(calls, calls.c.call_id == _ATTEMPTS.call_id)
                .where(_CONTACTS.state == "dialling", _CONTACTS.lease_by == gateway, _ATTEMPTS.settled.is_(False))
                .where(or_(calls.c.ended_at.is_not(None), _CONTACTS.lease_until == _LOST))
                .limit(500)
            )
            return tuple(_ended(connection, row) for row in connection.execute(under_way).mappings())

        return await self._database.write(write)

    async def settled(self, campaign_id: str, contact_id: int, attempt: Attempt, verdict: Later | Done) -> None:
        def write(connection: Connection) -> None:
            this = _ATTEMPTS.call_id == attempt.call_id, _ATTEMPTS.settled.is_(False)
            outcome = {
                "outcome": None if attempt.outcome is None else attempt.outcome.value,
                "answered_by": None if attempt.answered_by is None else attempt.answered_by.value,
                "delivered": attempt.delivered,
                "settled": True,
            }
            told = update(campaign_attempts).where(*this).values(outcome)
            if not connection.execute(told.execution_options(preserve_rowcount=True)).rowcount:
                return
            contact = contact_row(connection, contact_id)
            if contact is not None and contact.call_id == attempt.call_id:
                _change(connection, contact_id, **_after(contact, verdict))

        await self._database.write(write)

    async def resume(self, gateway: str, now: datetime) -> None:
        def write(connection: Connection) -> None:
            mine = update(campaign_contacts).where(_CONTACTS.state == "dialling", _CONTACTS.lease_by == gateway)
            connection.execute(mine.where(_CONTACTS.call_id == "").values(_FREE))
            connection.execute(mine.where(_CONTACTS.call_id != "").values(lease_until=_LOST))

        await self._database.write(write)

    async def renew(self, gateway: str, now: datetime) -> int:
        mine = _CONTACTS.state == "dialling", _CONTACTS.lease_by == gateway, _CONTACTS.lease_until > _LOST
        longer = update(campaign_contacts).where(*mine).values(lease_until=(now + LEASE).timestamp())
        counted = longer.execution_options(preserve_rowcount=True)
        return await self._database.write(lambda connection: connection.execute(counted).rowcount)

    async def overloaded(self, campaign_id: str, now: datetime, retry_after_s: float) -> None:
        def write(connection: Connection) -> None:
            campaign = _locked(connection, campaign_id)
            if campaign is not None:
                slower = pace_of(campaign.pace).overloaded(now.timestamp(), retry_after_s)
                _keep_pace(connection, campaign_id, slower)

        await self._database.write(write)

    async def pace(self, campaign_id: str) -> Pace:
        this = select(campaigns.c.pace).where(campaigns.c.campaign_id == campaign_id)
        return await self._database.read(lambda connection: pace_of(connection.execute(this).scalar_one()))

    async def set_state(
        self, campaign_id: str, state: CampaignState, reason: str, now: datetime, *, only: Sequence[CampaignState] = ()
    ) -> bool:
        values: dict[str, Any] = {"state": state.value, "reason": reason}
        if state in (CampaignState.DONE, CampaignState.STOPPED):
            values["ended_at"] = now.timestamp()
        if state is CampaignState.RUNNING:
            values["started_at"] = func.coalesce(campaigns.c.started_at, now.timestamp())
        this = update(campaigns).where(campaigns.c.campaign_id == campaign_id)
        if only:
            this = this.where(campaigns.c.state.in_(only))
        changed = this.values(values).execution_options(preserve_rowcount=True)
        return await self._database.write(lambda connection: connection.execute(changed).rowcount > 0)

    async def failures(self, campaign_id: str, count: int) -> None:
        this = update(campaigns).where(campaigns.c.campaign_id == campaign_id).values(failures=count)
        await self._database.write(lambda connection: connection.execute(this))


_FREE = {"state": "waiting", "lease_by": "", "lease_until": 0.0}
_LOST = -1.0  # the lease of a contact whose gateway died, once another has it


def _seen(connection: Connection, row: Row[Any]) -> Campaign:
    waiting = select(func.min(_CONTACTS.next_at)).where(
        _CONTACTS.campaign_id == row.campaign_id, _CONTACTS.state == "waiting"
    )
    next_at = connection.execute(waiting).scalar()
    return campaign_of(row, _live(connection, row.campaign_id), next_at)


def _live(connection: Connection, campaign_id: str) -> int:
    live = select(func.count()).where(_CONTACTS.campaign_id == campaign_id, _CONTACTS.state == "dialling")
    return int(connection.execute(live).scalar_one())


def _locked(connection: Connection, campaign_id: str) -> Row[Any] | None:
    this = select(campaigns).where(campaigns.c.campaign_id == campaign_id).with_for_update()
    return connection.execute(this).first()


def _keep_pace(connection: Connection, campaign_id: str, pace: Pace) -> None:
    this = update(campaigns).where(campaigns.c.campaign_id == campaign_id)
    connection.execute(this.values(pace=pace_text(pace)))


def _lease(connection: Connection, campaign_id: str, gateway: str, count: int, now: datetime) -> Sequence[Row[Any]]:
    due = (
        select(campaign_contacts)
        .where(_CONTACTS.campaign_id == campaign_id, _CONTACTS.state == "waiting")
        .where(_CONTACTS.next_at <= now.timestamp())
        .order_by(_CONTACTS.next_at, _CONTACTS.contact_id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    lease = {"state": "dialling", "lease_by": gateway, "lease_until": (now + LEASE).timestamp(), "call_id": ""}
    ids = [row.contact_id for row in rows]
    connection.execute(update(campaign_contacts).where(_CONTACTS.contact_id.in_(ids)).values(lease))
    return rows


def _change(connection: Connection, contact_id: int, **values: Any) -> None:
    connection.execute(update(campaign_contacts).where(_CONTACTS.contact_id == contact_id).values(values))


def _decided(
    connection: Connection, about: tuple[str, int, str, datetime], verdict: str, until: float | None, rule: str
) -> None:
    campaign_id, contact_id, number, at = about
    row = {
        "campaign_id": campaign_id, "contact_id": contact_id, "number": number, "at": at.timestamp(),
        "verdict": verdict, "until": until, "rule": rule,
    }  # fmt: skip
    connection.execute(insert(campaign_decisions).values(row))


def _adopt(connection: Connection, gateway: str, now: datetime) -> None:
    """Contacts whose gateway's lease ran out: those that were not dialled wait again, the others are ours to settle.
    (One that is ours already, and marked so, stays.)"""
    out = and_(_CONTACTS.state == "dialling", _CONTACTS.lease_until < now.timestamp(), _CONTACTS.lease_until != _LOST)
    lost = select(_CONTACTS.contact_id).where(out).limit(500).with_for_update(skip_locked=True)
    ids = [row.contact_id for row in connection.execute(lost)]
    if not ids:
        return
    mine = update(campaign_contacts).where(_CONTACTS.contact_id.in_(ids))
    connection.execute(mine.where(_CONTACTS.call_id == "").values(_FREE))
    connection.execute(mine.where(_CONTACTS.call_id != "").values(lease_by=gateway, lease_until=_LOST))


def _ended(connection: Connection, row: Any) -> Ended:
    contact_id = row[_ATTEMPTS.contact_id]
    kept = connection.execute(select(campaign_contacts).where(_CONTACTS.contact_id == contact_id)).one()
    (contact,) = contacts_with_attempts(connection, [kept])
    last = contact.attempts[-1]
    outcome = row[calls.c.outcome]
    who, message = row[calls.c.answered_by], row[calls.c.message] or {}
    our_fault = _our_fault(row)
    attempt = Attempt(
        last.number,
        last.at,
        None if outcome is None else Outcome.FAILED if our_fault else Outcome(outcome),  # whoever answered heard nobody
        None if who is None else AnsweredBy(who),
        bool(message.get("delivered")),
        last.call_id,
    )
    whole = replace(contact, attempts=(*contact.attempts[:-1], attempt))
    return Ended(
        kept.campaign_id,
        order_of(row[campaigns.c.order]),
        whole,
        attempt,
        our_fault,
        row[calls.c.sip_status] or 0,
    )


def _our_fault(row: Any) -> bool:
    """The call failed on our side: its worker died, it was not even sent, or its persona failed, answered or not."""
    outcome, by_us = row[calls.c.outcome], row[calls.c.ended_by] == EndedBy.SYSTEM
    if by_us and _FAILED.match(row[calls.c.end_reason]):
        return True
    return bool(outcome == Outcome.WORKER_LOST or (outcome == Outcome.FAILED and by_us and not row[calls.c.sip_status]))


def _after(contact: Row[Any], verdict: Later | Done) -> dict[str, Any]:
    """What was decided about the person while the call went on (an opt-out) stands."""
    columns = verdict_columns(verdict)
    if contact.done is None:
        return columns
    return {**columns, "state": "done", "done": contact.done, "rule": contact.rule}
