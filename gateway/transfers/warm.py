"""One running warm transfer: carries out what its offers and its hunt decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from gateway.calls.conversation import Screening
from gateway.calls.verbs import TransferOrder
from gateway.transfers import telling
from gateway.transfers.hunt import Hunt
from gateway.transfers.offer import Offer
from gateway.transfers.warm_side import LegTold, WarmSide
from gateway.transfers.warm_table import WarmDo, WarmEvent
from gateway.transfers.words import HumansWords, Words
from telephony.call import AfterTransfer, TransferEnd, TransferResult
from telephony.errors import DialRefused, TelephonyError
from telephony.media.answering.model import AnsweredBy
from telephony.rooms.protocol import Participant
from telephony.warm import Warm

__all__ = ["WarmTransfer"]

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Attempt:
    """One human, from the call to their end."""

    number: int
    target: str
    offer: Offer
    leg_id: str = ""
    task: asyncio.Task[None] | None = None
    voice: Participant | None = None
    screening: Screening | None = None
    speaking: asyncio.Task[None] | None = None


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
        self._over = asyncio.Event()
        self._company: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def joined(self) -> bool:
        return any(attempt.offer.joined for attempt in self._attempts.values())

    async def run(self) -> None:
        self._tell_began()
        try:
            await self._side.set_aside(self.order.announce)
            if self._screens:
                await self._side.prepare_screening()
            if not self._over.is_set():
                self._words.prepare()
                targets, warm = self.order.targets, self._warm
                hunt = self._hunt = Hunt(targets, at_once=warm.at_once, within_s=warm.within_s, now=self._now)
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
    def _now(self) -> float:
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
            self._perform(attempt, attempt.offer.happened(event, self._now))
        self._tell_end(TransferResult(end, "warm", 0, reason))
        self._finish()

    async def _attempt(self, attempt: _Attempt) -> None:
        offer = attempt.offer
        told = LegTold(
            lambda leg_id: self._leg_began(attempt, leg_id),
            lambda: self._perform(attempt, offer.happened(WarmEvent.RINGS, self._now)),
            lambda digit: self._perform(attempt, offer.presses(digit, self._now)),
        )
        try:
            leg = await self._side.dial_apart(attempt.target, self.order, told)
        except DialRefused as refused:
            self._perform(attempt, offer.not_reached(0, str(refused), self._now))
            return
        outcome = leg.outcome
        if not outcome.answered:
            self._perform(attempt, offer.not_reached(outcome.sip_status, outcome.text, self._now))
            return
        try:
            self._perform(attempt, offer.happened(WarmEvent.ANSWERS, self._now))
            ended = await leg.ended()
        except asyncio.CancelledError:
            await leg.hang_up("the transfer is over")
            raise
        self._perform(attempt, offer.leaves(self._now, lost=ended.lost or not ended.by_peer))

    def _leg_began(self, attempt: _Attempt, leg_id: str) -> None:
        attempt.leg_id = leg_id
        if len(self.order.targets) == 1:
            self._tell_began(leg_id)

    def _due(self) -> None:
        hunt = self._hunt
        if hunt is None:
            return
        for number in hunt.late(self._now):
            attempt = self._attempts[number]
            self._perform(attempt, attempt.offer.too_late(self._now))
        for attempt in tuple(self._attempts.values()):
            self._perform(attempt, attempt.offer.due(self._now))
        self._set_timer()

    # --- what to do --------------------------------------------------------------------------------------------------

    def _call(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            offer = Offer(self._warm, self.order.ring_s, self._now, checks=self._screens)
            attempt = _Attempt(number, self.order.targets[number], offer)
            self._attempts[number] = attempt
            attempt.task = asyncio.create_task(self._attempt(attempt), name=f"call {attempt.target}")
        self._set_timer()

    def _perform(self, attempt: _Attempt, actions: tuple[WarmDo, ...]) -> None:
        for action in actions:
            log.info(
                "warm_transfer", transfer_id=self.order.transfer_id, target=attempt.target,
                state=attempt.offer.state.value, do=action.value,
            )  # fmt: skip
            self._do(action, attempt)
        if attempt.offer.over or attempt.offer.joined:
            self._stop_screening(attempt)
        if actions:
            self._set_timer()

    def _do(self, action: WarmDo, attempt: _Attempt) -> None:
        match action:
            case WarmDo.TELL_RINGING:
                self._note("transfer_ringing", attempt)
            case WarmDo.TELL_ANSWERED:
                self._note("transfer_answered", attempt)
                self._listen(attempt)
            case WarmDo.CLAIM:
                self._claim(attempt)
            case WarmDo.ASK:
                self._speak(attempt, self._words.question())
            case WarmDo.BRIEF:
                self._speak(attempt, self._words.summary())
            case WarmDo.JOIN:
                self._join(attempt)
            case WarmDo.INTRODUCE:
                self._speak(attempt, self._words.introduction())
            case WarmDo.CUT:
                self._cut(attempt)
            case WarmDo.TELL_TAKEN:
                self._speak(attempt, self._words.taken(), then_drop=True)
            case WarmDo.DROP:
                self._drop(attempt)
            case WarmDo.FAILED:
                self._failed(attempt)
            case WarmDo.BACK | WarmDo.AFTERWARDS:
                self._left(attempt, lost=action is WarmDo.BACK)
            case WarmDo.CHECK:
                pass  # it has been listened to since the answer

    def _claim(self, attempt: _Attempt) -> None:
        assert self._hunt is not None, "somebody was called"
        others = self._hunt.claim(attempt.number)
        for number in others:
            other = self._attempts[number]
            self._perform(other, other.offer.happened(WarmEvent.TAKEN, self._now))

    def _join(self, attempt: _Attempt) -> None:
        if self.result.done():
            return  # it was, with the introduction
        self._leave_company()
        self._side.join(attempt.leg_id)
        if len(self.order.targets) > 1:
            self._tell_began(attempt.leg_id)
        target = attempt.target if len(self.order.targets) > 1 else ""
        self._tell_end(TransferResult(TransferEnd.TRANSFERRED, "warm", 200, "", attempt.leg_id, target))

    def _failed(self, attempt: _Attempt) -> None:
        hunt, refusal = self._hunt, attempt.offer.refusal
        assert hunt is not None and refusal is not None, "the table says so"
        self._cut(attempt)
        self._call(hunt.refused(attempt.number, refusal, self._now))
        if hunt.exhausted:
            result = hunt.result()
            self._tell_end(result)
            self._side.back(result)
            self._finish()

    def _left(self, attempt: _Attempt, *, lost: bool) -> None:
        if lost or self.order.afterwards is AfterTransfer.AGENT:
            self._side.back(self.result.result())
        else:
            self._side.end_call("the transfer's target hung up", by_target=True)
        self._finish()

    def _drop(self, attempt: _Attempt) -> None:
        self._cut(attempt)
        if attempt.task is not None:
            attempt.task.cancel()

    # --- speech ------------------------------------------------------------------------------------------------------

    def _speak(self, attempt: _Attempt, words: Awaitable[Words], *, then_drop: bool = False) -> None:
        self._cut(attempt)
        attempt.speaking = asyncio.create_task(
            self._say(attempt, words, then_drop=then_drop), name=f"say to {attempt.target}"
        )

    async def _say(self, attempt: _Attempt, words: Awaitable[Words], *, then_drop: bool) -> None:
        said = await words
        try:
            played = not said.pcm or await self._played(attempt, said)
        except TelephonyError as error:  # the room is closing
            log.warning("not_said", target=attempt.target, error=str(error))
            return
        attempt.speaking = None
        if then_drop:
            self._drop(attempt)
        elif played:
            self._perform(attempt, attempt.offer.happened(WarmEvent.SPOKEN, self._now))

    async def _played(self, attempt: _Attempt, said: Words) -> bool:
        """Whether all of it was."""
        output = self._voice(attempt).audio_output
        began_at, at = self._now, None
        if attempt.screening is not None:
            attempt.screening.we_speak(True)
        try:
            output.push(said.pcm)
            output.flush()
            at = await output.wait_played(output.queued_ms)
        finally:
            if attempt.screening is not None:
                attempt.screening.we_speak(False)
            fields = {"leg_id": attempt.leg_id, "text": said.text, "started_at": began_at, "interrupted": at is None}
            self._side.note("told_human", fields)
        return at is not None

    async def _keep_company(self) -> None:
        """The agent's word for the customer, now and then."""
        while True:
            await asyncio.sleep(self._side.words_every_s)
            said, began_at = await self._words.waiting(), self._now
            if await self._side.tell_customer(said.pcm):
                fields = {"text": said.text, "started_at": began_at, "interrupted": False}
                self._side.note("told_waiting_caller", fields)

    def _leave_company(self) -> None:
        if self._company is not None:
            self._company.cancel()
            self._company = None

    def _cut(self, attempt: _Attempt) -> None:
        speaking, attempt.speaking = attempt.speaking, None
        if speaking is not None and speaking is not asyncio.current_task():
            speaking.cancel()
            if attempt.voice is not None:
                attempt.voice.audio_output.clear()

    def _voice(self, attempt: _Attempt) -> Participant:
        if attempt.voice is None:
            attempt.voice = self._side.voice(attempt.leg_id)
        return attempt.voice

    def _listen(self, attempt: _Attempt) -> None:
        if self._screens:
            attempt.screening = self._side.screen(attempt.leg_id, lambda who: self._answered_by(attempt, who))

    def _answered_by(self, attempt: _Attempt, who: AnsweredBy) -> None:
        self._side.note("transfer_answered_by", {"leg_id": attempt.leg_id, "answered_by": who.value})
        self._perform(attempt, attempt.offer.answered_by(who, self._now))

    @staticmethod
    def _stop_screening(attempt: _Attempt) -> None:
        screening, attempt.screening = attempt.screening, None
        if screening is not None:
            screening.close()

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

    def _finish(self) -> None:
        self._leave_company()
        if not self.away.done():
            self.away.set_result(None)
        self._over.set()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._leave_company()
        self._words.close()
        for attempt in self._attempts.values():
            self._stop_screening(attempt)
            for task in (attempt.speaking, attempt.task):
                if task is not None and task is not asyncio.current_task():
                    task.cancel()

    def close(self) -> None:
        """Tells whoever still waits for its result that there will be none."""
        for future in (self.result, self.away):
            future.cancel()
