"""Queues, members and callers for the tests, with short names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.queues.model import Member, MemberState, Place, Queue, QueueState, Skill, Waiting

__all__ = ["caller", "member", "skills", "state", "with_state"]


def skills(**levels: int) -> tuple[Skill, ...]:
    return tuple(Skill(name, level) for name, level in levels.items())


def caller(call_id: str, joined_at: float = 0.0, queue: str = "desk", gateway: str = "g1", **more: Any) -> Waiting:
    return Waiting(call_id, queue, gateway, joined_at, **more)


def member(
    name: str, order: int = 0, *, queues: Iterable[str] = ("desk",), penalty: int = 0, weight: int = 1, **more: Any
) -> Member:
    places = tuple(Place(queue, penalty, weight, order) for queue in queues)
    return Member(name, f"sip:{name}@example.net", places, **more)


def state(
    members: Iterable[Member],
    waiting: Iterable[Waiting] = (),
    *queues: Queue,
    states: Iterable[MemberState] = (),
    **more: Any,
) -> QueueState:
    """Without queues: one, `desk`."""
    known = {each.name: each for each in states}
    return QueueState(queues or (Queue("desk"),), tuple(members), known, tuple(waiting), **more)


def with_state(before: QueueState, name: str, **changes: Any) -> QueueState:
    it = before.states.get(name) or MemberState(name)
    return replace(before, states={**before.states, name: replace(it, **changes)})
