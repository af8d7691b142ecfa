"""Rows of the queues' tables as what they mean, and the reading of the state and of past waits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, func, select

from gateway.queues.figures import EndedCall, EndedWait, History, history_of
from gateway.queues.members import merged
from gateway.queues.model import Member, MemberState, Place, Queue, QueueState, Skill, Waiting, WaitingEnd
from gateway.store.schema import queue_claims, queue_members, queue_memory, queue_waits
from gateway.store.values import encodable, json_text

__all__ = [
    "history_between",
    "member_of",
    "member_state",
    "members_of",
    "new_member",
    "new_wait",
    "read_state",
    "settings_of",
    "short",
]


def read_state(
    connection: Connection, queues: Mapping[str, Queue], members: tuple[Member, ...], today: str
) -> QueueState:
    """`queues` and `members`: of the settings."""
    claims = connection.execute(select(queue_claims).order_by(queue_claims.c.call_id, queue_claims.c.member)).all()
    waits = connection.execute(select(queue_waits).where(queue_waits.c.ended_at.is_(None)).order_by(queue_waits.c.id))
    rung: dict[str, tuple[str, ...]] = {}
    busy: dict[str, list[bool]] = {}  # by member: whether each claim is a call
    for claim in claims:
        busy.setdefault(claim.member, []).append(claim.talking)
        if not claim.talking:
            rung[claim.call_id] = (*rung.get(claim.call_id, ()), claim.member)
    waiting = tuple(_waiting(row, rung.get(row.call_id, ())) for row in waits)
    rows = connection.execute(select(queue_members)).all()
    memory = connection.execute(select(queue_memory)).all()
    everybody = merged(members, members_of(rows))
    by_name = {each.name: each for each in everybody}
    known = {row.name: member_state(row, today, busy.get(row.name, []), by_name.get(row.name)) for row in rows}
    return QueueState(
        tuple(queues.values()),
        everybody,
        {each.name: MemberState(each.name, each.signed_in) for each in everybody} | known,
        waiting,
        {row.queue: row.service_s for row in memory if row.served},
        {row.queue: row.last_member for row in memory if row.last_member},
    )


def history_between(connection: Connection, since: float, until: float) -> History:
    waits = queue_waits.c
    waited = waits.ended_at - waits.joined_at
    kind = (waits.queue, waits.how, waits.reason, waits.in_time, waits.is_callback)
    ended = (
        select(
            *kind, func.count().label("times"), func.sum(waited).label("waited_s"), func.max(waited).label("longest")
        )
        .where(waits.ended_at >= since, waits.ended_at < until)
        .group_by(*kind)
    )
    talked = (
        select(
            waits.queue,
            waits.member,
            func.count().label("times"),
            func.sum(waits.talked_s).label("talked_s"),
            func.sum(waits.wrap_up_s).label("wrap_up_s"),
        )
        .where(waits.call_ended_at >= since, waits.call_ended_at < until)
        .group_by(waits.queue, waits.member)
    )
    return history_of(
        [
            EndedWait(
                row.queue, WaitingEnd(row.how), until, row.waited_s, row.reason, row.in_time, row.is_callback,
                times=row.times, longest_s=row.longest,
            )
            for row in connection.execute(ended)
        ],
        [
            EndedCall(row.queue, row.member, until, row.talked_s, row.wrap_up_s, row.times)
            for row in connection.execute(talked)
        ],
    )  # fmt: skip


def new_wait(caller: Waiting, lease_until: float) -> dict[str, Any]:
    return {
        "call_id": caller.call_id,
        "queue": caller.queue,
        "gateway": caller.gateway,
        "joined_at": caller.joined_at,
        "priority": caller.priority,
        "skills": json_text([[skill.name, skill.level] for skill in caller.skills]),
        "announced_at": caller.announced_at,
        "offers": caller.offers,
        "lease_until": lease_until,
        "is_callback": bool(caller.callback_to),
        "callback_to": short(caller.callback_to, 256),
        "member_first": caller.callback_member_first,
        "callback_attempts": caller.callback_attempts,
        "callback_at": caller.callback_at,
        "reason": "",
        "in_time": False,
        "talked_s": 0.0,
        "wrap_up_s": 0.0,
    }


def new_member(name: str) -> dict[str, Any]:
    """Of whom nothing has been kept yet."""
    it = MemberState(name)
    return {
        "name": name,
        "signed_in": None,
        "paused": it.paused,
        "reachable": it.reachable,
        "wraps_up_until": it.wraps_up_until,
        "last_ended_at": it.last_ended_at,
        "last_offered_at": it.last_offered_at,
        "taken": 0,
        "taken_on": "",
        "refused_at": "{}",
    }


def member_state(row: Row[Any], today: str, claims: list[bool], member: Member | None) -> MemberState:
    """`claims`: for each that the member has, whether it is a call. `member`: None if nobody knows them."""
    at_first = member is None or member.signed_in
    return MemberState(
        name=row.name,
        signed_in=at_first if row.signed_in is None else row.signed_in,
        paused=row.paused,
        reachable=row.reachable,
        busy=len(claims),
        ringing=not all(claims),
        wraps_up_until=row.wraps_up_until,
        last_ended_at=row.last_ended_at,
        last_offered_at=row.last_offered_at,
        taken_today=row.taken if row.taken_on == today else 0,
        refused_at=json.loads(row.refused_at),
    )


def members_of(rows: Sequence[Row[Any]]) -> list[Member]:
    """Those of REST."""
    return [member_of(row.settings) for row in rows if row.settings is not None]


def member_of(settings: str) -> Member:
    kept = json.loads(settings)
    places = tuple(Place(**place) for place in kept.pop("places"))
    skills = tuple(Skill(**skill) for skill in kept.pop("skills"))
    return Member(places=places, skills=skills, **kept)


def settings_of(member: Member) -> str:
    return json_text(asdict(member))


def short(text: str, most: int) -> str:
    """As its column takes it."""
    return str(encodable(text))[:most]


def _waiting(row: Row[Any], offered_to: tuple[str, ...]) -> Waiting:
    return Waiting(
        call_id=row.call_id,
        queue=row.queue,
        gateway=row.gateway,
        joined_at=row.joined_at,
        priority=row.priority,
        skills=tuple(Skill(name, level) for name, level in json.loads(row.skills)),
        offered_to=offered_to,
        announced_at=row.announced_at,
        offers=row.offers,
        callback_to=row.callback_to,
        callback_member_first=row.member_first,
        callback_attempts=row.callback_attempts,
        callback_at=row.callback_at,
    )
