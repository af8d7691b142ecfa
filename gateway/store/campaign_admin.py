"""Campaigns as programs and people see and change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from gateway.campaigns.admin import (
    AttemptRow,
    CampaignFigures,
    CampaignRecord,
    ContactRow,
    Decision,
    Listed,
    Page,
)
from gateway.campaigns.model import CampaignState, Contact, DoneReason
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.pacing import Pace
from gateway.campaigns.rules import kind_of
from gateway.store.campaign_rows import attempt_of, new_contact, order_of, pace_text
from gateway.store.database import Database
from gateway.store.schema import calls, campaign_attempts, campaign_contacts, campaign_decisions, campaigns, do_not_call
from gateway.store.upsert import insert_into
from gateway.store.values import fitting, json_text

__all__ = ["StoredCampaigns"]

_CONTACTS, _ATTEMPTS = campaign_contacts.c, campaign_attempts.c
_AT_REST = (CampaignState.DRAFT, CampaignState.PAUSED, CampaignState.STOPPED, CampaignState.DONE)
OPTED_OUT = "opted out"  # the list of those who have said so


class StoredCampaigns:
    """Implements `CampaignAdmin`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- campaigns ---------------------------------------------------------------------------------------------------

    async def create(self, campaign_id: str, order: CampaignOrder, now: datetime) -> None:
        row = {
            "campaign_id": campaign_id, "name": order.name, "order": _order_text(order),
            "state": CampaignState.DRAFT.value, "reason": "", "priority": order.priority, "failures": 0,
            "pace": pace_text(Pace(order.pacing.limits, now.timestamp())), "created_at": now.timestamp(),
        }  # fmt: skip
        await self._database.write(lambda connection: connection.execute(insert(campaigns).values(row)))

    async def list(self) -> tuple[CampaignRecord, ...]:
        newest = select(campaigns).order_by(campaigns.c.created_at.desc(), campaigns.c.campaign_id).limit(500)
        return await self._database.read(
            lambda connection: tuple(_record(row, None) for row in connection.execute(newest))
        )

    async def find(self, campaign_id: str) -> CampaignRecord | None:
        def read(connection: Connection) -> CampaignRecord | None:
            row = connection.execute(select(campaigns).where(campaigns.c.campaign_id == campaign_id)).first()
            return None if row is None else _record(row, _figures(connection, campaign_id))

        return await self._database.read(read)

    async def live(self, campaign_id: str) -> tuple[str, ...]:
        mine = select(_CONTACTS.call_id).where(
            _CONTACTS.campaign_id == campaign_id, _CONTACTS.state == "dialling", _CONTACTS.call_id != ""
        )
        return await self._database.read(lambda connection: tuple(connection.execute(mine).scalars()))

    async def delete(self, campaign_id: str) -> bool:
        def write(connection: Connection) -> bool:
            live = select(_CONTACTS.contact_id).where(_CONTACTS.campaign_id == campaign_id, _CONTACTS.call_id != "")
            if connection.execute(live.limit(1)).first() is not None:
                return False
            gone = delete(campaigns).where(campaigns.c.campaign_id == campaign_id, campaigns.c.state.in_(_AT_REST))
            return _changed(connection, gone)

        return await self._database.write(write)

    # --- contacts ----------------------------------------------------------------------------------------------------

    async def add(self, campaign_id: str, contacts: Iterable[Contact], now: datetime, *, replace: bool = False) -> int:
        rows = [fitting(campaign_contacts, new_contact(campaign_id, contact, now)) for contact in contacts]

        def write(connection: Connection) -> int:
            newest = connection.execute(select(func.max(_CONTACTS.contact_id))).scalar() or 0
            if rows:
                statement = insert_into(connection, campaign_contacts)
                if replace:
                    fresh = {name: statement.excluded[name] for name in ("numbers", "variables", "consent")}
                    changed = statement.on_conflict_do_update(index_elements=["campaign_id", "key"], set_=fresh)
                    connection.execute(changed, rows)
                else:
                    connection.execute(statement.on_conflict_do_nothing(), rows)
            new = _CONTACTS.contact_id > newest, _CONTACTS.campaign_id == campaign_id
            return int(connection.execute(select(func.count()).where(*new)).scalar_one())

        return await self._database.write(write)

    async def contacts(self, campaign_id: str, limit: int, cursor: str | None) -> Page:
        made = select(func.count()).where(_ATTEMPTS.contact_id == _CONTACTS.contact_id).scalar_subquery()
        found = select(campaign_contacts, made.label("made")).where(_CONTACTS.campaign_id == campaign_id)
        return await self._page(found.order_by(_CONTACTS.contact_id), _CONTACTS.contact_id, limit, cursor, _contact)

    async def forget(self, campaign_id: str, key: str) -> bool:
        def write(connection: Connection) -> bool:
            this = select(_CONTACTS.contact_id).where(_CONTACTS.campaign_id == campaign_id, _CONTACTS.key == key)
            contact_id = connection.execute(this).scalar()
            if contact_id is None:
                return False
            connection.execute(delete(campaign_attempts).where(_ATTEMPTS.contact_id == contact_id))
            connection.execute(delete(campaign_decisions).where(campaign_decisions.c.contact_id == contact_id))
            connection.execute(delete(campaign_contacts).where(_CONTACTS.contact_id == contact_id))
            return True

        return await self._database.write(write)

    async def attempts(self, campaign_id: str, limit: int, cursor: str | None) -> Page:
        found = (
            select(campaign_attempts, _CONTACTS.key)
            .join(campaign_contacts, _CONTACTS.contact_id == _ATTEMPTS.contact_id)
            .where(_ATTEMPTS.campaign_id == campaign_id)
            .order_by(_ATTEMPTS.contact_id, _ATTEMPTS.place)
        )
        place = _ATTEMPTS.contact_id * _PLACES + _ATTEMPTS.place
        return await self._page(found, place, limit, cursor, _attempt)

    # --- who is not to be called -------------------------------------------------------------------------------------

    async def keep_off(self, entries: Iterable[Listed]) -> int:
        rows = [
            {"number": each.number, "list": each.list, "campaign_id": each.campaign_id,
             "added_at": each.added_at.timestamp(), "source": each.source}
            for each in entries
        ]  # fmt: skip

        def write(connection: Connection) -> int:
            count = select(func.count()).select_from(do_not_call)
            before = connection.execute(count).scalar_one()
            if rows:
                connection.execute(insert_into(connection, do_not_call).on_conflict_do_nothing(), rows)
            return int(connection.execute(count).scalar_one() - before)

        return await self._database.write(write)

    async def take_off(self, number: str, list: str, campaign_id: str = "") -> bool:
        this = delete(do_not_call).where(
            do_not_call.c.number == number, do_not_call.c.list == list, do_not_call.c.campaign_id == campaign_id
        )
        return await self._database.write(lambda connection: _changed(connection, this))

    async def listed(self, limit: int, cursor: str | None) -> Page:
        found = select(do_not_call).order_by(do_not_call.c.number, do_not_call.c.list, do_not_call.c.campaign_id)
        if cursor is not None:
            found = found.where(do_not_call.c.number > cursor)

        def read(connection: Connection) -> Page:
            rows = connection.execute(found.limit(limit + 1)).all()
            more = len(rows) > limit
            return Page([_listed(row) for row in rows[:limit]], rows[limit - 1].number if more else None)

        return await self._database.read(read)

    async def decisions(self, number: str) -> tuple[Decision, ...]:
        columns = campaign_decisions.c
        found = select(campaign_decisions).where(columns.number == number).order_by(columns.at, columns.id)
        return await self._database.read(lambda connection: tuple(_decision(row) for row in connection.execute(found)))

    # --- what a call is told -----------------------------------------------------------------------------------------

    async def opt_out(self, call_id: str, source: str, now: datetime) -> bool:
        def write(connection: Connection) -> bool:
            contact = _of_call(connection, call_id)
            numbers = _numbers_of(connection, call_id, contact)
            rows = [
                {"number": number, "list": OPTED_OUT, "campaign_id": "", "added_at": now.timestamp(), "source": source}
                for number in numbers
            ]
            if rows:
                connection.execute(insert_into(connection, do_not_call).on_conflict_do_nothing(), rows)
            if contact is None:
                return False
            told = {"done": DoneReason.OPTED_OUT.value, "rule": source}
            connection.execute(update(campaign_contacts).where(_CONTACTS.contact_id == contact.contact_id).values(told))
            return True

        return await self._database.write(write)

    async def call_back(self, call_id: str, at: datetime) -> bool:
        def write(connection: Connection) -> bool:
            contact = _of_call(connection, call_id)
            if contact is None:
                return False
            this = update(campaign_contacts).where(_CONTACTS.contact_id == contact.contact_id)
            connection.execute(this.values(callback_at=at.timestamp()))
            return True

        return await self._database.write(write)

    async def result(self, call_id: str, result: Any) -> bool:
        this = update(campaign_attempts).where(_ATTEMPTS.call_id == call_id).values(result=json_text(result))
        return await self._database.write(lambda connection: _changed(connection, this))

    async def _page(
        self, found: Select[Any], place: Any, limit: int, cursor: str | None, made: Callable[[Row[Any]], Any]
    ) -> Page:
        if cursor is not None:
            found = found.where(place > int(cursor))
        found = found.add_columns(place.label("cursor")).limit(limit + 1)

        def read(connection: Connection) -> Page:
            rows = connection.execute(found).all()
            more = len(rows) > limit
            return Page([made(row) for row in rows[:limit]], str(rows[limit - 1].cursor) if more else None)

        return await self._database.read(read)


_PLACES = 1000  # more than attempts that a contact can have


def _changed(connection: Connection, statement: Any) -> bool:
    return bool(connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount)


def _order_text(order: CampaignOrder) -> str:
    """With the webhook's signing key, which pydantic would not show."""
    body = order.model_dump(mode="json", by_alias=True)
    webhook = order.webhook
    if webhook is not None and webhook.secret is not None:
        body["webhook"]["secret"] = webhook.secret.get_secret_value()
    return json_text(body)


def _of_call(connection: Connection, call_id: str) -> Row[Any] | None:
    made = select(_ATTEMPTS.contact_id).where(_ATTEMPTS.call_id == call_id)
    this = select(campaign_contacts).where(_CONTACTS.contact_id == made.scalar_subquery())
    return connection.execute(this.with_for_update()).first()


def _numbers_of(connection: Connection, call_id: str, contact: Row[Any] | None) -> list[str]:
    """Of the person in a call: all of their numbers that a campaign knows, or the other side's of any other call."""
    if contact is not None:
        return [number for number, *_ in json.loads(contact.numbers)]
    call = connection.execute(
        select(calls.c.direction, calls.c.called, calls.c.caller).where(calls.c.call_id == call_id)
    ).first()
    number = None if call is None else call.called if call.direction == "outbound" else call.caller
    return [number] if number and number.startswith("+") else []


def _figures(connection: Connection, campaign_id: str) -> CampaignFigures:
    mine = _CONTACTS.campaign_id == campaign_id
    states = select(_CONTACTS.state, func.count()).where(mine).group_by(_CONTACTS.state)
    done = select(_CONTACTS.done, func.count()).where(mine, _CONTACTS.state == "done").group_by(_CONTACTS.done)
    by_state = {row[0]: row[1] for row in connection.execute(states)}
    next_at = connection.execute(select(func.min(_CONTACTS.next_at)).where(mine, _CONTACTS.state == "waiting")).scalar()
    live = select(func.count()).where(mine, _CONTACTS.state == "dialling")
    return CampaignFigures(
        contacts=by_state,
        done={row[0]: row[1] for row in connection.execute(done)},
        attempts=_kinds(connection, campaign_id),
        live=connection.execute(live).scalar_one(),
        next_at=None if next_at is None else _time(next_at),
    )


def _kinds(connection: Connection, campaign_id: str) -> dict[str, int]:
    columns = (_ATTEMPTS.outcome, _ATTEMPTS.answered_by, _ATTEMPTS.delivered)
    ended = select(*columns, func.count().label("made"), func.min(_ATTEMPTS.number).label("number"))
    ended = ended.add_columns(func.min(_ATTEMPTS.at).label("at"), func.min(_ATTEMPTS.call_id).label("call_id"))
    kinds: dict[str, int] = {}
    mine = ended.where(_ATTEMPTS.campaign_id == campaign_id, _ATTEMPTS.settled.is_(True))
    for row in connection.execute(mine.group_by(*columns)):
        kind = kind_of(attempt_of(row))
        kinds[kind] = kinds.get(kind, 0) + int(row.made)
    return kinds


def _record(row: Row[Any], figures: CampaignFigures | None) -> CampaignRecord:
    return CampaignRecord(
        campaign_id=row.campaign_id,
        name=row.name,
        state=CampaignState(row.state),
        reason=row.reason,
        created_at=_time(row.created_at),
        started_at=None if row.started_at is None else _time(row.started_at),
        ended_at=None if row.ended_at is None else _time(row.ended_at),
        order=order_of(row.order),
        figures=figures,
    )


def _contact(row: Row[Any]) -> ContactRow:
    return ContactRow(
        contact_id=row.contact_id,
        key=row.key,
        numbers=[number for number, *_ in json.loads(row.numbers)],
        variables=json.loads(row.variables),
        state=row.state,
        attempts=row.made,
        next_at=None if row.state == "done" else _time(row.next_at),
        rule=row.rule,
        done=row.done,
    )


def _attempt(row: Row[Any]) -> AttemptRow:
    return AttemptRow(
        contact_id=row.contact_id,
        key=row.key,
        place=row.place,
        number=row.number,
        at=_time(row.at),
        call_id=row.call_id,
        outcome=row.outcome,
        answered_by=row.answered_by,
        delivered=row.delivered,
        result=None if row.result is None else json.loads(row.result),
    )


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        number=row.number, list=row.list, campaign_id=row.campaign_id, added_at=_time(row.added_at), source=row.source
    )


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        campaign_id=row.campaign_id,
        contact_id=row.contact_id,
        number=row.number,
        at=_time(row.at),
        verdict=row.verdict,
        until=None if row.until is None else _time(row.until),
        rule=row.rule,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
