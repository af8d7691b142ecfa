"""One caller's stay in a human queue, on the side of the call: they wait, are told things, may leave, and are offered
to members, each offer a warm transfer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

import structlog

from gateway.calls.asking_caller import CallerSaid
from gateway.calls.music import HoldMusic
from gateway.calls.queue_company import Company
from gateway.calls.queue_side import OfferSide, QueueSide
from gateway.calls.queue_terms import MemberToRing, QueueTerms, RingMembers
from gateway.calls.queue_words import end_key, position_words
from gateway.calls.verbs import TransferOrder
from gateway.queues.model import OfferEnd, WaitingEnd
from gateway.record import TransferKind
from gateway.transfers import telling
from gateway.transfers.offer import Refusal
from gateway.transfers.warm import WarmTransfer
from telephony.call import AfterTransfer, TransferEnd, TransferResult
from telephony.errors import DialRefused
from telephony.queue import QueueAsk, QueueEnd, QueueResult, queue_name
from telephony.warm import Warm

__all__ = ["QueueStay"]

log = structlog.get_logger(__name__)

OVERFLOW_RING_S = 30.0
_MARGIN_S = 12.0  # of an offer, beyond its ringing and its question: for who has answered
_ENDS: Mapping[QueueEnd, TransferEnd] = {
    QueueEnd.ANSWERED: TransferEnd.TRANSFERRED,
    QueueEnd.OVERFLOWED: TransferEnd.TRANSFERRED,
    QueueEnd.FULL: TransferEnd.NO_ANSWER,
    QueueEnd.CLOSED: TransferEnd.NO_ANSWER,
    QueueEnd.TOO_LONG: TransferEnd.NO_ANSWER,
    QueueEnd.NO_MEMBERS: TransferEnd.NO_ANSWER,
    QueueEnd.UNAVAILABLE: TransferEnd.FAILED,
}  # all others: cancelled
_OFFERS: Mapping[TransferEnd, OfferEnd] = {
    TransferEnd.DECLINED: OfferEnd.DECLINED,
    TransferEnd.NO_ANSWER: OfferEnd.NO_ANSWER,
    TransferEnd.CANCELLED: OfferEnd.WITHDRAWN,
}  # all others: unreachable


class QueueStay:
    """As `Transfer`; facts of the gateway arrive by `told`. `result` is available once somebody has the caller, or
    nobody will; with an agent that keeps helping, `waiting` is, at once."""

    def __init__(self, call_id: str, order: TransferOrder, side: QueueSide) -> None:
        self.order = order
        self._call_id = call_id
        self._side = side
        self._ask = order.queue or QueueAsk()
        self._warm = order.warm or Warm()
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[TransferResult] = self._loop.create_future()
        self.away: asyncio.Future[None] = self._loop.create_future()
        self.waiting: asyncio.Future[QueueResult] = self._loop.create_future()
        self.refused: DialRefused | None = None  # there is no such queue
        self._terms: QueueTerms | None = None
        self._early: list[Mapping[str, Any]] = []  # told before we knew that we had joined
        self._offer: tuple[WarmTransfer, tuple[MemberToRing, ...]] | None = None
        self._offers = 0
        self._overflow = ""  # the number that an overflow calls
        self._member = ""
        self._caller_said: CallerSaid | None = None  # what it is about
        self._company: Company | None = None
        self._began_at = self._loop.time()
        self._reason = ""  # of an overflow
        self._queue_result = QueueResult(QueueEnd.WAITING)
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def afterwards(self) -> AfterTransfer:
        """When whoever has the caller hangs up first."""
        of_queue = self._terms is not None and self._terms.after == "agent" and not self._overflow
        return AfterTransfer.AGENT if of_queue else self.order.afterwards

    @property
    def joined(self) -> bool:
        return self._offer is not None and self._offer[0].joined

    @property
    def helping(self) -> bool:
        """The agent talks with the customer meanwhile."""
        return self._helps and not self.joined and not self._overflow

    @property
    def _helps(self) -> bool:
        return self._terms is not None and (
            self._terms.agent_helps if self._ask.keep_helping is None else self._ask.keep_helping
        )

    async def run(self) -> None:
        self._side.send(telling.began(self._call_id, self.order))
        try:
            await self._join()
            if self._terms is not None and not self._over.is_set():
                await self._wait(self._terms)
            await self._over.wait()
        finally:
            self._stop()

    async def _join(self) -> None:
        name = queue_name(self.order.to)
        ask = {"queue": name, "priority": self._ask.priority, "skills": dict(self._ask.skills)}
        try:
            answer = await self._side.ask_queues("join", **ask, callback=self._ask.callback)
            terms = QueueTerms.from_dict(answer["terms"])
        except DialRefused as refused:
            self.refused = refused if refused.kind == "unknown_queue" else None
            self._finish(QueueEnd.UNAVAILABLE, reason=str(refused))
            return
        if self._over.is_set():  # the caller has gone meanwhile
            await self._leave(WaitingEnd.ABANDONED)
            return
        self._terms = terms
        self.waiting.set_result(
            QueueResult(QueueEnd.WAITING, position=int(answer["position"]), wait_s=answer["wait_s"])
        )
        for news in self._early:
            self._told(news)

    async def _wait(self, terms: QueueTerms) -> None:
        if self._helps:
            return
        music = terms.hold_music
        await self._side.wait(self.order.announce, None if music is None else HoldMusic(music))
        if self._over.is_set() or self.joined:
            return
        self._company = Company(self._side, terms, self._leaves)
        self._company.begin()

    # --- told by the call --------------------------------------------------------------------------------------------

    def refer_answered(self, status: int, reason: str) -> None:
        """There is no REFER in a queue."""

    def refer_notified(self, status: int, reason: str, *, over: bool) -> None:
        """The same."""

    def customer_gone(self) -> None:
        self._give_up("the customer hung up")

    def call_ends(self, reason: str) -> None:
        self._give_up(reason)

    def fault(self, reason: str) -> None:
        """Our own fault: the stay is given up."""
        self._give_up(reason, QueueEnd.UNAVAILABLE)

    def _give_up(self, reason: str, end: QueueEnd = QueueEnd.ABANDONED) -> None:
        if self._over.is_set():
            return
        if self._offer is not None:
            self._offer[0].call_ends(reason)
        if not self.result.done() and self._terms is not None:
            self._spawn(self._leave(WaitingEnd.ABANDONED))
        self._finish(end, reason=reason, back=False)

    async def leave(self) -> None:
        """By the agent, which has the customer."""
        if not self._over.is_set() and not self.joined:
            await self._leave(WaitingEnd.LEFT)
            self._withdraw("the caller left the queue")
            self._finish(QueueEnd.LEFT, reason="the caller left the queue", words=False)

    # --- told by the gateway -----------------------------------------------------------------------------------------

    def told(self, news: Mapping[str, Any]) -> None:
        if self._terms is None and not self._over.is_set():
            self._early.append(news)
        else:
            self._told(news)

    def _told(self, news: Mapping[str, Any]) -> None:
        match news["do"]:
            case "offer":
                self._ring(RingMembers.from_dict(news["ring"]))
            case "withdraw" if not self.joined:
                self._withdraw(str(news["reason"]))
            case "announce" if self._company is not None and self._terms is not None:
                words = position_words(
                    self._side.agent.canned, int(news["position"]), news["wait_s"], self._terms.announce_most_wait_s
                )
                self._company.say(words)
            case "moved":
                self._spawn(self._moved(QueueTerms.from_dict(news["terms"])))
            case "let_go" if not self.joined:
                self._spawn(self._let_go(QueueEnd(str(news["reason"])), news["to"] or {}))

    async def _moved(self, terms: QueueTerms) -> None:
        """To another queue, with its music and its terms."""
        company, self._terms = self._company, terms
        self._side.note("queue_moved", {"queue": terms.name})
        if company is None or self.joined:
            return
        company.say(self._side.agent.canned("queue_moved"))
        await company.said()
        company.close()
        await self._wait(terms)

    async def _let_go(self, end: QueueEnd, to: Mapping[str, Any]) -> None:
        if self._over.is_set():
            return
        self._withdraw("the caller may wait no longer")
        if number := str(to.get("number") or ""):
            await self._words("queue_overflow")
            self._call_number(number, end)
            return
        file, name = str(to.get("file") or ""), str(to.get("persona") or "")
        if file and await self._side.with_persona(file, name):
            self._finish(QueueEnd.OVERFLOWED, reason=end.value, to=name)
        else:
            self._finish(end, reason=end.value)

    async def _words(self, key: str) -> None:
        if self._company is not None:
            self._company.say(self._side.agent.canned(key))
            await self._company.said()

    # --- offers ------------------------------------------------------------------------------------------------------

    def _ring(self, ring: RingMembers) -> None:
        if self._over.is_set() or self._offer is not None:
            self._spawn(self._report({each.name: OfferEnd.WITHDRAWN for each in ring.members}))
            return
        self._offers += 1
        targets = tuple(each.target for each in ring.members)
        self._begin_offer(targets, ring.ring_s, ring.members)

    def _call_number(self, number: str, end: QueueEnd) -> None:
        """Who overflows is brought to a number as to a member who need not say anything."""
        if self._over.is_set():
            return
        self._overflow = number
        self._reason = end.value
        if self._helps:
            self._spawn(self._side.wait("", None))
        self._begin_offer((number,), OVERFLOW_RING_S, ())

    def _begin_offer(self, targets: tuple[str, ...], ring_s: float, members: tuple[MemberToRing, ...]) -> None:
        terms = self._terms
        assert terms is not None, "joining comes first"
        asks = bool(members)
        warm = replace(
            self._warm, also=targets[1:], at_once=len(targets) > 1,
            within_s=ring_s + _MARGIN_S + (terms.accept_s if terms.accept else 0.0),
            detect=asks and terms.detect, accept=asks and terms.accept, accept_s=terms.accept_s,
            introduction=self._warm.introduction or (self._side.agent.canned("queue_connected") if self._helps else ""),
        )  # fmt: skip
        order = TransferOrder(
            self.order.transfer_id, targets[0], TransferKind.WARM, self.order.trunk, self.order.caller, ring_s=ring_s,
            afterwards=self.afterwards, warm=warm,
        )  # fmt: skip
        transfer = WarmTransfer(self._call_id, order, OfferSide(self._side, self))
        self._offer = transfer, members
        self._spawn(self._run(transfer))

    async def _run(self, transfer: WarmTransfer) -> None:
        try:
            await transfer.run()
        except Exception as error:
            log.error("queue_offer_failed", error=repr(error), exc_info=error)
            transfer.fault(f"{type(error).__name__}: {error}")
            self.offer_is_over(TransferResult(TransferEnd.FAILED, "warm", 0, repr(error)))
        finally:
            transfer.close()

    async def asked_customer(self, question: bytes) -> CallerSaid:
        if self._caller_said is None:
            self._caller_said = CallerSaid() if self._helps else await self._side.ask_customer(question)
        return self._caller_said

    def member_joined(self, leg_id: str) -> None:
        """A member has accepted, or an overflow's number has answered."""
        assert self._offer is not None, "it was rung"
        transfer, members = self._offer
        if self.result.done():
            return
        self._quiet()
        if self._helps:
            self._side.aside()
        number = transfer.number_of(leg_id)
        if members and number is not None:
            self._member = members[number].name
            ends = {each.name: OfferEnd.WITHDRAWN for each in members if each.name != self._member}
            ends |= self._refused(transfer, members)
            self._spawn(self._report(ends, accepted=self._member, leg_id=leg_id))
            self._tell_end(QueueEnd.ANSWERED, "", leg_id=leg_id)
        else:
            self._tell_end(QueueEnd.OVERFLOWED, self._reason, leg_id=leg_id, to=self._overflow)

    def offer_is_over(self, result: TransferResult) -> None:
        """Nobody has taken the caller; or whoever has, has left the caller to the agent."""
        if self._offer is None or self._over.is_set():
            return
        (transfer, members), self._offer = self._offer, None
        if self.result.done():
            self._over_after_talk()
        elif members:
            ends = {each.name: OfferEnd.WITHDRAWN for each in members} | self._refused(transfer, members)
            self._spawn(self._report(ends))
        else:
            self._finish(QueueEnd(self._reason), reason=f"{self._reason}; {self._overflow}: {result.end.value}")

    def _withdraw(self, reason: str) -> None:
        offer, self._offer = self._offer, None
        if offer is None:
            return
        transfer, members = offer
        ends = {each.name: OfferEnd.WITHDRAWN for each in members} | self._refused(transfer, members)
        transfer.call_ends(reason)
        self._spawn(self._report(ends))

    @staticmethod
    def _refused(transfer: WarmTransfer, members: tuple[MemberToRing, ...]) -> dict[str, OfferEnd]:
        return {members[number].name: _offer_end(refusal) for number, refusal in transfer.refusals.items()}

    async def _report(self, ends: Mapping[str, OfferEnd], *, accepted: str = "", leg_id: str = "") -> None:
        ended = {name: end.value for name, end in ends.items() if name != accepted}
        try:
            await self._side.ask_queues("offer_over", ends=ended, accepted=accepted, leg_id=leg_id)
        except DialRefused as refused:
            log.warning("offer_not_reported", error=str(refused))

    # --- leaving -----------------------------------------------------------------------------------------------------

    def _leaves(self, how: WaitingEnd) -> None:
        """By a key or a word, or with a callback that is agreed on."""
        if not self._over.is_set() and not self.joined:
            self._spawn(self._left(how))

    async def _left(self, how: WaitingEnd) -> None:
        self._withdraw("the caller left the queue")
        if how is WaitingEnd.CALLBACK:
            self._finish(QueueEnd.CALLBACK, reason="the caller will be called back", back=False)
            self._side.end_call("the caller will be called back", by_target=False)
            return
        await self._leave(how)
        self._finish(QueueEnd.LEFT, reason="the caller left the queue")

    async def _leave(self, how: WaitingEnd) -> None:
        try:
            await self._side.ask_queues("leave", how=how.value)
        except DialRefused as refused:
            log.warning("queue_not_left", error=str(refused))  # the gateway sees the call's end as well

    # --- its end -----------------------------------------------------------------------------------------------------

    @property
    def queue_result(self) -> QueueResult:
        """Once `result` is there."""
        return self._queue_result

    def _tell_end(self, end: QueueEnd, reason: str, *, leg_id: str = "", to: str = "") -> None:
        if self.result.done():
            return
        waited_s = round(self._loop.time() - self._began_at, 3)
        self._queue_result = QueueResult(end, waited_s, self._member, leg_id, to, reason)
        outcome = _ENDS.get(end, TransferEnd.CANCELLED)
        status = 200 if outcome is TransferEnd.TRANSFERRED else 0
        result = TransferResult(outcome, "queue", status, reason or end.value, leg_id, self._member or to)
        fields = {"end": end.value, "waited_s": waited_s, "offers": self._offers, "member": self._member, "to": to}
        self._side.note("queue_stay_over", {"transfer_id": self.order.transfer_id, **fields})
        if leg_id:
            self._side.send(telling.began(self._call_id, self.order, leg_id))
        self._side.send(telling.ended(self._call_id, self.order, result))
        self.result.set_result(result)
        if not self.waiting.done():
            self.waiting.set_result(self._queue_result)

    def _finish(self, end: QueueEnd, *, reason: str, to: str = "", back: bool = True, words: bool = True) -> None:
        if self._over.is_set():
            return
        self._quiet()
        self._tell_end(end, reason, to=to)
        if back:
            key = end_key(end) if words and end is not QueueEnd.OVERFLOWED else ""
            self._side.back_with(key, _note(queue_name(self.order.to), end, words=words))
        self._end()

    def _over_after_talk(self) -> None:
        self._side.back_with(
            "", f"[{self._member or self._overflow} has talked with the caller, who is back with you.]"
        )
        self._end()

    def _end(self) -> None:
        if not self.away.done():
            self.away.set_result(None)
        self._over.set()

    def _quiet(self) -> None:
        company, self._company = self._company, None
        if company is not None:
            company.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        self._quiet()
        if self._offer is not None:
            self._offer[0].call_ends("the stay in the queue is over")

    def close(self) -> None:
        """Tells whoever still waits for its result that there will be none."""
        for future in (self.result, self.away, self.waiting):
            future.cancel()


def _offer_end(refusal: Refusal) -> OfferEnd:
    return _OFFERS.get(refusal.end, OfferEnd.UNREACHABLE)


def _note(queue: str, end: QueueEnd, *, words: bool) -> str:
    """For the model."""
    if end in (QueueEnd.OVERFLOWED, QueueEnd.CALLBACK) or not words:
        return ""
    return f'[Nobody of the queue "{queue}" has taken the caller: {end.value}. The caller is back with you.]'
