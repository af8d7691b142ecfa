"""A `QueueBook` in memory, for tests and simulations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo

from gateway.queues.figures import EndedCall, EndedWait, History, history_of
from gateway.queues.members import can_take, merged
from gateway.queues.model import (
    Member,
    MemberState,
    OfferEnd,
    Queue,
    QueueState,
    Strategy,
    Waiting,
    WaitingEnd,
)
from gateway.queues.waits import mean_service

__all__ = ["FakeQueueBook"]


@dataclass(slots=True)
class _Wait:
    caller: Waiting
    lease_until: float
    ended: EndedWait | None = None
    call: EndedCall | None = None


@dataclass(slots=True)
class _Claim:
    queue: str
    gateway: str
    lease_until: float
    talking: bool = False


@dataclass(slots=True)
class _Kept:
    """Of one member. `state`: without what the claims say."""

    state: MemberState
    taken_on: str = ""
    has_signed: bool = False
    last_wait: _Wait | None = None


@dataclass(slots=True)
class _Shared:
    """What several gateways have in one database."""

    waits: list[_Wait] = field(default_factory=list)
    last: dict[tuple[str, str], _Wait] = field(default_factory=dict)  # by call and queue
    open: dict[str, _Wait] = field(default_factory=dict)  # by call
    claims: dict[tuple[str, str], _Claim] = field(default_factory=dict)  # by call and member
    members: dict[str, _Kept] = field(default_factory=dict)
    rest: dict[str, Member] = field(default_factory=dict)
    last_member: dict[str, str] = field(default_factory=dict)
    service: dict[str, tuple[float, int]] = field(default_factory=dict)


class FakeQueueBook:
    """Implements `QueueBook`. `fail_next`: errors to raise first, one per call."""

    def __init__(self, timezone: tzinfo = UTC, *, shared: _Shared | None = None) -> None:
        self._timezone = timezone
        self._shared = shared or _Shared()
        self._queues: dict[str, Queue] = {}
        self._members: tuple[Member, ...] = ()
        self._renewed_at: float | None = None
        self.fail_next: list[Exception] = []

    def beside(self) -> FakeQueueBook:
        """Another gateway's, or a restarted one's, with the same database."""
        return FakeQueueBook(self._timezone, shared=self._shared)

    def configure(self, queues: Sequence[Queue], members: Sequence[Member]) -> None:
        self._queues = {queue.name: queue for queue in queues}
        self._members = tuple(members)

    # --- reading ---

    async def state(self, now: float) -> QueueState:
        self._fail()
        shared = self._shared
        members = merged(self._members, shared.rest.values())
        rung: dict[str, tuple[str, ...]] = {}
        held: dict[str, list[_Claim]] = {}
        for (call_id, member), claim in sorted(shared.claims.items()):
            held.setdefault(member, []).append(claim)
            if not claim.talking:
                rung[call_id] = (*rung.get(call_id, ()), member)
        today = self._day(now)
        by_name: dict[str, Member | None] = dict.fromkeys(shared.members)
        by_name |= {each.name: each for each in members}
        return QueueState(
            tuple(self._queues.values()),
            members,
            {
                name: _state_of(name, each, shared.members.get(name), held.get(name, ()), today)
                for name, each in by_name.items()
            },
            tuple(
                replace(wait.caller, offered_to=rung[call_id]) if call_id in rung else wait.caller
                for call_id, wait in shared.open.items()
            ),
            {queue: mean for queue, (mean, _) in shared.service.items()},
            dict(shared.last_member),
        )

    async def history(self, since: float, until: float) -> History:
        self._fail()
        waits = [wait.ended for wait in self._shared.waits if wait.ended and since <= wait.ended.ended_at < until]
        calls = [wait.call for wait in self._shared.waits if wait.call and since <= wait.call.ended_at < until]
        return history_of(waits, calls)

    # --- callers ---

    async def join(self, caller: Waiting, now: float, lease_s: float) -> None:
        self._fail()
        shared = self._shared
        if caller.call_id in shared.open:
            return
        wait = shared.last.get((caller.call_id, caller.queue))
        if wait is not None and wait.ended and wait.ended.how is WaitingEnd.LOST:
            wait.ended, wait.lease_until = None, now + lease_s
            wait.caller = replace(wait.caller, gateway=caller.gateway)
        else:
            wait = _Wait(replace(caller, offered_to=()), now + lease_s)
            shared.waits.append(wait)
            shared.last[caller.call_id, caller.queue] = wait
        shared.open[caller.call_id] = wait

    async def leave(self, call_id: str, how: WaitingEnd, now: float, reason: str = "") -> bool:
        self._fail()
        return self._leave(call_id, how, now, reason) is not None

    async def prioritise(self, call_id: str, priority: int) -> bool:
        self._fail()
        wait = self._shared.open.get(call_id)
        if wait is not None:
            wait.caller = replace(wait.caller, priority=priority)
        return wait is not None

    async def announced(self, call_id: str, now: float) -> None:
        self._fail()
        if (wait := self._shared.open.get(call_id)) is not None:
            wait.caller = replace(wait.caller, announced_at=now)

    async def renew(self, gateway: str, now: float, lease_s: float) -> None:
        self._fail()
        self._extend(gateway, now + lease_s)
        fresh = self._renewed_at is not None and now - self._renewed_at <= lease_s
        self._renewed_at = now
        if not fresh:  # the store may have been away for all: let the others renew first
            return
        for key, claim in list(self._shared.claims.items()):
            if claim.lease_until < now:
                del self._shared.claims[key]
        for call_id, wait in list(self._shared.open.items()):
            if wait.lease_until < now and not wait.caller.callback_to:
                self._leave(call_id, WaitingEnd.LOST, now)
            elif wait.lease_until < now:
                wait.caller, wait.lease_until = replace(wait.caller, gateway=gateway), now + lease_s

    async def resume(self, gateway: str, living: Collection[str], now: float, lease_s: float) -> None:
        self._fail()
        for key, claim in list(self._shared.claims.items()):
            if claim.gateway == gateway and key[0] not in living:
                del self._shared.claims[key]
        for call_id, wait in list(self._shared.open.items()):
            if wait.caller.gateway == gateway and call_id not in living and not wait.caller.callback_to:
                self._leave(call_id, WaitingEnd.LOST, now)
        self._extend(gateway, now + lease_s)

    # --- offers and calls ---

    async def claim(self, call_id: str, member: str, now: float, lease_s: float) -> bool:
        self._fail()
        shared = self._shared
        wait = shared.open.get(call_id)
        known = next((each for each in merged(self._members, shared.rest.values()) if each.name == member), None)
        if wait is None or known is None or not can_take(known, self._state(known, now), now):
            return False
        queue = wait.caller.queue
        ring_all = queue in self._queues and self._queues[queue].strategy is Strategy.RING_ALL
        if any(call == call_id for call, _ in shared.claims) and (not ring_all or wait.caller.callback_to):
            return False
        shared.claims[call_id, member] = _Claim(queue, wait.caller.gateway, now + lease_s)
        wait.caller = replace(wait.caller, offers=wait.caller.offers + 1)
        self._change(member, last_offered_at=now)
        shared.last_member[queue] = member
        return True

    async def offer_ended(self, call_id: str, member: str, how: OfferEnd, now: float) -> bool:
        self._fail()
        claim = self._shared.claims.get((call_id, member))
        if claim is None or claim.talking:
            return False
        if how is OfferEnd.ACCEPTED:
            wait = self._leave(call_id, WaitingEnd.ANSWERED, now, member=member)
            if wait is None:
                del self._shared.claims[call_id, member]
                return False
            claim.talking = True
            kept = self._kept(member)
            today = self._day(now)
            taken = kept.state.taken_today if kept.taken_on == today else 0
            kept.taken_on = today
            self._change(member, taken_today=taken + 1)
            return True
        del self._shared.claims[call_id, member]
        if how is not OfferEnd.WITHDRAWN:
            self._change(member, refused_at={**self._kept(member).state.refused_at, claim.queue: now})
        return True

    async def callback_missed(self, call_id: str, member: str, now: float) -> bool:
        self._fail()
        self._shared.claims.pop((call_id, member), None)
        wait = self._shared.open.get(call_id)
        if wait is None or not wait.caller.callback_to:
            return False
        queue = self._queues.get(wait.caller.queue) or Queue(wait.caller.queue)
        attempts = wait.caller.callback_attempts + 1
        wait.caller = replace(wait.caller, callback_attempts=attempts, callback_at=now + queue.callback_retry_s)
        if attempts < queue.callback_attempts:
            return True
        self._leave(call_id, WaitingEnd.UNREACHED, now)
        return False

    async def call_ended(self, call_id: str, member: str, talked_s: float, now: float) -> None:
        self._fail()
        shared = self._shared
        claim = shared.claims.get((call_id, member))
        if claim is not None and claim.talking:
            del shared.claims[call_id, member]
        for wait in reversed(shared.waits):
            if wait.caller.call_id == call_id and wait.ended and wait.ended.member == member and wait.call is None:
                break
        else:
            return
        queue = self._queues.get(wait.caller.queue) or Queue(wait.caller.queue)
        wait.call = EndedCall(queue.name, member, now, talked_s, queue.wrap_up_s)
        self._kept(member).last_wait = wait
        self._change(member, last_ended_at=now, wraps_up_until=now + queue.wrap_up_s)
        shared.service[queue.name] = mean_service(*shared.service.get(queue.name, (0.0, 0)), talked_s + queue.wrap_up_s)

    async def wrapped_up(self, member: str, now: float) -> None:
        self._fail()
        kept = self._kept(member)
        early_s = kept.state.wraps_up_until - now
        if early_s <= 0:
            return
        self._change(member, wraps_up_until=now)
        if kept.last_wait is not None and kept.last_wait.call is not None:
            call = kept.last_wait.call
            kept.last_wait.call = replace(call, wrap_up_s=max(0.0, call.wrap_up_s - early_s))

    # --- members ---

    async def sign(self, member: str, now: float, *, signed_in: bool) -> None:
        self._fail()
        self._change(member, signed_in=signed_in)
        self._kept(member).has_signed = True

    async def pause(self, member: str, reason: str, now: float) -> None:
        self._fail()
        self._change(member, paused=reason)

    async def reachable(self, member: str, *, is_reachable: bool) -> None:
        self._fail()
        self._change(member, reachable=is_reachable)

    async def member(self, member: Member) -> MemberState:
        self._fail()
        self._shared.rest[member.name] = member
        return self._state(member, None)

    async def forget(self, member: str) -> bool:
        self._fail()
        return self._shared.rest.pop(member, None) is not None

    # --- within ---

    def _fail(self) -> None:
        if self.fail_next:
            raise self.fail_next.pop(0)

    def _kept(self, member: str) -> _Kept:
        return self._shared.members.setdefault(member, _Kept(MemberState(member)))

    def _change(self, member: str, **changes: object) -> None:
        kept = self._kept(member)
        kept.state = replace(kept.state, **changes)  # type: ignore[arg-type]

    def _state(self, member: Member, now: float | None) -> MemberState:
        """`now` None: whatever day it is."""
        mine = [claim for (_, name), claim in self._shared.claims.items() if name == member.name]
        kept = self._shared.members.get(member.name)
        return _state_of(member.name, member, kept, mine, None if now is None else self._day(now))

    def _leave(
        self, call_id: str, how: WaitingEnd, now: float, reason: str = "", member: str | None = None
    ) -> _Wait | None:
        wait = self._shared.open.pop(call_id, None)
        if wait is None:
            return None
        caller = wait.caller
        queue = self._queues.get(caller.queue) or Queue(caller.queue)
        in_time = now - caller.joined_at <= queue.service_level_s
        wait.ended = EndedWait(
            queue.name, how, now, now - caller.joined_at, reason, in_time, bool(caller.callback_to), member
        )
        return wait

    def _extend(self, gateway: str, until: float) -> None:
        for held in (self._shared.claims.values(), self._shared.open.values()):
            for each in held:
                if (each.gateway if isinstance(each, _Claim) else each.caller.gateway) == gateway:
                    each.lease_until = until

    def _day(self, now: float) -> str:
        return datetime.fromtimestamp(now, self._timezone).date().isoformat()


def _state_of(
    name: str, member: Member | None, kept: _Kept | None, claims: Sequence[_Claim], today: str | None
) -> MemberState:
    at_first = member is None or member.signed_in
    if kept is None:
        return MemberState(name, at_first)
    state = kept.state
    taken_today = state.taken_today if today in (None, kept.taken_on) else 0
    signed_in = state.signed_in if kept.has_signed else at_first
    if not claims and (taken_today, signed_in) == (state.taken_today, state.signed_in):
        return state
    ringing = any(not claim.talking for claim in claims)
    return replace(state, busy=len(claims), ringing=ringing, taken_today=taken_today, signed_in=signed_in)
