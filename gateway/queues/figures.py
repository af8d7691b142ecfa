"""A queue's figures: what is going on now, and what became of past waits."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.queues.members import can_take, known
from gateway.queues.model import QueueState

__all__ = ["History", "MemberWork", "QueueFigures", "QueueNow", "now_in"]


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
