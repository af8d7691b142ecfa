"""The gateway's queues: workers ask for their callers, the state is in the book, `decide` says what to do, and this
does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from agent.warm.asking import AskError, Refused
from gateway.calls.queue_terms import QUEUED, MemberToRing, RingMembers, terms_of
from gateway.config import QueueSettings
from gateway.live_calls import LiveCalls
from gateway.phones.registered import PhoneChanged, RegisteredPhones, phone_name
from gateway.queues.book import QueueBook
from gateway.queues.callback_run import Callbacks
from gateway.queues.callbacks import PlacesCalls
from gateway.queues.deciding import decide, due
from gateway.queues.members import can_take, known, place_in
from gateway.queues.model import (
    Action,
    Announce,
    CallBack,
    LetGo,
    Member,
    Offer,
    OfferEnd,
    Overflow,
    Queue,
    QueueState,
    Waiting,
    WaitingEnd,
)
from gateway.queues.of_settings import OpeningHours, queue_of, skills_of
from gateway.queues.signing import KnownMember, Signing
from gateway.queues.telling import queue_event
from gateway.queues.waits import estimated_wait_s, in_order, members_serving, positions
from gateway.record import CallClosed, LegClosed, RecordMessage, WorkerLost
from gateway.store import StoreUnavailable

__all__ = ["QueueService"]

log = structlog.get_logger(__name__)

LEASE_S = 15.0
RENEW_S = 5.0
LOOK_S = 1.0  # at what other gateways have done
ASK_LIMIT_S = 3.0
PATIENCE_S = 20.0  # callers hear music so long while the store is away
VOICEMAIL = "queue_personas.MessageTaker"  # who takes messages
MOST_MOVES = 5  # from queue to queue

Ask = Callable[..., Awaitable[Mapping[str, Any]]]  # as `Supervisor.ask`


@dataclass(slots=True)
class _Here:
    """A caller of this gateway who waits."""

    worker: str
    queue: str
    joined_at: float
    priority: int
    skills: Mapping[str, int]
    offered: dict[str, float] = field(default_factory=dict)  # members who are being rung -> since when
    moves: int = 0
    callback: CallBack | None = None  # they have been called back, and this member is being rung


@dataclass(frozen=True, slots=True)
class _Talk:
    call_id: str  # in the book: the caller's, or the callback's
    member: str
    since: float
    call: str  # the live one's id


class QueueService:
    def __init__(
        self,
        queues: Sequence[QueueSettings],
        members: Sequence[Member],
        book: QueueBook,
        live: LiveCalls,
        ask: Ask,
        record: Callable[[RecordMessage], None],
        hours: OpeningHours,
        *,
        gateway: str,
        places: PlacesCalls | None = None,
        may_call: Callable[[str], None] = lambda number: None,
        file_of: Callable[[str], str] = lambda persona: "",
        known: Sequence[KnownMember] = (),
        phones: RegisteredPhones | None = None,
        number: Callable[[str], str] = lambda keyed: keyed,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`gateway`: this one's id, the same after a restart. `places`: calls, for callbacks; None: there are none.
        `may_call`: whether a number may be called back; raises Refused. `file_of`: of a persona by its name; empty:
        there is none. `known`: who may sign in by telephone. `phones`: those registered with us. `number`: one
        that was keyed in, as it is called."""
        self.settings = {queue.name: queue for queue in queues}
        self.book = book
        self.of_settings = frozenset(member.name for member in members)
        self._queues = tuple(queue_of(queue) for queue in queues)
        self._members = tuple(members)
        self._live = live
        self._ask = ask
        self._record = record
        self._hours = hours
        self._gateway = gateway
        self._callbacks = Callbacks(self, places)
        self._may_call = may_call
        self._file_of = file_of
        self._wall = wall
        self._phones = phones
        self._number = number
        self._here: dict[str, _Here] = {}
        self._talks: dict[str, _Talk] = {}  # by the member's leg
        self._wake = asyncio.Event()
        self._renew_at = 0.0
        self._away_since: float | None = None
        self._owed: list[Callable[[], Coroutine[Any, Any, object]]] = []  # what the store has not been told yet
        self._tasks: set[asyncio.Task[None]] = set()
        self.state: QueueState = QueueState(self._queues, self._members, {}, ())  # as it was last read
        self.signing = Signing(book, known, wall)
        book.configure(self._queues, self._members)

    # --- its life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """As long as the gateway lives."""
        living = [call.call_id for call in self._live]
        await self._tried(self.book.resume(self._gateway, living, self._wall(), LEASE_S))
        if self._phones is not None:
            self._phones.watch(self.phone_changed)
            await self._look_at_phones()
        while True:
            try:
                wait_s = await self.step()
            except Exception as error:
                log.error("queues_failed", error=repr(error), exc_info=error)
                wait_s = LOOK_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def step(self) -> float:
        """Look once, and do what is to be done; how long until the next look at most."""
        now = self._wall()
        try:
            self.book.configure(tuple(self._hours.applied(queue, now) for queue in self._queues), self._members)
            if now >= self._renew_at:
                await self.book.renew(self._gateway, now, LEASE_S)
                self._renew_at = now + RENEW_S
            owed, self._owed = self._owed, []
            for work in owed:
                await self._sure(work)
            state = self.state = await self.book.state(now)
            self._away_since = None
            for action in decide(state, now, self._gateway):
                await self._done(action, state, now)
            nearest = due(state, now)
        except StoreUnavailable as error:
            self._renew_at = 0.0
            self._store_away(now, error)
            return LOOK_S
        return LOOK_S if nearest is None else min(LOOK_S, max(0.02, nearest - self._wall()))

    def now(self) -> float:
        return self._wall()

    def free(self, queue: str) -> int:
        """Members of it who could take a call now, as the state was last read."""
        state, now = self.state, self._wall()
        mine = (member for member in state.members if place_in(member, queue) is not None)
        return sum(can_take(member, known(state, member), now) for member in mine)

    def wake(self) -> None:
        self._wake.set()

    def _store_away(self, now: float, error: StoreUnavailable) -> None:
        if self._away_since is None:
            log.warning("queues_without_store", waiting=len(self._here), error=str(error))
            self._away_since = now
        if now - self._away_since < PATIENCE_S:
            return
        for call_id, here in tuple(self._here.items()):
            if not here.offered:
                self._spawn(self._tell(call_id, here.worker, do="let_go", reason="unavailable", to=None))
                del self._here[call_id]

    # --- what workers ask --------------------------------------------------------------------------------------------

    async def asked(self, worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A question `QUEUE`. Raises Refused."""
        call_id = str(body["call_id"])
        try:
            match body["verb"]:
                case "join":
                    return await self._join(worker, call_id, body)
                case "leave":
                    how = WaitingEnd(body["how"])
                    await self._sure(lambda: self._left(call_id, how))
                case "offer_over":
                    ends = {str(name): OfferEnd(how) for name, how in dict(body["ends"]).items()}
                    accepted, leg_id = str(body["accepted"]), str(body["leg_id"])
                    await self._sure(lambda: self._offer_over(call_id, ends, accepted, leg_id))
                case "may_call":
                    self._may_call(self._number(str(body["number"])))
                case "callback":
                    await self._callback(call_id, str(body["number"]))
                case "sign":
                    return await self.signing.sign(body)
                case "callback_taken" | "callback_declined" | "callback_reached" | "callback_missed":
                    await self._callbacks.told(str(body["verb"]), body)
                case verb:
                    raise Refused("not_possible", f"queues cannot be asked to {verb}")
        except StoreUnavailable as error:
            raise Refused("no_store", str(error), retryable=True) from error
        return {}

    def queue(self, name: str) -> QueueSettings:
        """Raises Refused."""
        if name not in self.settings:
            known = ", ".join(self.settings) or "none"
            raise Refused("unknown_queue", f'no queue is called "{name}"; there are: {known}')
        return self.settings[name]

    async def _join(self, worker: str, call_id: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        settings, now = self.queue(str(body["queue"])), self._wall()
        skills = {str(name): int(level) for name, level in dict(body["skills"]).items()}
        here = _Here(worker, settings.name, now, int(body["priority"]), skills)
        if (back := self._callbacks.of_caller(str(body["callback"]))) is not None:
            return await self._join_called(call_id, here, back)
        await self.book.join(self._waiting(call_id, here), now, LEASE_S)
        self._here[call_id] = here
        state = await self.book.state(now)
        position, wait_s = _place(state, call_id)
        self._tell_event(call_id, "joined", settings.name, position=position, wait_s=wait_s, priority=here.priority)
        asyncio.get_running_loop().call_soon(self.wake)  # the answer goes first
        return {"terms": terms_of(settings).to_dict(), "position": position, "wait_s": wait_s}

    async def _join_called(self, call_id: str, here: _Here, back: CallBack) -> Mapping[str, Any]:
        """The person who was called back first is on the line: the member who is claimed for them is rung."""
        state = await self.book.state(self._wall())
        waiting = next((each for each in state.waiting if each.call_id == back.call_id), None)
        target = next((each.target for each in state.members if each.name == back.member), "")
        if waiting is not None:
            here.joined_at, here.priority = waiting.joined_at, waiting.priority
        here.callback = back
        here.offered[back.member] = self._wall()
        self._here[call_id] = here
        ring = RingMembers((MemberToRing(back.member, target),), self.settings[here.queue].ring_s)
        asyncio.get_running_loop().call_soon(lambda: self._spawn(self._rung(call_id, here, ring)))
        return {"terms": terms_of(self.settings[here.queue]).to_dict(), "position": 1, "wait_s": 0.0}

    async def _called_back(
        self, call_id: str, here: _Here, back: CallBack, ends: Mapping[str, OfferEnd], accepted: str, leg_id: str
    ) -> None:
        """The member whom a callback was promised to has taken it; or not, then the person waits like any caller."""
        now, here.callback = self._wall(), None
        here.offered.clear()
        if accepted:
            await self.book.offer_ended(back.call_id, accepted, OfferEnd.ACCEPTED, now)
            self._here.pop(call_id, None)
            self._talks[leg_id] = _Talk(back.call_id, accepted, now, call_id)
            waited_s = round(now - here.joined_at, 1)
            self._tell_event(call_id, "answered", here.queue, waited_s=waited_s, member=accepted, leg_id=leg_id)
            return
        await self.book.offer_ended(back.call_id, back.member, ends.get(back.member, OfferEnd.NO_ANSWER), now)
        await self.book.join(self._waiting(call_id, here), now, LEASE_S)
        await self.book.leave(back.call_id, WaitingEnd.CANCELLED, now)
        self.wake()

    def _waiting(self, call_id: str, here: _Here) -> Waiting:
        return Waiting(call_id, here.queue, self._gateway, here.joined_at, here.priority, skills_of(here.skills))

    async def _left(self, call_id: str, how: WaitingEnd, reason: str = "", to: str = "") -> None:
        here = self._here.pop(call_id, None)
        if here is None:
            return
        try:
            await self._written_left(call_id, here, how, reason, to)
        except StoreUnavailable:
            self._here[call_id] = here
            raise

    async def _written_left(self, call_id: str, here: _Here, how: WaitingEnd, reason: str, to: str) -> None:
        now = self._wall()
        if here.callback is not None:  # the person who was called back has gone before the member came
            await self.book.offer_ended(here.callback.call_id, here.callback.member, OfferEnd.WITHDRAWN, now)
            await self.book.leave(here.callback.call_id, WaitingEnd.CANCELLED, now)
            return
        await self.book.leave(call_id, how, now, reason)
        for member in here.offered:
            await self.book.offer_ended(call_id, member, OfferEnd.WITHDRAWN, now)
        waited_s = round(now - here.joined_at, 1)
        kind = {WaitingEnd.OVERFLOWED: "overflowed", WaitingEnd.LEFT: "left", WaitingEnd.CALLBACK: "callback"}
        self._tell_event(call_id, kind.get(how, "abandoned"), here.queue, waited_s=waited_s, reason=reason, to=to)
        self.wake()

    async def _offer_over(self, call_id: str, ends: Mapping[str, OfferEnd], accepted: str, leg_id: str) -> None:
        here = self._here.get(call_id)
        if here is not None and here.callback is not None:
            await self._called_back(call_id, here, here.callback, ends, accepted, leg_id)
            return
        here, now = self._here.get(call_id), self._wall()
        for member, how in ends.items():
            if here is not None:
                here.offered.pop(member, None)
            await self.book.offer_ended(call_id, member, how, now)
        if accepted:
            await self.book.offer_ended(call_id, accepted, OfferEnd.ACCEPTED, now)
            self._here.pop(call_id, None)
            self._talks[leg_id] = _Talk(call_id, accepted, now, call_id)
            if here is not None:
                waited_s = round(now - here.joined_at, 1)
                self._tell_event(call_id, "answered", here.queue, waited_s=waited_s, member=accepted, leg_id=leg_id)
        self.wake()

    async def _callback(self, call_id: str, number: str) -> None:
        here = self._here.get(call_id)
        if here is None or not self._callbacks.possible:
            raise Refused("not_possible", "this caller waits in no queue")
        number = self._number(number)
        self._may_call(number)
        now, first = self._wall(), self.settings[here.queue].callback_first
        waiting = self._waiting(f"{call_id}-cb", here)
        kept = Waiting(
            waiting.call_id, waiting.queue, self._gateway, here.joined_at, here.priority, waiting.skills,
            callback_to=number, callback_member_first=first == "member",
        )  # fmt: skip
        await self.book.join(kept, now, LEASE_S)
        await self._left(call_id, WaitingEnd.CALLBACK, to=number)

    # --- what is to be done ------------------------------------------------------------------------------------------

    async def _done(self, action: Action, state: QueueState, now: float) -> None:
        """One that fails keeps nobody else waiting."""
        try:
            await self._do(action, state, now)
        except StoreUnavailable:
            raise
        except Exception as error:
            log.error("queue_action_failed", action=repr(action), error=repr(error), exc_info=error)

    async def _do(self, action: Action, state: QueueState, now: float) -> None:
        match action:
            case Offer():
                await self._offer(action, state, now)
            case Announce():
                await self.book.announced(action.call_id, now)
                if (here := self._here.get(action.call_id)) is not None:
                    told = {"do": "announce", "position": action.position, "wait_s": action.wait_s}
                    self._spawn(self._tell(action.call_id, here.worker, **told))
            case LetGo():
                await self._let_go(action, now)
            case CallBack():
                await self._call(action, state, now)

    async def _offer(self, offer: Offer, state: QueueState, now: float) -> None:
        here = self._here.get(offer.call_id)
        if here is None:  # of a gateway that was this one before
            await self.book.leave(offer.call_id, WaitingEnd.LOST, now)
            return
        targets = {member.name: member.target for member in state.members}
        claimed = [each for each in offer.members if await self.book.claim(offer.call_id, each, now, LEASE_S)]
        if not claimed:
            return
        here.offered |= dict.fromkeys(claimed, now)
        self._tell_event(offer.call_id, "offered", offer.queue, members=claimed)
        ring = RingMembers(tuple(MemberToRing(name, targets[name]) for name in claimed), offer.ring_s)
        self._spawn(self._rung(offer.call_id, here, ring))

    async def _rung(self, call_id: str, here: _Here, ring: RingMembers) -> None:
        if await self._tell(call_id, here.worker, do="offer", ring=ring.to_dict()):
            return
        ends = {each.name: OfferEnd.WITHDRAWN for each in ring.members}
        await self._sure(lambda: self._offer_over(call_id, ends, "", ""))

    async def _let_go(self, let: LetGo, now: float) -> None:
        here, to = self._here.get(let.call_id), let.to
        if here is not None and to is not None and to.queue in self.settings and here.moves < MOST_MOVES:
            await self._move(let, here, to.queue, now)
            return
        reason = "unavailable" if let.reason == "no_queue" else let.reason
        if here is None:
            await self.book.leave(let.call_id, WaitingEnd.LOST, now, reason)
            return
        onward = None if to is None or to.queue else self._onward(to)
        where = "" if onward is None else onward.get("number") or onward["persona"]
        await self._left(let.call_id, WaitingEnd.OVERFLOWED, reason, where)
        self._spawn(self._tell(let.call_id, here.worker, do="let_go", reason=reason, to=onward))

    def _onward(self, to: Overflow) -> dict[str, str]:
        name = VOICEMAIL if to.voicemail else to.persona
        return {"number": to.number} if to.number else {"persona": name.partition(".")[2], "file": self._file_of(name)}

    async def _move(self, let: LetGo, here: _Here, queue: str, now: float) -> None:
        """To the back of another queue."""
        self._tell_event(
            let.call_id, "overflowed", here.queue, waited_s=round(now - here.joined_at, 1), reason=let.reason, to=queue
        )
        await self.book.leave(let.call_id, WaitingEnd.OVERFLOWED, now, let.reason)
        here.queue, here.joined_at, here.moves = queue, now, here.moves + 1
        await self.book.join(self._waiting(let.call_id, here), now, LEASE_S)
        terms = terms_of(self.settings[queue]).to_dict()
        self._spawn(self._tell(let.call_id, here.worker, do="moved", terms=terms))
        self.wake()

    async def _call(self, back: CallBack, state: QueueState, now: float) -> None:
        waiting = next((each for each in state.waiting if each.call_id == back.call_id), None)
        member = next((each for each in state.members if each.name == back.member), None)
        if waiting is None or member is None or not self._callbacks.possible:
            return
        if await self.book.claim(back.call_id, back.member, now, LEASE_S):
            self._spawn(self._callbacks.begin(back, waiting, member, self.settings[waiting.queue]))

    # --- what others do ----------------------------------------------------------------------------------------------

    async def remove(self, call_id: str) -> bool:
        """A caller, or a callback, by somebody over the API. False: it waits in no queue of this gateway."""
        here = self._here.get(call_id)
        if here is None:
            return await self.book.leave(call_id, WaitingEnd.CANCELLED, self._wall(), "removed")
        await self._left(call_id, WaitingEnd.OVERFLOWED, "removed")
        await self._tell(call_id, here.worker, do="let_go", reason="removed", to=None)
        return True

    async def prioritise(self, call_id: str, priority: int) -> bool:
        """Of any gateway's caller. False: it does not wait."""
        if (here := self._here.get(call_id)) is not None:
            here.priority = priority
        found = await self.book.prioritise(call_id, priority)
        self.wake()
        return found

    def observe(self, message: RecordMessage) -> None:
        """A call's end ends its waiting, a leg's end its talk. As a listener of records."""
        match message:
            case LegClosed():
                self._talk_over(message.leg_id)
            case CallClosed():
                self._call_over(message.call_id, WaitingEnd.ABANDONED)
            case WorkerLost():
                for leg_id in message.leg_ids:
                    self._talk_over(leg_id)
                for call_id in message.call_ids:
                    self._call_over(call_id, WaitingEnd.LOST)
            case _:
                pass

    def _call_over(self, call_id: str, how: WaitingEnd) -> None:
        if call_id in self._here:
            self._spawn(self._sure(lambda: self._left(call_id, how)))
        for leg_id, talk in tuple(self._talks.items()):
            if talk.call == call_id:
                self._talk_over(leg_id)
        self._spawn(self._tried(self._callbacks.call_over(call_id)))

    def _talk_over(self, leg_id: str) -> None:
        talk, now = self._talks.pop(leg_id, None), self._wall()
        if talk is not None:
            self._spawn(self._talked(talk, now))

    async def _talked(self, talk: _Talk, now: float) -> None:
        await self._sure(lambda: self.book.call_ended(talk.call_id, talk.member, now - talk.since, now))
        self.wake()

    def talks(self, leg_id: str, callback: str, member: str, call_id: str) -> None:
        """Of a callback: the member talks on this leg of this call."""
        self._talks[leg_id] = _Talk(callback, member, self._wall(), call_id)

    def phone_changed(self, changed: PhoneChanged) -> None:
        """A registered phone can be called from now on, or can't any more."""
        for member in self.state.members:
            if phone_name(member.target) == changed.name.lower():
                self._spawn(self._reachable(member.name, is_reachable=changed.reachable))

    async def _reachable(self, member: str, *, is_reachable: bool) -> None:
        await self._tried(self.book.reachable(member, is_reachable=is_reachable))
        self.wake()

    async def _look_at_phones(self) -> None:
        """At the start: who is registered."""
        for member in self._members:
            phone = phone_name(member.target)
            if phone is not None and self._phones is not None:
                await self._reachable(member.name, is_reachable=bool(self._phones.contacts(phone)))

    # --- small things ------------------------------------------------------------------------------------------------

    async def _tell(self, call_id: str, worker: str, **news: Any) -> bool:
        """Whether the call's worker has heard it."""
        try:
            await self._ask(worker, QUEUED, {"call_id": call_id, **news}, timeout_s=ASK_LIMIT_S)
        except AskError as error:
            log.warning("queue_news_not_told", call_id=call_id, worker=worker, error=str(error))
            return False
        return True

    async def _sure(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Now, or once the store is there again, before anything is decided."""
        try:
            await work()
        except StoreUnavailable as error:
            log.warning("queue_not_written_yet", error=str(error))
            self._owed.append(work)

    async def _tried(self, work: Coroutine[Any, Any, object]) -> None:
        """What fails for want of the store is put right by leases and by the next look."""
        try:
            await work
        except StoreUnavailable as error:
            log.warning("queue_not_written", error=str(error))

    def _tell_event(self, call_id: str, kind: str, queue: str, **fields: Any) -> None:
        call, now = self._live.get(call_id), datetime.now(UTC)
        answered_at = None if call is None else call.answered_at
        t_ms = 0.0 if answered_at is None else round((now - answered_at).total_seconds() * 1000, 1)
        self._record(queue_event(call_id, kind, asyncio.get_running_loop().time(), t_ms, queue, **fields))

    def _spawn(self, work: Coroutine[Any, Any, None] | Coroutine[Any, Any, bool]) -> None:
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _place(state: QueueState, call_id: str) -> tuple[int, float | None]:
    queues: Mapping[str, Queue] = {queue.name: queue for queue in state.queues}
    ordered = in_order(state.waiting, queues)
    position = positions(ordered).get(call_id, 1)
    caller = next((each for each in ordered if each.call_id == call_id), None)
    if caller is None:
        return position, None
    return position, estimated_wait_s(state, caller.queue, position, members_serving(state, caller.queue))
