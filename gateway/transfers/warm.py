"""One running warm transfer: carries out what its offers and its hunt decide."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from gateway.calls.verbs import TransferOrder
from gateway.transfers import telling
from gateway.transfers.beside import BesideHuman
from gateway.transfers.hunt import Hunt
from gateway.transfers.notes import TalkNotes, said_fields
from gateway.transfers.offer import Offer, Refusal
from gateway.transfers.warm_side import LegTold, WarmSide
from gateway.transfers.warm_table import WarmDo, WarmEvent
from gateway.transfers.words import HumansWords
from telephony.call import AfterTransfer, TransferEnd, TransferResult
from telephony.errors import DialRefused
from telephony.media.answering.model import AnsweredBy
from telephony.warm import SummaryBy, Warm

__all__ = ["WarmTransfer"]

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Attempt:
    """One human, from the call to their end. Implements `TellsOfHuman`."""

    number: int
    target: str
    offer: Offer
    transfer: WarmTransfer
    beside: BesideHuman = field(init=False)
    task: asyncio.Task[None] | None = None

    @property
    def leg_id(self) -> str:
        return self.beside.leg_id

    def spoken(self) -> None:
        if self.offer.may_happen(WarmEvent.SPOKEN):
            self.transfer.perform(self, self.offer.happened(WarmEvent.SPOKEN, self.transfer.now))

    def answered_by(self, who: AnsweredBy) -> None:
        self.transfer.perform(self, self.offer.answered_by(who, self.transfer.now))

    def says(self, takes: bool) -> None:
        self.transfer.perform(self, self.offer.says(takes, self.transfer.now))


class WarmTransfer:
    """As `Transfer`: `run` returns once the transfer and all its legs are over; `result` is available earlier."""

    def __init__(self, call_id: str, order: TransferOrder, side: WarmSide) -> None:
        self.order = order
        self._call_id = call_id
        self._side = side
        self._warm = order.warm or Warm(detect=False)
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[TransferResult] = self._loop.create_future()
        self.away: asyncio.Future[None] = self._loop.create_future()  # the customer is the agent's again, or gone
        self._hunt: Hunt | None = None
        self._attempts: dict[int, _Attempt] = {}
        self._words = HumansWords(self._warm, side.agent)
        self._notes: TalkNotes | None = None
        self._over = asyncio.Event()
        self._company: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def joined(self) -> bool:
        return any(attempt.offer.joined for attempt in self._attempts.values())

    def number_of(self, leg_id: str) -> int | None:
        """Which of the order's targets this leg was placed to."""
        return next((attempt.number for attempt in self._attempts.values() if attempt.leg_id == leg_id), None)

    @property
    def refusals(self) -> Mapping[int, Refusal]:
        """Of the targets that were called and have not taken the call, by number."""
        return {} if self._hunt is None else self._hunt.refusals

    async def run(self) -> None:
        self._tell_began()
        try:
            await self._side.set_aside(self.order.announce)
            if self._screens:
                await self._side.prepare_screening()
            if self._warm.summary is SummaryBy.CALLER and not self._over.is_set():
                await self._hear_customer()
            if not self._over.is_set():
                self._words.prepare()
                targets, warm = self.order.targets, self._warm
                hunt = self._hunt = Hunt(targets, at_once=warm.at_once, within_s=warm.within_s, now=self.now)
                if self._side.words_every_s:
                    self._company = asyncio.create_task(self._keep_company(), name="words for who waits")
                self._call(hunt.begin())
            await self._over.wait()
        finally:
            self._stop()

    @property
    def _screens(self) -> bool:
        return self._warm.detect and self._side.can_screen

    @property
    def now(self) -> float:
        return self._loop.time()

    # --- what happens ------------------------------------------------------------------------------------------------

    def refer_answered(self, status: int, reason: str) -> None:
        """There is no REFER in a warm transfer."""

    def refer_notified(self, status: int, reason: str, *, over: bool) -> None:
        """The same."""

    def customer_gone(self) -> None:
        self._give_up(WarmEvent.CUSTOMER_GONE, "the customer hung up")

    def call_ends(self, reason: str) -> None:
        self._give_up(WarmEvent.CALL_ENDS, reason)

    def fault(self, reason: str) -> None:
        """Our own fault: the transfer is given up."""
        self._give_up(WarmEvent.CALL_ENDS, reason, TransferEnd.FAILED)

    def _give_up(self, event: WarmEvent, reason: str, end: TransferEnd = TransferEnd.CANCELLED) -> None:
        for attempt in tuple(self._attempts.values()):
            self.perform(attempt, attempt.offer.happened(event, self.now))
        self._tell_end(TransferResult(end, "warm", 0, reason))
        self._finish()

    async def _attempt(self, attempt: _Attempt) -> None:
        offer = attempt.offer
        told = LegTold(
            lambda leg_id: self._leg_began(attempt, leg_id),
            lambda: self.perform(attempt, offer.happened(WarmEvent.RINGS, self.now)),
            lambda digit: self.perform(attempt, offer.presses(digit, self.now)),
        )
        try:
            leg = await self._side.dial_apart(attempt.target, self.order, told)
        except DialRefused as refused:
            self.perform(attempt, offer.not_reached(0, str(refused), self.now))
            return
        except Exception as error:
            log.error("leg_not_placed", target=attempt.target, error=repr(error), exc_info=error)
            self.perform(attempt, offer.not_reached(0, f"{type(error).__name__}: {error}", self.now))
            return
        outcome = leg.outcome
        if not outcome.answered:
            self.perform(attempt, offer.not_reached(outcome.sip_status, outcome.text, self.now))
            return
        try:
            self.perform(attempt, offer.happened(WarmEvent.ANSWERS, self.now))
            ended = await leg.ended()
        except asyncio.CancelledError:
            await leg.hang_up("the transfer is over")
            raise
        self.perform(attempt, offer.leaves(self.now, lost=ended.lost or not ended.by_peer))

    def _leg_began(self, attempt: _Attempt, leg_id: str) -> None:
        attempt.beside.leg_id = leg_id
        if len(self.order.targets) == 1:
            self._tell_began(leg_id)

    def _due(self) -> None:
        hunt = self._hunt
        if hunt is None:
            return
        for number in hunt.late(self.now):
            attempt = self._attempts[number]
            self.perform(attempt, attempt.offer.too_late(self.now))
        for attempt in tuple(self._attempts.values()):
            self.perform(attempt, attempt.offer.due(self.now))
        self._set_timer()

    # --- what to do --------------------------------------------------------------------------------------------------

    def _call(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            offer = Offer(self._warm, self.order.ring_s, self.now, checks=self._screens)
            attempt = _Attempt(number, self.order.targets[number], offer, self)
            attempt.beside = BesideHuman(attempt.target, self._warm, self._side, attempt)
            self._attempts[number] = attempt
            attempt.task = asyncio.create_task(self._attempt(attempt), name=f"call {attempt.target}")
        self._set_timer()

    def perform(self, attempt: _Attempt, actions: tuple[WarmDo, ...]) -> None:
        for action in actions:
            log.info(
                "warm_transfer", transfer_id=self.order.transfer_id, target=attempt.target,
                state=attempt.offer.state.value, do=action.value,
            )  # fmt: skip
            self._do(action, attempt)
        if attempt.offer.over or attempt.offer.joined:
            attempt.beside.stop_listening()
        if actions:
            self._set_timer()

    def _do(self, action: WarmDo, attempt: _Attempt) -> None:
        match action:
            case WarmDo.TELL_RINGING:
                self._note("transfer_ringing", attempt)
            case WarmDo.TELL_ANSWERED:
                self._note("transfer_answered", attempt)
                if self._screens:
                    attempt.beside.listen()
            case WarmDo.CLAIM:
                self._claim(attempt)
            case WarmDo.ASK:
                attempt.beside.speak(self._words.question())
            case WarmDo.BRIEF:
                attempt.beside.speak(self._words.summary())
            case WarmDo.CONSULT:
                attempt.beside.consult(self._words.briefed)
            case WarmDo.JOIN:
                self._join(attempt)
            case WarmDo.INTRODUCE:
                attempt.beside.speak(self._words.introduction())
            case WarmDo.CUT:
                attempt.beside.cut()
            case WarmDo.TELL_TAKEN:
                attempt.beside.speak(self._words.taken(), then=lambda: self._drop(attempt))
            case WarmDo.DROP:
                self._drop(attempt)
            case WarmDo.FAILED:
                self._failed(attempt)
            case WarmDo.BACK | WarmDo.AFTERWARDS:
                self._left(lost=action is WarmDo.BACK)
            case WarmDo.CHECK:
                pass  # it has been listened to since the answer

    def _claim(self, attempt: _Attempt) -> None:
        assert self._hunt is not None, "somebody was called"
        others = self._hunt.claim(attempt.number)
        for number in others:
            other = self._attempts[number]
            self.perform(other, other.offer.happened(WarmEvent.TAKEN, self.now))

    def _join(self, attempt: _Attempt) -> None:
        if self.result.done():
            return  # it was, with the introduction
        self._leave_company()
        self._side.join(attempt.leg_id)
        if self._warm.notes:
            self._notes = self._side.take_notes(attempt.leg_id, attempt.target)
        if len(self.order.targets) > 1:
            self._tell_began(attempt.leg_id)
        target = attempt.target if len(self.order.targets) > 1 else ""
        self._tell_end(TransferResult(TransferEnd.TRANSFERRED, "warm", 200, "", attempt.leg_id, target))

    def _failed(self, attempt: _Attempt) -> None:
        hunt, refusal = self._hunt, attempt.offer.refusal
        assert hunt is not None and refusal is not None, "the table says so"
        attempt.beside.cut()
        self._call(hunt.refused(attempt.number, refusal, self.now))
        if hunt.exhausted:
            result = hunt.result()
            self._tell_end(result)
            self._side.back(result)
            self._finish()

    def _left(self, *, lost: bool) -> None:
        self._close_notes()
        if lost or self.order.afterwards is AfterTransfer.AGENT:
            self._side.back(self.result.result())
        else:
            self._side.end_call("the transfer's target hung up", by_target=True)
        self._finish()

    def _drop(self, attempt: _Attempt) -> None:
        attempt.beside.cut()
        if attempt.task is not None:
            attempt.task.cancel()

    # --- the customer who waits --------------------------------------------------------------------------------------

    async def _hear_customer(self) -> None:
        """What it is about, in their own words."""
        question = await self._words.reason()
        asking = asyncio.create_task(self._side.ask_customer(question.pcm), name="what it is about")
        gone = asyncio.create_task(self._over.wait())
        began_at = self.now
        try:
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return
            caller = self._words.caller_said = asking.result()
        finally:
            asking.cancel()
            gone.cancel()
        fields = {"text": question.text, "started_at": began_at, "interrupted": False}
        self._side.note("told_waiting_caller", fields)
        for said in caller.said:
            self._side.note("talk_message", said_fields("caller", "", "", said))
        if caller.text:
            self._side.agent.note(f"[Asked what it is about, the caller said: {caller.text}]")

    async def _keep_company(self) -> None:
        """The agent's word for the customer, now and then."""
        while True:
            await asyncio.sleep(self._side.words_every_s)
            said, began_at = await self._words.waiting(), self.now
            if await self._side.tell_customer(said.pcm):
                fields = {"text": said.text, "started_at": began_at, "interrupted": False}
                self._side.note("told_waiting_caller", fields)

    def _leave_company(self) -> None:
        if self._company is not None:
            self._company.cancel()
            self._company = None

    # --- telling -----------------------------------------------------------------------------------------------------

    def _note(self, kind: str, attempt: _Attempt) -> None:
        fields = {"transfer_id": self.order.transfer_id, "leg_id": attempt.leg_id, "target": attempt.target}
        self._side.note(kind, fields)

    def _tell_began(self, leg_id: str | None = None) -> None:
        self._side.send(telling.began(self._call_id, self.order, leg_id))

    def _tell_end(self, result: TransferResult) -> None:
        if self.result.done():
            return
        self.result.set_result(result)
        self._side.send(telling.ended(self._call_id, self.order, result))

    # --- its end -----------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hunt is None or self._over.is_set():
            return
        deadlines = [attempt.offer.deadline for attempt in self._attempts.values() if not attempt.offer.over]
        waits = [at for at in (*deadlines, self._hunt.deadline) if at is not None]
        if waits:
            self._timer = self._loop.call_at(min(waits), self._due)

    def _close_notes(self) -> None:
        notes, self._notes = self._notes, None
        if notes is not None and (text := notes.close()):
            self._side.agent.note(text)

    def _finish(self) -> None:
        self._leave_company()
        self._close_notes()
        if not self.away.done():
            self.away.set_result(None)
        self._over.set()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._leave_company()
        self._words.close()
        for attempt in self._attempts.values():
            attempt.beside.stop()
            if attempt.task is not None and attempt.task is not asyncio.current_task():
                attempt.task.cancel()

    def close(self) -> None:
        """Tells whoever still waits for its result that there will be none."""
        for future in (self.result, self.away):
            future.cancel()
