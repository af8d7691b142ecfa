"""One call: its legs, its conversation, its policy and its one end.

Whichever ends first (the customer hangs up, the agent says goodbye, media never comes, the gateway drains), everything
else is ended from here, once, and one closing record is sent. Each leg has its own `LegOwner`; the table in `ends.py`
says what its end means for the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog

from gateway.calls.conversation import CallSide, Conversation, ConversationMaker, ConversationOver, MakesDetector
from gateway.calls.detector import detector_of_target
from gateway.calls.dialling import Dialler
from gateway.calls.ends import CallState, Consequence, consequences
from gateway.calls.further_legs import FurtherLegs
from gateway.calls.journal import Journal, LegJournal
from gateway.calls.leg_owner import LegFact, LegOwner, LegUnfollowed
from gateway.calls.media_watch import MediaLost, MediaWatch, SilenceSuppressed
from gateway.calls.pressed_keys import Keys
from gateway.calls.recording import RecordingOfCall
from gateway.calls.steered_here import CallParts, SteeredHere
from gateway.calls.verbs import DigitsOrder, TransferOrder
from gateway.config import CallSettings
from gateway.record import Outcome
from telephony.call import (
    CallInfo,
    Direction,
    EndedBy,
    Leg,
    LegAcknowledged,
    LegDigit,
    LegEnded,
    LegHeld,
    LegResumed,
    LegRinging,
    LegRole,
    TransferResult,
    outcome_kind,
)
from telephony.errors import LegEndedError, TelephonyError
from telephony.rooms.protocol import LegAudio

__all__ = ["Call", "media_watch_of"]

log = structlog.get_logger(__name__)

ANSWER_LIMIT_S = 40.0  # PJSIP gives up on a missing ACK after 32 s (RFC 3261 section 13.3.1.4)
LAST_EVENT_LIMIT_S = 5.0  # for a leg's last event, when a verb says that it has ended
SESSION_LIMIT_S = 12.0  # for the session to close: a persona's `on_exit` may take 10 s
CLOSE_LIMIT_S = 5.0


class Call:
    """`run` waits for whichever comes first: the conversation is over, the customer's leg has ended, or someone asks
    for the end. Only `_wind_up` ends anything; everything else gives a reason and leaves it to that."""

    def __init__(
        self,
        leg: Leg,
        leg_id: str,
        info: CallInfo,
        journal: Journal,
        recording: RecordingOfCall,
        conversation: ConversationMaker,
        limits: CallSettings | None = None,
        dialler: Dialler | None = None,
        target_detector: MakesDetector = detector_of_target,
        extension: str = "",
    ) -> None:
        """`leg`: the customer's, not followed yet. `limits` None: its audio cannot be observed here. `dialler`: places
        further legs. `target_detector`: says who has answered a warm transfer. `extension`: keys for whoever has
        answered, before the agent speaks."""
        now = asyncio.get_running_loop().time
        self._journal = journal
        self._recording = recording
        self._extension = extension
        self._outbound = info.direction is Direction.OUTBOUND
        watch = None if limits is None else media_watch_of(leg, limits)
        self._customer = LegOwner(leg, LegRole.CUSTOMER, LegJournal(leg_id, now), self._leg_fact, watch)
        self._further = FurtherLegs(
            info.call_id,
            dialler,
            self._further_fact,
            journal.send,
            partial(media_watch_of, limits=limits or CallSettings()),
        )
        self._customer.key_goes = self._further.takes_key
        self._keys = Keys(leg.send_digits)  # to the customer, from whoever talks with them
        side = CallSide(
            info, leg, self._customer.digits, journal, self._because, self._further.dial, self._transfer,
            self._send_digits_to, self._ask_queues,
        )  # fmt: skip
        self._conversation: Conversation = conversation(side)
        self._over = asyncio.Event()  # the customer's leg has ended, or must be ended
        self._cause: tuple[EndedBy, str] | None = None
        self._refusal = (503, "Service Unavailable")  # for a leg that has not been answered yet
        self._goodbye: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None  # what ended it, if that was a fault
        parts = CallParts(
            info.call_id, self._customer, self._further, dialler, self._conversation, journal, target_detector,
            (limits or CallSettings()).hold_music, (limits or CallSettings()).transfer_notes,
            (limits or CallSettings()).supervision,
            (info.called if self._outbound else info.caller) or "",
        )  # fmt: skip
        self.steered = SteeredHere(self, parts)  # for those who command it

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        """After `run`: the call's summary and its author; empty: none. May take seconds."""
        return await self._conversation.summary(by_model=by_model)

    async def run(self) -> None:
        """From the INVITE to the closing record. Never raises, unless cancelled."""
        self._customer.follow()
        conversing = asyncio.create_task(self._converse(), name="conversation")
        over = asyncio.create_task(self._over.wait(), name="end of the call")
        try:
            await asyncio.wait({conversing, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            try:
                await self._wind_up(conversing)
            finally:
                for task in (over, conversing):
                    task.cancel()
                self.steered.close()
                for task in self._keys.close():
                    task.cancel()
                self._customer.close()
                self._close_record()

    @property
    def state(self) -> CallState:
        if self._over.is_set():
            return CallState.ENDING
        return self._further.state if self._customer.acknowledged.is_set() else CallState.ALERTING

    def drain(self, reason: str) -> None:
        """Say goodbye and end."""
        if not self._conversation.begun:
            self.end_now(reason)
        elif self._goodbye is None:
            self._goodbye = asyncio.create_task(self._say_goodbye(reason), name="goodbye")

    def end_now(self, reason: str, by: EndedBy = EndedBy.SYSTEM) -> None:
        """Hang up without a goodbye."""
        self._because(by, reason)
        self._over.set()

    # --- told by others ------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self._over.is_set()

    async def _transfer(self, order: TransferOrder) -> TransferResult:
        """By the agent."""
        return await self.steered.transfer_and_wait(order)

    async def _ask_queues(self, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        """By the agent. Raises DialRefused."""
        return await self.steered.ask_queues(verb, how)

    async def _send_digits_to(self, order: DigitsOrder) -> None:
        """By the agent. Raises TelephonyError."""
        await self.steered.keys.send(order)

    @property
    def answered(self) -> bool:
        return self._customer.acknowledged.is_set()

    def hang_up(self, reason: str, *, goodbye: bool) -> None:
        """`goodbye`: the agent says its farewell first, if there is one."""
        self._because(EndedBy.SYSTEM, reason)
        if goodbye:
            self.drain(reason)
        else:
            self.end_now(reason)

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        """In the agent's voice. Raises NotTalking, VerbRefused."""
        await self._conversation.say(text, allow_interruptions=allow_interruptions)

    async def _say_goodbye(self, reason: str) -> None:
        try:
            await self.steered.release(reason)
            await self._further.dismiss(reason)  # the customer hears the agent again
            await self._conversation.drain(reason)
        except Exception as error:
            # Then end without a goodbye.
            log.error("goodbye_failed", error=repr(error), exc_info=error)
            self.end_now(reason)

    # --- the conversation ----------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """From ringing to the end of the conversation. Cancelled if the leg ends before it begins."""
        try:
            await self._answer_and_talk()
        except LegEndedError:
            # The caller hung up first; the leg's last event says how it ended.
            await asyncio.wait({self._customer.ended}, timeout=LAST_EVENT_LIMIT_S)
        except Exception as error:  # noqa: BLE001 - never leave the caller on a dead line
            self._failed(error)
            if self._customer.acknowledged.is_set() and not self._conversation.begun:
                await self._conversation.apologize()

    async def _answer_and_talk(self) -> None:
        customer = self._customer
        if not await (self._place() if self._outbound else self._answer()):
            return
        if customer.held:
            self._conversation.on_hold(True)
        if customer.watches_media:
            since_answer = asyncio.get_running_loop().time() - (customer.answered_at or 0.0)
            await customer.comes(customer.media, max(0.0, self._conversation.greeting_limit_s - since_answer))
            customer.watch_media()
        if self._extension:
            await self.steered.keys.dial_extension(self._extension)
        try:
            self._talked(await self._conversation.hold())
        finally:
            customer.unwatch_media()

    async def _answer(self) -> bool:
        """An inbound call. False: the caller is gone."""
        customer = self._customer
        await customer.leg.ring()
        await self._conversation.prepare()
        if self._over.is_set():
            return False
        await customer.answer(self._joined())
        if await customer.comes(customer.acknowledged, ANSWER_LIMIT_S):
            return True
        self._because(EndedBy.SYSTEM, "no ACK for the answer arrived")
        return False

    async def _place(self) -> bool:
        """A call that we place. The agent gets ready while the other side rings, and does not speak into early media.
        If nobody answers, the leg ends, which cancels this."""
        if not self._conversation.joins_unprepared:
            await self._conversation.prepare()
        await self._customer.answer(self._joined())
        if self._conversation.joins_unprepared:
            await self._conversation.prepare()
        await self._customer.acknowledged.wait()
        return True

    def _joined(self) -> LegAudio:
        """The customer's place in the room."""
        recorder = self._recording.begin()
        self._journal.recorded_by(recorder)
        audio = self._journal.clocked(self._conversation.join(recorder))
        self._further.begin(self._conversation.room)
        return audio

    # --- what happens to legs ------------------------------------------------------------------------------------

    def _leg_fact(self, owner: LegOwner, fact: LegFact) -> None:
        match fact:
            case LegRinging(at=at, sip_status=status):
                self._journal.note("ringing", str(status), at)
            case LegAcknowledged(at=at):
                self._journal.answered(at if owner.answered_at is None else owner.answered_at)
            case LegHeld() | LegResumed():
                self._journal.leg_event(fact)
                self._conversation.on_hold(owner.held)
            case SilenceSuppressed(at=at, text=text):
                self._journal.note("silence_suppressed", text, at)
            case MediaLost(text=text):
                self.end_now(text)
            case LegEnded():
                if fact.by_peer:
                    self._because(EndedBy.CALLER, fact.reason or "hung up")
                    self.steered.customer_gone()
                self._leg_ended(owner)
            case LegUnfollowed(error=error):
                if error is not None:
                    self._failed(error)
                self._because(EndedBy.SYSTEM, "the leg vanished without an event")
                self._leg_ended(owner)

    def _further_fact(self, owner: LegOwner, fact: LegFact) -> None:
        match fact:
            case LegRinging():
                self._further.rings(owner)
            case LegDigit(digit=digit) if self._further.floor.joined == owner.leg_id:
                self._keys.press(digit)
                self._keys.flow()
            case LegDigit(digit=digit):
                self._further.presses(owner, digit)
            case LegAcknowledged(at=at):
                self._journal.note("leg_joined", owner.leg_id, at)
                self._further.answered(owner)
            case MediaLost(text=text):
                self._further.failed(owner, text)
            case LegEnded(at=at):
                self._journal.note("leg_left", owner.leg_id, at)
                self._leg_ended(owner)
            case LegUnfollowed(error=error):
                log.error("leg_not_followed", leg_id=owner.leg_id, error=repr(error))
                self._further.failed(owner, "the leg vanished without an event")

    def _state_for(self, owner: LegOwner) -> CallState:
        """A human who is not the one that talks with the customer was only being called."""
        state = self.state
        aside = owner.role is LegRole.HUMAN and not self._further.is_joined(owner.leg_id)
        return CallState.DIALLING if state is CallState.JOINED and aside else state

    def _leg_ended(self, owner: LegOwner) -> None:
        for consequence in consequences(owner.role, self._state_for(owner), owner.why):
            match consequence:
                case Consequence.END_CALL:
                    self._over.set()
                case Consequence.CANCEL_RINGING:
                    self._further.cancel_ringing()
                case Consequence.BACK_TO_AGENT:
                    self._further.back_to_agent()
                case Consequence.GO_ON:
                    pass
        if owner is not self._customer:
            self._further.gone(owner)

    # --- why it ends ---------------------------------------------------------------------------------------------

    def _talked(self, over: ConversationOver) -> None:
        if over.by is not None:
            self._because(over.by, over.reason)

    def _because(self, by: EndedBy, reason: str) -> None:
        """Only the first cause counts."""
        if self._cause is None:
            self._cause = (by, reason)

    def _failed(self, error: BaseException) -> None:
        log.error("call_failed", error=repr(error), exc_info=error)
        self.failure = self.failure or error
        self._because(EndedBy.SYSTEM, f"{type(error).__name__}: {error}")
        if not (isinstance(error, TelephonyError) and error.sip_status == 503):
            self._refusal = (500, "Internal error")

    # --- the end -------------------------------------------------------------------------------------------------

    async def _wind_up(self, conversing: asyncio.Task[None]) -> None:
        """In any case: the legs end, then the conversation, then the room and its recording."""
        self._over.set()
        self.steered.ends(self._cause[1] if self._cause else "the call is over")
        if not self._conversation.begun:
            conversing.cancel()  # it rings, or waits for the ACK
        await asyncio.gather(
            self._customer.end(self._cause[1] if self._cause else "", self._refusal),
            self._further.end("the call is over"),
        )
        await self._close_conversation(conversing)
        await self._recording.close(heard=self._customer.acknowledged.is_set())

    async def _close_conversation(self, conversing: asyncio.Task[None]) -> None:
        self._conversation.leg_ended()  # no effect if it is already ending
        await asyncio.wait({conversing}, timeout=SESSION_LIMIT_S)
        if not conversing.done():
            log.error("session_not_closed")
        conversing.cancel()
        for step in (self._conversation.stop, self._conversation.close):
            try:
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await step()
            except Exception as error:  # noqa: BLE001 - the record has to be closed all the same
                log.error("session_not_closed", step=step.__name__, error=repr(error))

    def _close_record(self) -> None:
        customer = self._customer
        ended = customer.ended.result() if customer.ended.done() else None
        # Neither we nor the caller ended it, so PJSIP did: no ACK arrived, or there is no codec in common.
        by, reason = self._cause or (EndedBy.SYSTEM, ended.reason if ended is not None else "the leg never ended")
        self._journal.close(
            outcome=self._outcome(by, ended),
            customer=customer.journal,
            ended=ended,
            by=by,
            reason=reason,
            tokens=self._conversation.tokens,
            recording=self._recording.result(),
        )

    def _outcome(self, by: EndedBy, ended: LegEnded | None) -> Outcome:
        if self._customer.acknowledged.is_set():
            return Outcome.ANSWERED
        if not self._outbound:
            return Outcome.CANCELLED if by is EndedBy.CALLER else Outcome.FAILED
        if ended is None or self.failure is not None:
            return Outcome.FAILED
        return (
            Outcome(outcome_kind(ended.sip_status, cause=ended.cause).value)
            if ended.by_peer or ended.gave_up
            else Outcome.CANCELLED
        )


def media_watch_of(leg: Leg, limits: CallSettings) -> MediaWatch:
    return MediaWatch(
        limits.media_alarm_s, limits.first_media_s, limits.media_timeout_s, suppresses_silence=leg.suppresses_silence
    )
