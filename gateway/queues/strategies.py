"""Whom of the free members a caller is offered to. Pure: chance is drawn from the caller, so that every gateway that
looks at the same state draws the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from gateway.queues.model import Member, MemberState, Place, Strategy, Waiting

__all__ = ["Candidate", "choose"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A free member of the queue who suits the caller. `lacks`: levels of skills, after the queue has widened."""

    member: Member
    state: MemberState
    place: Place
    lacks: int = 0

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def in_order(self) -> tuple[int, str]:
        """Of the settings."""
        return self.place.order, self.name


@dataclass(frozen=True, slots=True)
class _Choice:
    caller: Waiting
    last: tuple[int, str] | None  # who was offered the queue's last caller

    def chance(self) -> Random:
        return Random(f"{self.caller.call_id}/{self.caller.queue}/{self.caller.offers}")  # noqa: S311 - no secret


def choose(
    strategy: Strategy,
    candidates: Sequence[Candidate],
    caller: Waiting,
    last: tuple[int, str] | None = None,
) -> tuple[Candidate, ...]:
    """One, or for ring-all those to ring at once; none without candidates. Skills go before penalties, these before the
    calls that a member has already, and these before the strategy."""
    if not candidates:
        return ()
    best = min(_before_strategy(each) for each in candidates)
    alike = sorted((each for each in candidates if _before_strategy(each) == best), key=lambda each: each.in_order)
    if strategy is Strategy.RING_ALL:
        # A callback needs one member, who is kept for it.
        return tuple(alike) if not caller.callback_to else (_least_recent(alike, _Choice(caller, last)),)
    return (_STRATEGIES[strategy](alike, _Choice(caller, last)),)


def _before_strategy(each: Candidate) -> tuple[int, int, int]:
    return each.lacks, each.place.penalty, each.state.busy


def _least_recent(alike: Sequence[Candidate], _: _Choice) -> Candidate:
    return min(alike, key=lambda each: (each.state.last_ended_at, each.state.last_offered_at, each.in_order))


def _fewest_calls(alike: Sequence[Candidate], _: _Choice) -> Candidate:
    return min(alike, key=lambda each: (each.state.taken_today, each.state.last_ended_at, each.in_order))


def _random(alike: Sequence[Candidate], choice: _Choice) -> Candidate:
    return choice.chance().choice(alike)


def _round_robin(alike: Sequence[Candidate], choice: _Choice) -> Candidate:
    if choice.last is not None:
        for each in alike:
            if each.in_order > choice.last:
                return each
    return alike[0]


def _linear(alike: Sequence[Candidate], _: _Choice) -> Candidate:
    return alike[0]


def _weighted(alike: Sequence[Candidate], choice: _Choice) -> Candidate:
    weights = [max(0, each.place.weight) for each in alike]
    return choice.chance().choices(alike, weights if any(weights) else None)[0]


_STRATEGIES: Mapping[Strategy, Callable[[Sequence[Candidate], _Choice], Candidate]] = {
    Strategy.LEAST_RECENT: _least_recent,
    Strategy.FEWEST_CALLS: _fewest_calls,
    Strategy.RANDOM: _random,
    Strategy.ROUND_ROBIN: _round_robin,
    Strategy.LINEAR: _linear,
    Strategy.WEIGHTED: _weighted,
}
