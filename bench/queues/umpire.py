"""Watches a simulated day and counts for itself: what it knows of callers and members it was told as it happened, not
what the book or the decisions say. Raises AssertionError at the first thing that is not right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from gateway.queues.model import Member, Queue, Strategy, Waiting

__all__ = ["Fate", "Umpire"]

DAY_S = 86_400.0


@dataclass(slots=True)
class Caller:
    """Who waits. `rung`: members whose phones ring for them. `back_at`: a callback that is not made before."""

    it: Waiting
    rung: set[str] = field(default_factory=set)
    back_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Fate:
    """How one stay in a queue ended."""

    call_id: str
    queue: str
    how: str
    waited_s: float
    is_callback: bool
    member: str = ""


@dataclass(slots=True)
class Worker:
    """A member as seen from outside."""

    it: Member
    signed_in: bool = True
    paused: bool = False
    reachable: bool = True
    ringing_for: str = ""
    talking: set[str] = field(default_factory=set)
    wraps_up_until: float = 0.0
    last_ended: float = 0.0
    last_offered: float = 0.0
    taken: Counter[int] = field(default_factory=Counter)  # by day
    refused: dict[str, float] = field(default_factory=dict)
    busy_s: float = 0.0  # talked and wrapped up

    def free(self, now: float) -> bool:
        at_work = self.signed_in and self.reachable and not self.paused
        return at_work and now >= self.wraps_up_until and not self.ringing_for and len(self.talking) < self.it.at_once


class Umpire:
    """`away`: gateways that make no decisions now. Members are kept for their callers whose turn it is, until they are
    back or given up."""

    def __init__(self, queues: Sequence[Queue], members: Sequence[Member]) -> None:
        self.queues: Mapping[str, Queue] = {queue.name: queue for queue in queues}
        self.members = {member.name: Worker(member) for member in members}
        self.waiting: dict[str, Caller] = {}
        self.fates: list[Fate] = []
        self.offers: Counter[str] = Counter()
        self.offers_of: Counter[tuple[str, str]] = Counter()  # by queue and member
        self.last_offered: dict[str, str] = {}  # by queue
        self.away: set[str] = set()
        self._settings = {
            queue.name: sorted(self.members, key=partial(self._order, queue=queue.name)) for queue in queues
        }
        self._owed: dict[str, str] = {}  # who was passed over in this instant -> for whom

    # --- what happens ---

    def joined(self, caller: Waiting) -> None:
        assert caller.call_id not in self.waiting, f"{caller.call_id} waits twice"
        self.waiting[caller.call_id] = Caller(caller)

    def ended(self, call_id: str, how: str, now: float, member: str = "") -> None:
        caller = self.waiting.pop(call_id)
        it = caller.it
        self.fates.append(Fate(call_id, it.queue, how, now - it.joined_at, bool(it.callback_to), member))
        self._owed.pop(call_id, None)

    def offered(self, call_id: str, members: Sequence[str], now: float) -> None:
        """All of one decision for one caller, in the order in which they were claimed."""
        caller = self.waiting[call_id]
        assert not caller.rung, f"{call_id} is offered to {members} while {caller.rung} ring"
        expected, others_first = self._turn(caller, now)
        strategy = self.queues[caller.it.queue].strategy
        if strategy in (Strategy.RANDOM, Strategy.WEIGHTED):
            assert len(members) == 1 and (others_first or set(members) <= set(expected)), (call_id, members, expected)
        elif strategy is Strategy.RING_ALL and not caller.it.callback_to:
            assert set(members) == set(expected), (call_id, members, expected)
        else:
            assert list(members) == expected[:1], (call_id, strategy, members, expected)
        for name in members:
            self._ring(caller, name, now)
        self._owed.pop(call_id, None)

    def _ring(self, caller: Caller, name: str, now: float) -> None:
        member = self.members[name]
        assert member.free(now), f"{name} is offered {caller.it.call_id}, and cannot take it"
        for other in self.waiting.values():
            if other.rung or not self._before(other, caller) or not self._suits(member, other, now):
                continue
            self._owed[other.it.call_id] = f"{caller.it.call_id} was offered to {name}"
        member.ringing_for, member.last_offered = caller.it.call_id, now
        caller.rung.add(name)
        self.offers[name] += 1
        self.offers_of[caller.it.queue, name] += 1
        self.last_offered[caller.it.queue] = name

    def refused(self, call_id: str, queue: str, name: str, now: float) -> None:
        self.silent(call_id, name)
        self.members[name].refused[queue] = now

    def silent(self, call_id: str, name: str) -> None:
        """The phone does not ring for this caller any more, and was not refused."""
        if self.members[name].ringing_for == call_id:
            self.members[name].ringing_for = ""
        if call_id in self.waiting:
            self.waiting[call_id].rung.discard(name)

    def accepted(self, call_id: str, name: str, now: float) -> None:
        member = self.members[name]
        assert member.ringing_for == call_id, f"{name} has {call_id} without having been rung"
        member.ringing_for = ""
        member.talking.add(call_id)
        member.taken[int(now // DAY_S)] += 1
        self.ended(call_id, "answered", now, name)

    def hung_up(self, call_id: str, name: str, queue: str, talked_s: float, now: float) -> None:
        member = self.members[name]
        member.talking.remove(call_id)
        member.last_ended = now
        member.wraps_up_until = now + self.queues[queue].wrap_up_s
        member.busy_s += talked_s + self.queues[queue].wrap_up_s

    def cut_off(self, name: str, call_id: str) -> None:
        """The gateway of the call is dead."""
        self.silent(call_id, name)
        self.members[name].talking.discard(call_id)

    def taken_over(self, callback: str, gateway: str) -> None:
        self.waiting[callback].it = replace(self.waiting[callback].it, gateway=gateway)

    def instant_over(self, now: float) -> None:
        """Everybody has decided all they could."""
        owed, self._owed = self._owed, {}
        for call_id, why in owed.items():
            caller = self.waiting.get(call_id)
            done = caller is None or caller.rung or caller.it.gateway in self.away
            assert done, f"{call_id} was passed over: {why}"
        if self.away or not any(member.free(now) for member in self.members.values()):
            return
        for caller in self.waiting.values():
            assert caller.rung or not self._expected(caller, now), f"{caller.it.call_id} waits beside a free member"

    # --- how it should be ---

    def _turn(self, caller: Caller, now: float) -> tuple[list[str], bool]:
        """Whom to expect for the caller, once all whose turn is before have theirs; and whether there are such. Their
        gateways may be slower, or away, and members are kept for them."""
        taken: set[str] = set()
        last = dict(self.last_offered)
        for each in sorted((each for each in self.waiting.values() if not each.rung), key=self._rank):
            queue = self.queues[each.it.queue]
            expected = self._expected(each, now, taken, last)
            if each is caller:
                return expected, bool(taken)
            if not expected or (self._has_waited_too_long(each, now)):
                continue
            chosen = expected if queue.strategy is Strategy.RING_ALL and not each.it.callback_to else expected[:1]
            taken |= set(chosen)
            last[queue.name] = chosen[-1]
        raise AssertionError(f"{caller.it.call_id} does not wait")

    def _rank(self, each: Caller) -> tuple[int, int, float, str]:
        """Priority, then weight, then time."""
        return -each.it.priority, -self.queues[each.it.queue].weight, each.it.joined_at, each.it.call_id

    def _has_waited_too_long(self, each: Caller, now: float) -> bool:
        most_wait_s = self.queues[each.it.queue].most_wait_s
        return not each.it.callback_to and 0 < most_wait_s <= now - each.it.joined_at

    def _before(self, one: Caller, other: Caller) -> bool:
        return self._rank(one) < self._rank(other)

    def _suits(self, member: Worker, caller: Caller, now: float) -> bool:
        return self._group(member, caller, now) is not None

    def _group(self, member: Worker, caller: Caller, now: float) -> tuple[int, int, int] | None:
        """Missing skills, penalty and calls, by which members are taken before any strategy; None: not at all."""
        queue = self.queues[caller.it.queue]
        place = [place for place in member.it.places if place.queue == queue.name]
        if not place or caller.back_at > now:
            return None
        if queue.name in member.refused and now < member.refused[queue.name] + queue.retry_s:
            return None
        missing = 0
        for name in {skill.name for skill in (*queue.skills, *caller.it.skills)}:
            want = max(skill.level for skill in (*queue.skills, *caller.it.skills) if skill.name == name)
            have = max([skill.level for skill in member.it.skills if skill.name == name], default=0)
            missing += max(0, want - have)
        if missing and not (queue.widen_after_s and now >= caller.it.joined_at + queue.widen_after_s):
            return None
        return missing, place[0].penalty, len(member.talking)

    def _expected(
        self, caller: Caller, now: float, taken: Collection[str] = (), last: Mapping[str, str] = MappingProxyType({})
    ) -> list[str]:
        """Who may be rung for the caller: the best first; for ring-all and by chance, anybody of the list. `taken`: not
        these. `last`: who was offered each queue's last caller."""
        queue = self.queues[caller.it.queue]
        groups = {
            name: group
            for name, member in self.members.items()
            if name not in taken and member.free(now) and (group := self._group(member, caller, now)) is not None
        }
        if not groups:
            return []
        best = [name for name, group in groups.items() if group == min(groups.values())]
        settings = self._settings[queue.name]
        best.sort(key=settings.index)
        strategy = queue.strategy
        if strategy is Strategy.FEWEST_CALLS:
            today = int(now // DAY_S)
            best.sort(key=lambda name: (self.members[name].taken[today], self.members[name].last_ended))
        elif strategy is Strategy.LEAST_RECENT or (strategy is Strategy.RING_ALL and caller.it.callback_to):
            best.sort(key=lambda name: (self.members[name].last_ended, self.members[name].last_offered))
        elif strategy is Strategy.ROUND_ROBIN and queue.name in last:
            after = settings.index(last[queue.name])
            best.sort(key=lambda name: (settings.index(name) <= after, settings.index(name)))
        return best

    def _order(self, name: str, queue: str) -> tuple[int, str]:
        orders = [place.order for place in self.members[name].it.places if place.queue == queue]
        return (orders[0] if orders else 1 << 30), name
