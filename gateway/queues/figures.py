"""A queue's figures: what is going on now, and what became of past waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.queues.members import can_take, known
from gateway.queues.model import QueueState, WaitingEnd

__all__ = ["EndedCall", "EndedWait", "History", "MemberWork", "QueueFigures", "QueueNow", "history_of", "now_in"]


@dataclass(frozen=True, slots=True)
class EndedWait:
    """What became of one wait, or of `times` like it with the sum of their `waited_s`."""

    queue: str
    how: WaitingEnd
    ended_at: float
    waited_s: float
    reason: str = ""
    in_time: bool = False  # within the service level
    is_callback: bool = False
    member: str | None = None
    times: int = 1
    longest_s: float | None = None  # None: `waited_s`


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A member's call of the queue, or sums of `times` of them."""

    queue: str
    member: str
    ended_at: float
    talked_s: float
    wrap_up_s: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Of the waits that ended in a time. `in_time`: answered within the service level that the queue had then. Times
    are sums in seconds."""

    queue: str
    answered: int = 0
    in_time: int = 0
    abandoned: int = 0
    abandoned_soon: int = 0  # of those: within the service level
    left: int = 0
    overflowed: int = 0
    too_long: int = 0  # of those: had waited as long as the queue allows
    lost: int = 0
    callbacks_asked: int = 0
    callbacks_reached: int = 0
    callbacks_missed: int = 0
    wait_s: float = 0.0  # of those who were answered
    longest_wait_s: float = 0.0  # of all who waited on the line

    @property
    def service_level(self) -> float | None:
        """The share that was answered in time. Who hung up within the service level, left by choice or was never let
        in does not count; None: nobody counts."""
        counted = self.answered + self.abandoned - self.abandoned_soon + self.too_long + self.lost
        return self.in_time / counted if counted else None

    @property
    def mean_wait_s(self) -> float | None:
        return self.wait_s / self.answered if self.answered else None


@dataclass(frozen=True, slots=True)
class MemberWork:
    """Of one member in one queue: calls that ended in the time (callbacks too), and their sums in seconds."""

    member: str
    queue: str
    calls: int
    talk_s: float
    wrap_up_s: float


@dataclass(frozen=True, slots=True)
class History:
    queues: tuple[QueueFigures, ...]
    members: tuple[MemberWork, ...]


def history_of(waits: Iterable[EndedWait], calls: Iterable[EndedCall]) -> History:
    """In the order of names."""
    queues: dict[str, QueueFigures] = {}
    for wait in waits:
        before = queues.get(wait.queue) or QueueFigures(wait.queue)
        queues[wait.queue] = _of_callback(before, wait) if wait.is_callback else _of_caller(before, wait)
    work: dict[tuple[str, str], MemberWork] = {}
    for call in calls:
        key = call.queue, call.member
        had = work.get(key) or MemberWork(call.member, call.queue, 0, 0.0, 0.0)
        talk_s, wrap_up_s = had.talk_s + call.talked_s, had.wrap_up_s + call.wrap_up_s
        work[key] = MemberWork(call.member, call.queue, had.calls + call.times, talk_s, wrap_up_s)
    return History(
        tuple(figures for _, figures in sorted(queues.items())), tuple(each for _, each in sorted(work.items()))
    )


def _of_callback(before: QueueFigures, wait: EndedWait) -> QueueFigures:
    match wait.how:
        case WaitingEnd.ANSWERED:
            return replace(before, callbacks_reached=before.callbacks_reached + wait.times)
        case WaitingEnd.UNREACHED:
            return replace(before, callbacks_missed=before.callbacks_missed + wait.times)
        case _:
            return before


def _of_caller(before: QueueFigures, wait: EndedWait) -> QueueFigures:
    longest_s = wait.waited_s if wait.longest_s is None else wait.longest_s
    before = replace(before, longest_wait_s=max(before.longest_wait_s, longest_s))
    soon = wait.times if wait.in_time else 0
    match wait.how:
        case WaitingEnd.ANSWERED:
            return replace(
                before,
                answered=before.answered + wait.times,
                in_time=before.in_time + soon,
                wait_s=before.wait_s + wait.waited_s,
            )
        case WaitingEnd.ABANDONED:
            return replace(before, abandoned=before.abandoned + wait.times, abandoned_soon=before.abandoned_soon + soon)
        case WaitingEnd.OVERFLOWED:
            too_long = wait.times if wait.reason == "too_long" else 0
            return replace(before, overflowed=before.overflowed + wait.times, too_long=before.too_long + too_long)
        case WaitingEnd.LEFT:
            return replace(before, left=before.left + wait.times)
        case WaitingEnd.LOST:
            return replace(before, lost=before.lost + wait.times)
        case WaitingEnd.CALLBACK:
            return replace(before, callbacks_asked=before.callbacks_asked + wait.times)
        case WaitingEnd.UNREACHED | WaitingEnd.CANCELLED:
            return before  # of callbacks only


@dataclass(frozen=True, slots=True)
class QueueNow:
    """`free`: they can be offered a caller."""

    queue: str
    waiting: int  # on the line
    callbacks: int
    longest_wait_s: float
    signed_in: int
    free: int


def now_in(state: QueueState, now: float) -> tuple[QueueNow, ...]:
    """One for each queue of the settings."""
    found = []
    for queue in state.queues:
        here = [each for each in state.waiting if each.queue == queue.name]
        waits = [now - each.joined_at for each in here if not each.callback_to]
        members = [each for each in state.members if any(place.queue == queue.name for place in each.places)]
        found.append(
            QueueNow(
                queue.name,
                len(waits),
                len(here) - len(waits),
                max(waits, default=0.0),
                sum(known(state, each).signed_in for each in members),
                sum(can_take(each, known(state, each), now) for each in members),
            )
        )
    return tuple(found)
