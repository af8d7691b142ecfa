"""What to do for the callers of all queues now. Pure, over what all gateways share: each gateway gets the actions for
its own callers, and knows from the same state what the others do for theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.queues.members import absent, can_take, known, lacks, place_in, wanted
from gateway.queues.model import (
    Action,
    Announce,
    CallBack,
    LetGo,
    Member,
    MemberState,
    Offer,
    Queue,
    QueueState,
    Waiting,
)
from gateway.queues.strategies import Candidate, choose
from gateway.queues.waits import (
    announce_at,
    estimated_wait_s,
    in_order,
    is_callback_due,
    let_in,
    members_serving,
    positions,
)

__all__ = ["decide", "due"]


def decide(state: QueueState, now: float, gateway: str) -> tuple[Action, ...]:
    """In this order: who may wait no longer, then offers in the order of callers, then announcements."""
    queues = {queue.name: queue for queue in state.queues}
    gone = _let_go(state, queues, now)
    ordered = [each for each in in_order(state.waiting, queues) if each.call_id not in gone]
    offers = _offers(state, queues, ordered, now)
    gone |= _full(queues, ordered, offers)
    mine = {caller.call_id for caller in state.waiting if caller.gateway == gateway}
    staying = [each for each in ordered if each.call_id not in gone]
    told = [each for each in staying if each.call_id in mine and each.call_id not in offers]
    return (
        *(action for call_id, action in gone.items() if call_id in mine),
        *(action for call_id, action in offers.items() if call_id in mine),
        *_announcements(state, queues, staying, told, now),
    )


def due(state: QueueState, now: float) -> float | None:
    """When time alone next changes what is decided; None: only an event will."""
    return min((at for at in _instants(state) if at > now), default=None)


# --- who may wait no longer ---------------------------------------------------------------------------------------


def _let_go(state: QueueState, queues: Mapping[str, Queue], now: float) -> dict[str, LetGo]:
    """By call. Who is being offered, or keeps their place as a callback, stays."""
    deserted = _without_members(state, queues)
    gone = {}
    for caller in state.waiting:
        if caller.offered_to or (caller.callback_to and caller.queue in queues):
            continue
        queue = queues.get(caller.queue)
        reason = "no_queue" if queue is None else _why_not(queue, caller, now, deserted)
        if reason:
            gone[caller.call_id] = LetGo(caller.call_id, reason, queue.overflow if queue else None)
    return gone


def _why_not(queue: Queue, caller: Waiting, now: float, deserted: set[str]) -> str:
    if queue.closed_since is not None and queue.closed_since <= caller.joined_at:
        return "closed"
    if queue.name in deserted:
        return "no_members"
    if queue.most_wait_s and caller.joined_at + queue.most_wait_s <= now:
        return "too_long"
    return ""


def _without_members(state: QueueState, queues: Mapping[str, Queue]) -> set[str]:
    of: dict[str, list[tuple[Member, MemberState]]] = {name: [] for name in queues}
    for member in state.members:
        for place in member.places:
            if place.queue in of:
                of[place.queue].append((member, known(state, member)))
    return {name for name, members in of.items() if absent(queues[name], members)}


def _full(queues: Mapping[str, Queue], waiting: Sequence[Waiting], offers: Mapping[str, Action]) -> dict[str, LetGo]:
    """Who finds neither room nor, at once, a member."""
    inside = let_in(waiting, queues)
    return {
        caller.call_id: LetGo(caller.call_id, "full", queues[caller.queue].overflow)
        for caller in waiting
        if not (caller.call_id in inside or caller.call_id in offers or caller.offered_to)
    }


# --- who is offered to whom ---------------------------------------------------------------------------------------


def _offers(
    state: QueueState, queues: Mapping[str, Queue], ordered: Sequence[Waiting], now: float
) -> dict[str, Action]:
    """By call, of all gateways, in the order of callers: each takes their choice before the next one's turn."""
    free = _free(state, now)
    order = {
        (place.queue, member.name): (place.order, member.name) for member in state.members for place in member.places
    }
    last = {queue: order.get((queue, name)) for queue, name in state.last_member.items()}
    found: dict[str, Action] = {}
    for caller in ordered:
        if not free:
            break
        queue = queues.get(caller.queue)
        if queue is None or caller.offered_to:
            continue
        if caller.callback_to and not is_callback_due(caller, queue, now):
            continue
        chosen = choose(queue.strategy, _suiting(free, queue, caller, now), caller, last.get(queue.name))
        if not chosen:
            continue
        for each in chosen:
            del free[each.name]
        last[queue.name] = chosen[-1].in_order
        found[caller.call_id] = _offer(queue, caller, [each.name for each in chosen])
    return found


def _offer(queue: Queue, caller: Waiting, members: Sequence[str]) -> Action:
    if caller.callback_to:
        return CallBack(caller.call_id, caller.callback_to, members[0], caller.callback_member_first)
    return Offer(caller.call_id, queue.name, tuple(members), queue.ring_s)


def _free(state: QueueState, now: float) -> dict[str, tuple[Member, MemberState]]:
    members = ((member, known(state, member)) for member in state.members)
    return {member.name: (member, it) for member, it in members if can_take(member, it, now)}


def _suiting(
    free: Mapping[str, tuple[Member, MemberState]], queue: Queue, caller: Waiting, now: float
) -> list[Candidate]:
    levels = wanted(queue, caller)
    widened = queue.widen_after_s > 0 and caller.joined_at + queue.widen_after_s <= now
    found = []
    for member, it in free.values():
        place = place_in(member, queue.name)
        if place is None or (queue.name in it.refused_at and it.refused_at[queue.name] + queue.retry_s > now):
            continue
        missing = lacks(member.skills, levels)
        if not missing or widened:
            found.append(Candidate(member, it, place, missing))
    return found


# --- what callers are told ------------------------------------------------------------------------------------------


def _announcements(
    state: QueueState, queues: Mapping[str, Queue], staying: Sequence[Waiting], told: Sequence[Waiting], now: float
) -> Iterator[Announce]:
    """`told`: those of `staying` who may be told; who is being offered for the first time need not be."""
    place: dict[str, int] = {}
    serving: dict[str, float] = {}
    for caller in told:
        at = announce_at(caller, queues[caller.queue])
        if at is None or at > now or (caller.offered_to and not caller.announced_at):
            continue
        place = place or positions(staying)
        if caller.queue not in serving:
            serving[caller.queue] = members_serving(state, caller.queue)
        position = place[caller.call_id]
        yield Announce(caller.call_id, position, estimated_wait_s(state, caller.queue, position, serving[caller.queue]))


def _instants(state: QueueState) -> Iterator[float]:
    queues = {queue.name: queue for queue in state.queues}
    for it in state.states.values():
        yield it.wraps_up_until
        for name, at in it.refused_at.items():
            if name in queues:
                yield at + queues[name].retry_s
    for caller in state.waiting:
        if (queue := queues.get(caller.queue)) is None:
            continue
        yield caller.callback_at
        if queue.widen_after_s:
            yield caller.joined_at + queue.widen_after_s
        if queue.most_wait_s and not caller.callback_to:
            yield caller.joined_at + queue.most_wait_s
        if (next_at := announce_at(caller, queue)) is not None:
            yield next_at
