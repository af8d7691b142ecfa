"""The order of callers, how long they may wait, and how long they probably will. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.queues.members import known
from gateway.queues.model import Queue, QueueState, Waiting

__all__ = [
    "announce_at",
    "estimated_wait_s",
    "in_order",
    "is_callback_due",
    "let_in",
    "mean_service",
    "members_serving",
    "positions",
]

_MEAN_OVER = 50  # calls


def in_order(waiting: Iterable[Waiting], queues: Mapping[str, Queue]) -> list[Waiting]:
    """Who goes first, of all queues: by priority, then the queue's weight, then who has waited longest."""

    def rank(caller: Waiting) -> tuple[int, int, float, str]:
        queue = queues.get(caller.queue)
        return -caller.priority, -(queue.weight if queue else 0), caller.joined_at, caller.call_id

    return sorted(waiting, key=rank)


def positions(ordered: Sequence[Waiting]) -> dict[str, int]:
    """By call: from 1, in its own queue. Callbacks keep their places, so they count."""
    last: dict[str, int] = {}
    found = {}
    for caller in ordered:
        last[caller.queue] = found[caller.call_id] = last.get(caller.queue, 0) + 1
    return found


def let_in(waiting: Iterable[Waiting], queues: Mapping[str, Queue]) -> set[str]:
    """Calls for which there was room as they joined. Those before them only become fewer, so nobody who was let in is
    sent away later."""
    before: dict[str, int] = {}
    found = set()
    for caller in sorted(waiting, key=lambda caller: (caller.joined_at, caller.call_id)):
        most = queues[caller.queue].most_waiting if caller.queue in queues else 0
        count = before.get(caller.queue, 0)
        if caller.callback_to:
            found.add(caller.call_id)
            continue
        if not most or count < most or caller.offers:
            found.add(caller.call_id)
        before[caller.queue] = count + 1
    return found


def is_callback_due(caller: Waiting, queue: Queue, now: float) -> bool:
    """People are not rung outside of the queue's hours."""
    return caller.callback_at <= now and (queue.closed_since is None or queue.closed_since > now)


def announce_at(caller: Waiting, queue: Queue) -> float | None:
    """When the caller is next told its position: at once, then every so often. None: never."""
    if queue.announce_every_s <= 0 or caller.callback_to:
        return None
    return caller.announced_at + queue.announce_every_s if caller.announced_at else caller.joined_at


def estimated_wait_s(state: QueueState, queue: str, position: int, serving: float) -> float | None:
    """With all members busy, calls end at a rate of members / mean service time, and a caller at position n waits for n
    of them: E[W] = n * S / c (W. Whitt, "Predicting Queueing Delays", Management Science 45 (6), 1999, for M/M/c; it
    takes nobody to hang up meanwhile, so it is rather too long). `serving`: `members_serving`. None: no call has been
    measured, or nobody serves."""
    service_s = state.service_s.get(queue)
    return position * service_s / serving if service_s and serving else None


def members_serving(state: QueueState, queue: str) -> float:
    """How many calls at once. Who also serves other queues in which somebody waits is shared evenly among them."""
    with_callers = {caller.queue for caller in state.waiting}
    serving = 0.0
    for member in state.members:
        it = known(state, member)
        places = {place.queue for place in member.places}
        if queue in places and it.signed_in and it.reachable and not it.paused:
            serving += member.at_once / max(1, len(places & (with_callers | {queue})))
    return serving


def mean_service(mean_s: float, calls: int, new_s: float) -> tuple[float, int]:
    """A queue's service time, and the calls that it is the mean of, after one more: older ones fade."""
    calls = min(calls + 1, _MEAN_OVER)
    return mean_s + (new_s - mean_s) / calls, calls
