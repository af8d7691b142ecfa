"""The verbs of a call whose leg and room this process has; implements `SteeredCall`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.conversation import Conversation, MakesDetector, NotTalking
from gateway.calls.dialling import Dialler
from gateway.calls.further_legs import FurtherLegs
from gateway.calls.journal import Journal
from gateway.calls.keys_out import KeysOut
from gateway.calls.leg_owner import LegOwner
from gateway.calls.music import HoldMusic
from gateway.calls.onward import OnwardTransfers
from gateway.calls.queueing import QueueStay
from gateway.calls.supervising import Supervising
from gateway.calls.transferring import TRANSFER, CallTransfers
from gateway.calls.verbs import DigitsOrder, ListenMode, ListenOrder, OnwardOrder, TransferOrder, VerbRefused, Voice
from gateway.calls.waiting import Waiting
from gateway.config import HoldMusicSettings
from gateway.config.models import SupervisionSettings
from gateway.transfers.screen_data import problem_of
from telephony.call import AfterTransfer, EndedBy, SummaryBy, TransferEnd, TransferResult
from telephony.errors import DialRefused, DigitsNotSent, TelephonyError

__all__ = ["CallParts", "SteeredHere"]

log = structlog.get_logger(__name__)

ON_HOLD = "hold"


class TheCall(Protocol):
    """What we need of `Call`."""

    @property
    def answered(self) -> bool: ...

    @property
    def over(self) -> bool: ...

    def hang_up(self, reason: str, *, goodbye: bool) -> None: ...

    def end_now(self, reason: str, by: EndedBy = ...) -> None: ...

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None: ...


@dataclass(frozen=True, slots=True)
class CallParts:
    call_id: str
    customer: LegOwner
    further: FurtherLegs
    dialler: Dialler | None
    conversation: Conversation
    journal: Journal
    target_detector: MakesDetector
    hold_music: HoldMusicSettings
    transfer_notes: bool
    supervision: SupervisionSettings
    caller: str  # the customer's number; empty: withheld


class SteeredHere:
    def __init__(self, call: TheCall, parts: CallParts) -> None:
        self._call = call
        self._customer = parts.customer
        self._further = parts.further
        self._conversation = parts.conversation
        self._journal = parts.journal
        self._loop = asyncio.get_running_loop()
        self.keys = KeysOut(parts.customer, parts.further, parts.journal)
        parts.further.dials_extension = self.keys.dial_extension
        self._waiting = Waiting(parts.further, parts.conversation, HoldMusic(parts.hold_music))
        self._transfers = CallTransfers(
            call, parts.call_id, parts.customer.leg_id, parts.further, parts.dialler, parts.conversation,
            self._waiting, parts.journal, parts.target_detector, parts.hold_music.words_every_s, parts.transfer_notes,
            parts.caller,
        )  # fmt: skip
        dialler = parts.dialler
        self._onward = OnwardTransfers(
            parts.call_id, parts.customer.leg_id, parts.further, self._waiting, parts.journal,
            dialler.report_refer if dialler is not None else lambda refer_id, status, reason: None,
            dialler.move_leg if dialler is not None else _nowhere,
        )  # fmt: skip
        self._held = self._collecting = False
        self._muted: set[Voice] = set()
        self._supervising = Supervising(
            call, parts.further, self._waiting, parts.conversation, parts.journal, parts.supervision
        )
        self._tasks: set[asyncio.Task[None]] = set()

    # --- SteeredCall -------------------------------------------------------------------------------------------------

    def hang_up(self, reason: str, *, goodbye: bool) -> None:
        self._call.hang_up(reason, goodbye=goodbye)

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        self._check_with_agent()
        try:
            await self._call.say(text, allow_interruptions=allow_interruptions)
        except NotTalking as error:
            raise VerbRefused("not_talking", str(error)) from None

    async def collect(self, order: CollectOrder) -> Collected:
        self._check_with_agent()
        if self._collecting:
            raise VerbRefused("collecting", "The caller is being asked for digits already.", retryable=True)
        self._collecting = True
        try:
            return await self._conversation.collect(order)
        except VerbRefused:
            if self._call.over:
                raise VerbRefused("not_live", "The call was over before there were any digits.") from None
            raise
        except NotTalking as error:
            raise VerbRefused("not_talking", str(error)) from None
        finally:
            self._collecting = False

    def press(self, order: DigitsOrder) -> None:
        """Sending digits takes time; the requester is told at once whether they can be sent."""
        self._check_answered()
        try:
            self.keys.check(order)
        except DigitsNotSent as error:
            raise VerbRefused(error.kind, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        self._spawn(self._sent(order))

    async def transfer(self, order: TransferOrder) -> None:
        self._check_with_agent()
        self._check_possible(order)
        if self._transfers.active:
            raise VerbRefused("transferring", "The caller waits in a queue.")
        self._transfers.begin(order, for_agent=False)

    def hand_on(self, asked: OnwardOrder) -> None:
        self._check_answered()
        self._onward.begin(asked)

    async def hold(self) -> None:
        self._check_answered()
        if self._held:
            return
        if self._transfers.active and not self._transfers.joined:
            raise VerbRefused("transferring", "The call is being transferred.")
        self._held = True
        await self._waiting.begin(ON_HOLD)
        await self._hold_leg(True)
        self._journal.entry("call_held", self._loop.time())

    async def resume(self) -> None:
        self._check_answered()
        if not self._held:
            return
        self._held = False
        await self._hold_leg(False)
        await self._waiting.end(ON_HOLD)
        self._journal.entry("call_resumed", self._loop.time())

    def pause_recording(self, paused: bool) -> None:
        self._check_answered()
        if not self._journal.records:
            raise VerbRefused("not_possible", "The call is not recorded.")
        self._journal.pause_recording(paused)

    async def mute(self, voice: Voice) -> None:
        await self._mute(voice, True)

    async def unmute(self, voice: Voice) -> None:
        await self._mute(voice, False)

    async def listen(self, order: ListenOrder) -> str:
        self._check_answered()
        if order.mode is ListenMode.TAKE_OVER and self._transfers.active and not self._transfers.joined:
            raise VerbRefused("transferring", "The call is being transferred.")
        return await self._supervising.listen(order)

    def queue_news(self, news: Mapping[str, Any]) -> None:
        """Of the gateway's queues."""
        self._transfers.queue_news(news)

    # --- for the agent -----------------------------------------------------------------------------------------------

    async def transfer_and_wait(self, order: TransferOrder) -> TransferResult:
        """The same for a tool of the agent, which says itself what became of it. Returns once that is known; with a
        target that leaves the customer to the agent, once it has left. Raises DialRefused."""
        try:
            self._check_with_agent()
            self._check_possible(order)
            if self._transfers.active:
                raise VerbRefused("transferring", "The caller waits in a queue.")
        except VerbRefused as refused:
            raise DialRefused(refused.kind, str(refused)) from None
        transfer = self._transfers.begin(order, for_agent=True)
        if isinstance(transfer, QueueStay):
            return await self._queued(transfer)
        try:
            result = await asyncio.shield(transfer.result)
            if result.transferred and order.afterwards is AfterTransfer.AGENT:
                await asyncio.shield(transfer.away)
        except asyncio.CancelledError:
            if not transfer.result.done():
                transfer.call_ends("the agent's tool was cancelled")
                self._spawn(self._waiting.end(TRANSFER))
            raise
        return result

    async def _queued(self, stay: QueueStay) -> TransferResult:
        """While the agent helps, it need not wait."""
        try:
            waiting = await asyncio.shield(stay.waiting)
            if stay.helping:
                self._transfers.for_itself()
                return TransferResult(TransferEnd.UNCONFIRMED, "queue", queued=waiting)
            result = await asyncio.shield(stay.result)
            if stay.refused is not None:
                raise stay.refused
            if result.transferred and stay.afterwards is AfterTransfer.AGENT:
                await asyncio.shield(stay.away)
        except asyncio.CancelledError:
            if not stay.result.done():
                stay.call_ends("the agent's tool was cancelled")
                self._spawn(self._waiting.end(TRANSFER))
            raise
        return replace(result, queued=stay.queue_result)

    async def ask_queues(self, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises DialRefused."""
        if verb == "leave_mine":
            return {"left": await self._transfers.leave_queue()}
        return await self._transfers.ask_queues(verb, **how)

    # --- told by the call --------------------------------------------------------------------------------------------

    def refer_report(self, *, answer: bool, status: int, reason: str, over: bool) -> None:
        self._transfers.refer_report(answer=answer, status=status, reason=reason, over=over)

    def customer_gone(self) -> None:
        self._transfers.customer_gone()

    async def release(self, reason: str) -> None:
        """The customer is to hear the agent again, for its goodbye. Never raises."""
        self._onward.close()
        self._transfers.call_ends(reason)
        held, self._held = self._held, False
        if held:
            await self._hold_leg(False)
        for why in (ON_HOLD, TRANSFER):
            with suppress(TelephonyError):
                await self._waiting.end(why)

    def ends(self, reason: str) -> None:
        """The call is over."""
        self._onward.close()
        self._transfers.call_ends(reason)

    def close(self) -> None:
        self._transfers.close()
        self._waiting.close()
        self._supervising.close()
        for task in self._tasks:
            task.cancel()

    # --- how ---------------------------------------------------------------------------------------------------------

    def _check_answered(self) -> None:
        if self._call.over:
            raise VerbRefused("not_live", "The call is over.")
        if not self._call.answered:
            raise VerbRefused("not_talking", "The call has not been answered yet.")

    def _check_with_agent(self) -> None:
        """The customer is with the agent, or nobody is there yet (who is asked says so)."""
        self._check_answered()
        if self._transfers.active and not self._transfers.helping:
            raise VerbRefused("transferring", "The call is being transferred, or has been.")
        if self._held:
            raise VerbRefused("on_hold", "The call is on hold.")
        if self._supervising.taken_over:
            raise VerbRefused("transferring", "A supervisor has taken the call over.")

    def _check_possible(self, order: TransferOrder) -> None:
        if order.warm is None:
            return
        if (why := problem_of(order.warm)) is not None:
            raise VerbRefused("invalid_variable", why)
        if order.warm.speaks and not self._conversation.speaks_apart:
            told = "The agent is another program's: it cannot speak to the human alone."
            raise VerbRefused("not_possible", told)
        if (order.warm.consult or order.warm.summary is SummaryBy.CALLER) and not self._conversation.consults:
            told = "In this kind of room the human can neither ask the agent nor hear the caller's recorded words."
            raise VerbRefused("not_possible", told)

    async def _sent(self, order: DigitsOrder) -> None:
        with suppress(TelephonyError):  # the record says so
            await self.keys.send(order)

    async def _hold_leg(self, held: bool) -> None:
        try:
            await self._customer.hold(held)
        except TelephonyError as error:  # the room keeps them apart all the same
            log.warning("leg_not_held" if held else "leg_not_resumed", error=str(error))

    async def _mute(self, voice: Voice, muted: bool) -> None:
        self._check_answered()
        if (voice in self._muted) is muted:
            return
        (self._muted.add if muted else self._muted.discard)(voice)
        await self._further.mute(voice, muted)
        if voice is Voice.CALLER:
            self._conversation.mute_caller(muted)
        self._journal.entry("call_muted" if muted else "call_unmuted", self._loop.time(), who=voice)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _nowhere(from_leg: str, to_leg: str) -> None:
    raise DialRefused("no_room", "this call has no other legs")
