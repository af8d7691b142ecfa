"""Which members could take a call, and whether they suit a caller. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.queues.model import Absent, Member, MemberState, Place, Queue, QueueState, Skill, Waiting

__all__ = ["absent", "can_take", "known", "lacks", "merged", "place_in", "wanted"]


def known(state: QueueState, member: Member) -> MemberState:
    """Also of one of whom nothing has been kept yet."""
    return state.states.get(member.name) or MemberState(member.name, member.signed_in)


def merged(of_settings: Iterable[Member], of_rest: Iterable[Member]) -> tuple[Member, ...]:
    """Those of REST go before those of the settings with their names."""
    return tuple({each.name: each for each in (*of_settings, *of_rest)}.values())


def can_take(member: Member, it: MemberState, now: float) -> bool:
    """One call more."""
    at_work = it.signed_in and it.reachable and not it.paused
    return at_work and it.wraps_up_until <= now and it.busy < member.at_once and not it.ringing


def place_in(member: Member, queue: str) -> Place | None:
    return next((place for place in member.places if place.queue == queue), None)


def absent(queue: Queue, members: Iterable[tuple[Member, MemberState]]) -> bool:
    """Whether the queue counts as one without members. `members`: its own."""
    match queue.overflow_if:
        case Absent.NEVER:
            return False
        case Absent.SIGNED_OUT:
            return not any(it.signed_in for _, it in members)
        case Absent.AWAY:
            return not any(it.signed_in and it.reachable and not it.paused for _, it in members)


def wanted(queue: Queue, caller: Waiting) -> dict[str, int]:
    """The queue's skills and the caller's own: name -> the least level."""
    levels: dict[str, int] = {}
    for skill in (*queue.skills, *caller.skills):
        levels[skill.name] = max(skill.level, levels.get(skill.name, 0))
    return levels


def lacks(skills: Iterable[Skill], levels: dict[str, int]) -> int:
    """How many levels are missing, over all skills that are wanted; 0: the member suits."""
    has = {skill.name: skill.level for skill in skills}
    return sum(max(0, level - has.get(name, 0)) for name, level in levels.items())
