"""Human queues, shared by all gateways of a database.

A member is claimed with their row locked, so two gateways that want one at once come one after the other; so do two
that want one caller. Rows are always locked in this order: member, wait, claim. (SQLite has one writer at a time.)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

from sqlalchemy import Connection, Delete, Row, delete, insert, select, update

from gateway.queues.figures import History
from gateway.queues.members import can_take
from gateway.queues.model import Member, MemberState, OfferEnd, Queue, QueueState, Strategy, Waiting, WaitingEnd
from gateway.queues.waits import mean_service
from gateway.store.database import Database
from gateway.store.queue_rows import (
    history_between,
    member_of,
    member_state,
    new_member,
    new_wait,
    read_state,
    settings_of,
    short,
)
from gateway.store.schema import queue_claims, queue_members, queue_memory, queue_waits
from gateway.store.upsert import add_or_ignore, insert_into
from gateway.store.values import json_text

__all__ = ["StoredQueueBook"]

_OPEN = queue_waits.c.ended_at.is_(None)


class StoredQueueBook:
    """Implements `QueueBook` in the store."""

    def __init__(self, database: Database, timezone: tzinfo = UTC) -> None:
        """`timezone`: where a member's calls of today begin at midnight."""
        self._database = database
        self._timezone = timezone
        self._queues: dict[str, Queue] = {}
        self._members: tuple[Member, ...] = ()
        self._renewed_at: float | None = None

    def configure(self, queues: Sequence[Queue], members: Sequence[Member]) -> None:
        self._queues = {queue.name: queue for queue in queues}
        self._members = tuple(members)

    # --- reading --------------------------------------------------------------------------------------------------

    async def state(self, now: float) -> QueueState:
        queues, members, today = self._queues, self._members, self._day(now)
        return await self._database.read(partial(read_state, queues=queues, members=members, today=today))

    async def history(self, since: float, until: float) -> History:
        return await self._database.read(partial(history_between, since=since, until=until))

    # --- callers --------------------------------------------------------------------------------------------------

    async def join(self, caller: Waiting, now: float, lease_s: float) -> None:
        def write(connection: Connection) -> None:
            if _wait(connection, caller.call_id) is None and not _rejoined(connection, caller, now + lease_s):
                add_or_ignore(connection, queue_waits, new_wait(caller, now + lease_s))

        await self._database.write(write)

    async def leave(self, call_id: str, how: WaitingEnd, now: float, reason: str = "") -> bool:
        return await self._database.write(lambda connection: self._end(connection, call_id, how, now, reason))

    async def prioritise(self, call_id: str, priority: int) -> bool:
        this = update(queue_waits).where(queue_waits.c.call_id == call_id, _OPEN).values(priority=priority)
        return await self._database.write(lambda connection: connection.execute(this).rowcount > 0)

    async def announced(self, call_id: str, now: float) -> None:
        this = update(queue_waits).where(queue_waits.c.call_id == call_id, _OPEN).values(announced_at=now)
        await self._database.write(lambda connection: connection.execute(this))

    async def renew(self, gateway: str, now: float, lease_s: float) -> None:
        fresh = self._renewed_at is not None and now - self._renewed_at <= lease_s

        def write(connection: Connection) -> None:
            _extend(connection, gateway, now + lease_s)
            if fresh:  # otherwise the store may have been away for all: let the others renew first
                self._free_lapsed(connection, gateway, now, lease_s)

        await self._database.write(write)
        self._renewed_at = now

    async def resume(self, gateway: str, living: Collection[str], now: float, lease_s: float) -> None:
        alive = list(living)

        def write(connection: Connection) -> None:
            mine = queue_waits.c.gateway == gateway, queue_waits.c.call_id.not_in(alive), _OPEN
            lost = select(queue_waits).where(*mine, queue_waits.c.is_callback.is_(False))
            for row in connection.execute(lost).all():
                self._close(connection, row, WaitingEnd.LOST, now)
            dead = queue_claims.c.gateway == gateway, queue_claims.c.call_id.not_in(alive)
            connection.execute(delete(queue_claims).where(*dead))
            _extend(connection, gateway, now + lease_s)

        await self._database.write(write)

    # --- offers and calls -----------------------------------------------------------------------------------------

    async def claim(self, call_id: str, member: str, now: float, lease_s: float) -> bool:
        return await self._database.write(lambda connection: self._claim(connection, call_id, member, now, lease_s))

    async def offer_ended(self, call_id: str, member: str, how: OfferEnd, now: float) -> bool:
        def write(connection: Connection) -> bool:
            kept = _locked_member(connection, member)
            claim = _claim_of(connection, call_id, member)
            if claim is None or claim.talking:
                return False
            if how is OfferEnd.ACCEPTED:
                return self._accept(connection, kept, call_id, now)
            _free(connection, call_id, member)
            if how is not OfferEnd.WITHDRAWN:
                refused = {**json.loads(kept.refused_at), claim.queue: now}
                _change(connection, member, refused_at=json_text(refused))
            return True

        return await self._database.write(write)

    async def callback_missed(self, call_id: str, member: str, now: float) -> bool:
        def write(connection: Connection) -> bool:
            _locked_member(connection, member)
            row = _wait(connection, call_id)
            _free(connection, call_id, member)
            if row is None or not row.is_callback:
                return False
            queue = self._queue(row.queue)
            attempts = row.callback_attempts + 1
            later = {"callback_attempts": attempts, "callback_at": now + queue.callback_retry_s}
            connection.execute(update(queue_waits).where(queue_waits.c.id == row.id).values(later))
            if attempts < queue.callback_attempts:
                return True
            self._close(connection, row, WaitingEnd.UNREACHED, now)
            return False

        return await self._database.write(write)

    async def call_ended(self, call_id: str, member: str, talked_s: float, now: float) -> None:
        def write(connection: Connection) -> None:
            _locked_member(connection, member)
            waits = queue_waits.c
            answered = select(queue_waits).where(
                waits.call_id == call_id, waits.member == member, waits.call_ended_at.is_(None)
            )
            row = connection.execute(answered.order_by(waits.id.desc()).limit(1)).first()
            connection.execute(_claims(call_id, member).where(queue_claims.c.talking))
            if row is None:
                return
            wrap_up_s = self._queue(row.queue).wrap_up_s
            done = {"call_ended_at": now, "talked_s": talked_s, "wrap_up_s": wrap_up_s}
            connection.execute(update(queue_waits).where(waits.id == row.id).values(done))
            _change(connection, member, last_ended_at=now, wraps_up_until=now + wrap_up_s, last_wait=row.id)
            _measure(connection, row.queue, talked_s + wrap_up_s)

        await self._database.write(write)

    async def wrapped_up(self, member: str, now: float) -> None:
        def write(connection: Connection) -> None:
            kept = _locked_member(connection, member)
            early_s = kept.wraps_up_until - now
            if early_s <= 0:
                return
            _change(connection, member, wraps_up_until=now)
            this = queue_waits.c.id == kept.last_wait
            wrap_up_s = connection.execute(select(queue_waits.c.wrap_up_s).where(this)).scalar()
            if wrap_up_s is not None:
                less = max(0.0, wrap_up_s - early_s)
                connection.execute(update(queue_waits).where(this).values(wrap_up_s=less))

        await self._database.write(write)

    # --- members --------------------------------------------------------------------------------------------------

    async def sign(self, member: str, now: float, *, signed_in: bool) -> None:
        await self._changed(member, signed_in=signed_in)

    async def pause(self, member: str, reason: str, now: float) -> None:
        await self._changed(member, paused=short(reason, 256))

    async def reachable(self, member: str, *, is_reachable: bool) -> None:
        await self._changed(member, reachable=is_reachable)

    async def member(self, member: Member) -> MemberState:
        def write(connection: Connection) -> MemberState:
            kept = _locked_member(connection, member.name)
            _change(connection, member.name, settings=settings_of(member))
            return member_state(kept, kept.taken_on, _busy(connection, member.name), member)

        return await self._database.write(write)

    async def forget(self, member: str) -> bool:
        this = queue_members.c.name == member, queue_members.c.settings.is_not(None)
        gone = update(queue_members).where(*this).values(settings=None)
        return await self._database.write(lambda connection: connection.execute(gone).rowcount > 0)

    # --- within a transaction -------------------------------------------------------------------------------------

    def _claim(self, connection: Connection, call_id: str, member: str, now: float, lease_s: float) -> bool:
        kept = _locked_member(connection, member)
        row = _wait(connection, call_id)
        known = member_of(kept.settings) if kept.settings is not None else self._member(member)
        it = member_state(kept, self._day(now), _busy(connection, member), known)
        if row is None or known is None or not can_take(known, it, now):
            return False
        others = connection.execute(select(queue_claims.c.member).where(queue_claims.c.call_id == call_id)).first()
        all_at_once = self._queue(row.queue).strategy is Strategy.RING_ALL and not row.is_callback
        if others is not None and not all_at_once:
            return False
        new = {
            "call_id": call_id,
            "member": member,
            "queue": row.queue,
            "gateway": row.gateway,
            "talking": False,
            "lease_until": now + lease_s,
        }
        connection.execute(insert(queue_claims).values(new))
        connection.execute(update(queue_waits).where(queue_waits.c.id == row.id).values(offers=row.offers + 1))
        _change(connection, member, last_offered_at=now)
        memory = insert_into(connection, queue_memory).values(
            queue=row.queue, last_member=member, service_s=0.0, served=0
        )
        connection.execute(memory.on_conflict_do_update(index_elements=["queue"], set_={"last_member": member}))
        return True

    def _accept(self, connection: Connection, kept: Row[Any], call_id: str, now: float) -> bool:
        if not self._end(connection, call_id, WaitingEnd.ANSWERED, now, member=kept.name):
            _free(connection, call_id, kept.name)
            return False
        this = queue_claims.c.call_id == call_id, queue_claims.c.member == kept.name
        connection.execute(update(queue_claims).where(*this).values(talking=True))
        today = self._day(now)
        taken = kept.taken if kept.taken_on == today else 0
        _change(connection, kept.name, taken=taken + 1, taken_on=today)
        return True

    def _end(
        self,
        connection: Connection,
        call_id: str,
        how: WaitingEnd,
        now: float,
        reason: str = "",
        member: str | None = None,
    ) -> bool:
        row = _wait(connection, call_id)
        if row is not None:
            self._close(connection, row, how, now, reason, member)
        return row is not None

    def _close(
        self,
        connection: Connection,
        row: Row[Any],
        how: WaitingEnd,
        now: float,
        reason: str = "",
        member: str | None = None,
    ) -> None:
        values = {
            "ended_at": now,
            "how": how,
            "reason": short(reason, 64),
            "in_time": now - row.joined_at <= self._queue(row.queue).service_level_s,
            "member": member,
            "callback_to": "",  # nobody needs the person's number any more
        }
        connection.execute(update(queue_waits).where(queue_waits.c.id == row.id).values(values))

    def _free_lapsed(self, connection: Connection, gateway: str, now: float, lease_s: float) -> None:
        """Of gateways that are gone. Another gateway may be at it, too: each takes what the other has not."""
        lapsed = select(queue_waits).where(_OPEN, queue_waits.c.lease_until < now).with_for_update(skip_locked=True)
        for row in connection.execute(lapsed).all():
            if row.is_callback:
                mine = {"gateway": gateway, "lease_until": now + lease_s}
                connection.execute(update(queue_waits).where(queue_waits.c.id == row.id).values(mine))
            else:
                self._close(connection, row, WaitingEnd.LOST, now)
        dead = select(queue_claims).where(queue_claims.c.lease_until < now).with_for_update(skip_locked=True)
        for row in connection.execute(dead).all():
            _free(connection, row.call_id, row.member)

    # --- small things ---------------------------------------------------------------------------------------------

    async def _changed(self, member: str, **values: object) -> None:
        def write(connection: Connection) -> None:
            add_or_ignore(connection, queue_members, new_member(member))
            _change(connection, member, **values)

        await self._database.write(write)

    def _queue(self, name: str) -> Queue:
        """Also of one that only another gateway's settings have."""
        return self._queues.get(name) or Queue(name)

    def _member(self, name: str) -> Member | None:
        return next((each for each in self._members if each.name == name), None)

    def _day(self, now: float) -> str:
        return datetime.fromtimestamp(now, self._timezone).date().isoformat()


def _wait(connection: Connection, call_id: str) -> Row[Any] | None:
    """Locked; None: it does not wait."""
    this = select(queue_waits).where(queue_waits.c.call_id == call_id, _OPEN).with_for_update()
    return connection.execute(this).first()


def _rejoined(connection: Connection, caller: Waiting, lease_until: float) -> bool:
    """Who was taken for lost goes on waiting in the same place."""
    waits = queue_waits.c
    last = select(queue_waits).where(waits.call_id == caller.call_id).order_by(waits.id.desc()).limit(1)
    row = connection.execute(last).first()
    if row is None or row.how != WaitingEnd.LOST or row.queue != caller.queue:
        return False
    again = {"ended_at": None, "how": None, "in_time": False, "gateway": caller.gateway, "lease_until": lease_until}
    connection.execute(update(queue_waits).where(waits.id == row.id).values(again))
    return True


def _locked_member(connection: Connection, member: str) -> Row[Any]:
    add_or_ignore(connection, queue_members, new_member(member))
    this = select(queue_members).where(queue_members.c.name == member).with_for_update()
    return connection.execute(this).one()


def _change(connection: Connection, member: str, **values: object) -> None:
    connection.execute(update(queue_members).where(queue_members.c.name == member).values(values))


def _busy(connection: Connection, member: str) -> list[bool]:
    """For each claim of the member, whether it is a call."""
    these = select(queue_claims.c.talking).where(queue_claims.c.member == member)
    return list(connection.execute(these).scalars())


def _claim_of(connection: Connection, call_id: str, member: str) -> Row[Any] | None:
    this = queue_claims.c.call_id == call_id, queue_claims.c.member == member
    return connection.execute(select(queue_claims).where(*this)).first()


def _claims(call_id: str, member: str) -> Delete:
    return delete(queue_claims).where(queue_claims.c.call_id == call_id, queue_claims.c.member == member)


def _free(connection: Connection, call_id: str, member: str) -> None:
    connection.execute(_claims(call_id, member))


def _measure(connection: Connection, queue: str, service_s: float) -> None:
    this = select(queue_memory).where(queue_memory.c.queue == queue).with_for_update()
    row = connection.execute(this).first()
    mean_s, served = mean_service(row.service_s if row else 0.0, row.served if row else 0, service_s)
    values = {"service_s": mean_s, "served": served}
    if row is None:
        add_or_ignore(connection, queue_memory, {"queue": queue, "last_member": "", **values})
    else:
        connection.execute(update(queue_memory).where(queue_memory.c.queue == queue).values(values))


def _extend(connection: Connection, gateway: str, until: float) -> None:
    mine = update(queue_waits).where(queue_waits.c.gateway == gateway, _OPEN).values(lease_until=until)
    connection.execute(mine)
    connection.execute(update(queue_claims).where(queue_claims.c.gateway == gateway).values(lease_until=until))
