"""What supervisors and programs see of the queues, and do with their members and callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from gateway.queues.figures import History, MemberWork, QueueFigures, now_in
from gateway.queues.members import known, place_in
from gateway.queues.model import Member, Place, Queue, QueueState
from gateway.queues.of_settings import skills_of
from gateway.queues.service import QueueService
from gateway.queues.waits import estimated_wait_s, in_order, members_serving, positions
from gateway.store import StoreUnavailable

__all__ = [
    "CallerReport",
    "FakeQueueDesk",
    "MemberReport",
    "NewMember",
    "NoSuch",
    "QueueDesk",
    "QueueReport",
    "QueueToday",
    "Queues",
    "today_of",
]


LOOK_EVERY_S = 5.0


class NoSuch(LookupError):
    """`kind`: no_such_queue, no_such_member, no_such_caller."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerReport:
    """Somebody who waits, or has asked to be called back. `wait_s`: the estimate from now; null: not known."""

    call_id: str
    position: int
    waited_s: float
    priority: int
    wait_s: float | None = None
    offered_to: tuple[str, ...] = ()
    callback_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReport:
    """A member of one queue. Times are seconds; `talk_s` and `wrap_up_s` are sums of today, in this queue."""

    name: str
    target: str
    signed_in: bool
    paused: str
    reachable: bool
    calls: int
    ringing: bool
    wraps_up_s: float
    penalty: int
    weight: int
    skills: Mapping[str, int]
    calls_at_once: int
    taken_today: int
    talk_s: float = 0.0
    wrap_up_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueToday:
    """Of the waits that ended today. `service_level`: the share of callers who were answered in time; null: nobody
    counts yet."""

    answered: int = 0
    abandoned: int = 0
    left: int = 0
    overflowed: int = 0
    lost: int = 0
    callbacks_asked: int = 0
    callbacks_reached: int = 0
    callbacks_missed: int = 0
    service_level: float | None = None
    mean_wait_s: float | None = None
    longest_wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """`waiting`: callers on the line. `service_s`: mean talk and wrap-up time, of measured calls; null: none yet."""

    name: str
    strategy: str
    open: bool
    waiting: int
    callbacks: int
    longest_wait_s: float
    signed_in: int
    free: int
    service_s: float | None
    today: QueueToday


@dataclass(frozen=True, slots=True)
class NewMember:
    name: str
    target: str
    penalty: int = 0
    weight: int = 1
    skills: Mapping[str, int] = field(default_factory=dict)
    calls_at_once: int = 1


class Queues(Protocol):
    """All may raise StoreUnavailable, and NoSuch."""

    async def all(self) -> tuple[QueueReport, ...]: ...

    async def one(self, queue: str) -> tuple[QueueReport, tuple[MemberReport, ...], tuple[CallerReport, ...]]: ...

    async def put_member(self, queue: str, member: NewMember) -> MemberReport:
        """Add one to the queue, or change them."""

    async def remove_member(self, queue: str, member: str) -> None:
        """From the queue; one of the settings' cannot be."""

    async def sign(self, queue: str, member: str, *, signed_in: bool) -> MemberReport:
        """In all queues."""

    async def pause(self, queue: str, member: str, reason: str) -> MemberReport:
        """In all queues; an empty reason ends it."""

    async def wrapped_up(self, queue: str, member: str) -> MemberReport: ...

    async def prioritise(self, queue: str, call_id: str, priority: int) -> None: ...

    async def remove_caller(self, queue: str, call_id: str) -> None: ...


def today_of(figures: QueueFigures | None) -> QueueToday:
    if figures is None:
        return QueueToday()
    return QueueToday(
        answered=figures.answered, abandoned=figures.abandoned, left=figures.left, overflowed=figures.overflowed,
        lost=figures.lost, callbacks_asked=figures.callbacks_asked, callbacks_reached=figures.callbacks_reached,
        callbacks_missed=figures.callbacks_missed, service_level=_rounded(figures.service_level, 4),
        mean_wait_s=_rounded(figures.mean_wait_s, 1), longest_wait_s=round(figures.longest_wait_s, 1),
    )  # fmt: skip


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


class QueueDesk:
    """Implements `Queues`."""

    def __init__(self, service: QueueService, timezone: tzinfo = UTC, wall: Callable[[], float] = time.time) -> None:
        """`timezone`: where today begins at midnight."""
        self._service = service
        self._timezone = timezone
        self._wall = wall
        self.seen: tuple[tuple[QueueReport, tuple[MemberReport, ...]], ...] = ()  # for metrics, every few seconds

    async def look(self) -> None:
        """As long as the gateway lives: keep what the metrics show."""
        while True:
            with suppress(StoreUnavailable):
                state, history = await self._read()
                self.seen = tuple(
                    (report, self._members(state, history, report.name)) for report in self._reports(state, history)
                )
            await asyncio.sleep(LOOK_EVERY_S)

    async def all(self) -> tuple[QueueReport, ...]:
        state, history = await self._read()
        return self._reports(state, history)

    async def one(self, queue: str) -> tuple[QueueReport, tuple[MemberReport, ...], tuple[CallerReport, ...]]:
        self._check(queue)
        state, history = await self._read()
        (report,) = (each for each in self._reports(state, history) if each.name == queue)
        return report, self._members(state, history, queue), self._callers(state, queue)

    async def put_member(self, queue: str, member: NewMember) -> MemberReport:
        self._check(queue)
        state = await self._service.book.state(self._wall())
        before = next((each for each in state.members if each.name == member.name), None)
        others = () if before is None else tuple(each for each in before.places if each.queue != queue)
        order = max((place.order for each in state.members for place in each.places if place.queue == queue), default=0)
        was = None if before is None else place_in(before, queue)
        place = Place(queue, member.penalty, member.weight, order + 1 if was is None else was.order)
        made = Member(
            member.name, member.target, (*others, place), skills_of(member.skills), member.calls_at_once
        )  # fmt: skip
        await self._service.book.member(made)
        return await self._member(queue, member.name)

    async def remove_member(self, queue: str, member: str) -> None:
        state = await self._of(queue, member)
        found = next(each for each in state.members if each.name == member)
        others = tuple(each for each in found.places if each.queue != queue)
        if member in self._service.of_settings:
            raise NoSuch("no_such_member", f"{member} is a member by the settings; sign them out instead.")
        if others:
            await self._service.book.member(replace(found, places=others))
        else:
            await self._service.book.forget(member)
        self._service.wake()

    async def sign(self, queue: str, member: str, *, signed_in: bool) -> MemberReport:
        await self._of(queue, member)
        await self._service.book.sign(member, self._wall(), signed_in=signed_in)
        return await self._member(queue, member)

    async def pause(self, queue: str, member: str, reason: str) -> MemberReport:
        await self._of(queue, member)
        await self._service.book.pause(member, reason, self._wall())
        return await self._member(queue, member)

    async def wrapped_up(self, queue: str, member: str) -> MemberReport:
        await self._of(queue, member)
        await self._service.book.wrapped_up(member, self._wall())
        return await self._member(queue, member)

    async def prioritise(self, queue: str, call_id: str, priority: int) -> None:
        await self._caller(queue, call_id)
        if not await self._service.prioritise(call_id, priority):
            raise NoSuch("no_such_caller", f"{call_id} does not wait any more.")

    async def remove_caller(self, queue: str, call_id: str) -> None:
        await self._caller(queue, call_id)
        if not await self._service.remove(call_id):
            raise NoSuch("no_such_caller", f"{call_id} does not wait any more.")

    # --- reading -----------------------------------------------------------------------------------------------------

    def _check(self, queue: str) -> None:
        if queue not in self._service.settings:
            known_ones = ", ".join(self._service.settings) or "none"
            raise NoSuch("no_such_queue", f"There is no queue {queue}; there are: {known_ones}.")

    async def _of(self, queue: str, member: str) -> QueueState:
        self._check(queue)
        state = await self._service.book.state(self._wall())
        if not any(each.name == member and place_in(each, queue) is not None for each in state.members):
            raise NoSuch("no_such_member", f"Queue {queue} has no member {member}.")
        return state

    async def _caller(self, queue: str, call_id: str) -> None:
        self._check(queue)
        state = await self._service.book.state(self._wall())
        if not any(each.call_id == call_id and each.queue == queue for each in state.waiting):
            raise NoSuch("no_such_caller", f"No caller {call_id} waits in queue {queue}.")

    async def _member(self, queue: str, member: str) -> MemberReport:
        self._service.wake()
        state, history = await self._read()
        return next(each for each in self._members(state, history, queue) if each.name == member)

    async def _read(self) -> tuple[QueueState, History]:
        now = self._wall()
        midnight = datetime.fromtimestamp(now, self._timezone).replace(hour=0, minute=0, second=0, microsecond=0)
        return await self._service.book.state(now), await self._service.book.history(midnight.timestamp(), now + 1)

    def _reports(self, state: QueueState, history: History) -> tuple[QueueReport, ...]:
        figures = {each.queue: each for each in history.queues}
        queues: Mapping[str, Queue] = {each.name: each for each in state.queues}
        return tuple(
            QueueReport(
                name=now.queue, strategy=queues[now.queue].strategy.value,
                open=queues[now.queue].closed_since is None, waiting=now.waiting, callbacks=now.callbacks,
                longest_wait_s=round(max(0.0, now.longest_wait_s), 1), signed_in=now.signed_in, free=now.free,
                service_s=_rounded(state.service_s.get(now.queue), 1), today=today_of(figures.get(now.queue)),
            )
            for now in now_in(state, self._wall())
        )  # fmt: skip

    def _members(self, state: QueueState, history: History, queue: str) -> tuple[MemberReport, ...]:
        work = {each.member: each for each in history.members if each.queue == queue}
        now = self._wall()
        places = [(place_in(member, queue), member) for member in state.members]
        ordered = sorted(((place, member) for place, member in places if place), key=lambda each: each[0].order)
        return tuple(_member_report(member, place, state, work.get(member.name), now) for place, member in ordered)

    def _callers(self, state: QueueState, queue: str) -> tuple[CallerReport, ...]:
        ordered = in_order(state.waiting, {each.name: each for each in state.queues})
        places, serving, now = positions(ordered), members_serving(state, queue), self._wall()
        return tuple(
            CallerReport(
                call_id=each.call_id, position=places[each.call_id], waited_s=round(max(0.0, now - each.joined_at), 1),
                priority=each.priority,
                wait_s=_rounded(estimated_wait_s(state, queue, places[each.call_id], serving), 0),
                offered_to=each.offered_to, callback_to=each.callback_to,
            )
            for each in ordered
            if each.queue == queue and each.call_id in places
        )  # fmt: skip


def _member_report(
    member: Member, place: Place, state: QueueState, work: MemberWork | None, now: float
) -> MemberReport:
    it = known(state, member)
    return MemberReport(
        name=member.name, target=member.target, signed_in=it.signed_in, paused=it.paused, reachable=it.reachable,
        calls=it.busy, ringing=it.ringing, wraps_up_s=round(max(0.0, it.wraps_up_until - now), 1),
        penalty=place.penalty, weight=place.weight, skills={each.name: each.level for each in member.skills},
        calls_at_once=member.at_once, taken_today=it.taken_today,
        talk_s=0.0 if work is None else round(work.talk_s, 1),
        wrap_up_s=0.0 if work is None else round(work.wrap_up_s, 1),
    )  # fmt: skip


class FakeQueueDesk:
    """One queue, `desk`, with the members that tests give it; notes what is done."""

    def __init__(self, *members: MemberReport, callers: Sequence[CallerReport] = ()) -> None:
        self.members = {member.name: member for member in members}
        self.callers = tuple(callers)
        self.done: list[tuple[str, ...]] = []
        self.report = QueueReport(
            name="desk", strategy="ring_all", open=True, waiting=len(self.callers), callbacks=0, longest_wait_s=12.5,
            signed_in=len(members), free=len(members), service_s=None, today=QueueToday(answered=3, service_level=0.75),
        )  # fmt: skip

    async def all(self) -> tuple[QueueReport, ...]:
        return (self.report,)

    async def one(self, queue: str) -> tuple[QueueReport, tuple[MemberReport, ...], tuple[CallerReport, ...]]:
        self._check(queue)
        return self.report, tuple(self.members.values()), self.callers

    async def put_member(self, queue: str, member: NewMember) -> MemberReport:
        self._check(queue)
        self.done.append(("put", member.name, member.target))
        made = MemberReport(
            name=member.name, target=member.target, signed_in=True, paused="", reachable=True, calls=0, ringing=False,
            wraps_up_s=0.0, penalty=member.penalty, weight=member.weight, skills=dict(member.skills),
            calls_at_once=member.calls_at_once, taken_today=0,
        )  # fmt: skip
        self.members[member.name] = made
        return made

    async def remove_member(self, queue: str, member: str) -> None:
        del self.members[self._member(queue, member).name]

    async def sign(self, queue: str, member: str, *, signed_in: bool) -> MemberReport:
        return self._changed(replace(self._member(queue, member), signed_in=signed_in))

    async def pause(self, queue: str, member: str, reason: str) -> MemberReport:
        return self._changed(replace(self._member(queue, member), paused=reason))

    async def wrapped_up(self, queue: str, member: str) -> MemberReport:
        return self._changed(replace(self._member(queue, member), wraps_up_s=0.0))

    async def prioritise(self, queue: str, call_id: str, priority: int) -> None:
        self._caller(queue, call_id)
        self.done.append(("prioritise", call_id, str(priority)))

    async def remove_caller(self, queue: str, call_id: str) -> None:
        self._caller(queue, call_id)
        self.done.append(("remove", call_id))

    def _changed(self, member: MemberReport) -> MemberReport:
        self.members[member.name] = member
        return member

    def _check(self, queue: str) -> None:
        if queue != "desk":
            raise NoSuch("no_such_queue", f"There is no queue {queue}; there are: desk.")

    def _member(self, queue: str, member: str) -> MemberReport:
        self._check(queue)
        if member not in self.members:
            raise NoSuch("no_such_member", f"Queue {queue} has no member {member}.")
        return self.members[member]

    def _caller(self, queue: str, call_id: str) -> None:
        self._check(queue)
        if not any(each.call_id == call_id for each in self.callers):
            raise NoSuch("no_such_caller", f"No caller {call_id} waits in queue {queue}.")
