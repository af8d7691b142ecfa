"""The transfers of a call whose leg and room this process has; implements `TransferSide` and `WarmSide`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import structlog

from agent.answering import Answering
from agent.clock import has_real_time
from agent.said import ConsultationTold
from gateway.calls.asking_caller import CallerSaid
from gateway.calls.conversation import Closes, Conversation, MakesDetector, Screening
from gateway.calls.dialling import Dialler
from gateway.calls.further_legs import FurtherLegs, LegNews
from gateway.calls.handing_over import HandingOver
from gateway.calls.journal import Journal
from gateway.calls.music import RINGING
from gateway.calls.queue_of_call import WaitsInQueues
from gateway.calls.queueing import QueueStay
from gateway.calls.session import CUSTOMER
from gateway.calls.verbs import TransferOrder
from gateway.calls.waiting import TRANSFER, Waiting
from gateway.record import TransferKind
from gateway.transfers.notes import TalkNotes
from gateway.transfers.screen_data import screen_headers
from gateway.transfers.transfer import Transfer
from gateway.transfers.warm import WarmTransfer
from gateway.transfers.warm_side import LegTold
from gateway.transfers.words import Says
from telephony.call import DialledLeg, EndedBy, TransferEnd, TransferResult, Warm
from telephony.errors import DialRefused, TelephonyError
from telephony.media.answering.model import AnsweredBy
from telephony.media.answering.wording import load_wording
from telephony.rooms.protocol import Participant

__all__ = ["TRANSFER", "CallTransfers", "EndsCall"]

log = structlog.get_logger(__name__)

ANNOUNCE_LIMIT_S = 15.0  # for what the agent is saying, and for the announcement
SENTENCE_LIMIT_S = 2.0  # for what it is saying, when another program does not wait for it
_WORDS: Mapping[TransferEnd, str] = {TransferEnd.BUSY: "transfer_busy"}  # all others: transfer_failed


class EndsCall(Protocol):
    def end_now(self, reason: str, by: EndedBy = ...) -> None: ...


AnyTransfer = Transfer | WarmTransfer | QueueStay


class CallTransfers(WaitsInQueues):
    def __init__(
        self,
        call: EndsCall,
        call_id: str,
        leg_id: str,
        further: FurtherLegs,
        dialler: Dialler | None,
        conversation: Conversation,
        waiting: Waiting,
        journal: Journal,
        detector: MakesDetector,
        words_every_s: float,
        notes: bool,
        caller: str = "",
    ) -> None:
        """`leg_id`: the customer's. `detector` makes what says who has answered a warm transfer. `words_every_s`:
        how often the agent speaks to a customer who waits for a human; 0: never. `notes`: whether what is said in
        transfers may be written down. `caller`: the customer's number, if known."""
        self.caller_number = caller
        self._call = call
        self._call_id = call_id
        self._leg_id = leg_id
        self._further = further
        self._dialler = dialler
        self._conversation = conversation
        self._waiting = waiting
        self._journal = journal
        self._detector = detector
        self.words_every_s = words_every_s
        self._may_note = notes
        self._loop = asyncio.get_running_loop()
        self._now: AnyTransfer | None = None
        self._handing: HandingOver | None = None
        self._for_agent = False  # its tool waits for the result, and says the rest
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> bool:
        """One is in progress, or its target talks with the customer."""
        return self._now is not None

    @property
    def joined(self) -> bool:
        return self._now is not None and self._now.joined

    @property
    def helping(self) -> bool:
        """The customer waits in a queue, and the agent talks with them meanwhile."""
        return isinstance(self._now, QueueStay) and self._now.helping

    def queue_news(self, news: Mapping[str, Any]) -> None:
        """Of the gateway, for a customer who waits in a queue."""
        if isinstance(self._now, QueueStay):
            self._now.told(news)

    async def leave_queue(self) -> bool:
        """By the agent, which helps meanwhile. False: the customer is in none."""
        if not isinstance(self._now, QueueStay) or not self._now.helping:
            return False
        await self._now.leave()
        return True

    def begin(self, order: TransferOrder, *, for_agent: bool) -> AnyTransfer:
        """There must be none in progress. `for_agent`: it says itself what became of it."""
        warm = order.kind is TransferKind.WARM
        kind = QueueStay if order.queue is not None else WarmTransfer if warm else Transfer
        transfer: AnyTransfer = kind(self._call_id, order, self)
        self._now, self._handing = transfer, None
        self._for_agent = for_agent
        self._spawn(self._run(transfer))
        return transfer

    def for_itself(self) -> None:
        """The agent's tool does not wait for it any more: the caller is told what becomes of it."""
        self._for_agent = False

    async def _run(self, transfer: AnyTransfer) -> None:
        try:
            await transfer.run()
        except Exception as error:
            log.error("transfer_failed", error=repr(error), exc_info=error)
            transfer.fault(f"{type(error).__name__}: {error}")
            await self._waiting.end(TRANSFER, words="transfer_failed")
        finally:
            transfer.close()
            if self._now is transfer:
                self._now = None

    # --- told by the call --------------------------------------------------------------------------------------------

    def customer_gone(self) -> None:
        if self._now is not None:
            self._now.customer_gone()

    def call_ends(self, reason: str) -> None:
        if self._now is not None:
            self._now.call_ends(reason)

    def refer_report(self, *, answer: bool, status: int, reason: str, over: bool) -> None:
        if self._handing is not None:
            self._handing.reported(answer=answer, status=status, reason=reason, over=over)
        elif self._now is None:
            return
        elif answer:
            self._now.refer_answered(status, reason)
        else:
            self._now.refer_notified(status, reason, over=over)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    # --- TransferSide ------------------------------------------------------------------------------------------------

    async def set_aside(self, announce: str) -> None:
        await self._finish_speaking(announce)
        await self._waiting.begin(TRANSFER)

    async def _finish_speaking(self, announce: str) -> None:
        limit_s = ANNOUNCE_LIMIT_S if announce or self._for_agent else SENTENCE_LIMIT_S
        await self._conversation.finish_speaking(announce, limit_s)

    def rings(self) -> None:
        self._waiting.play(TRANSFER, RINGING)

    async def refer(self, order: TransferOrder) -> None:
        if self._dialler is None:
            raise DialRefused("no_room", "this call cannot be referred")
        await self._dialler.refer(self._call_id, self._leg_id, order)

    async def dial(self, order: TransferOrder, began: Callable[[str], None], rings: Callable[[], None]) -> DialledLeg:
        def told(leg_id: str, fact: LegNews) -> None:
            if fact == "placed":
                began(leg_id)
            elif fact == "rings":
                rings()

        return await self._further.dial(
            order.to, trunk=order.trunk, caller=order.caller, ring_s=order.ring_s, told=told,
            extension=order.extension,
        )  # fmt: skip

    def joined_now(self) -> None:
        self._spawn(self._waiting.heard(TRANSFER))

    # --- WarmSide ----------------------------------------------------------------------------------------------------

    @property
    def agent(self) -> Says:
        return self._conversation

    async def dial_apart(self, to: str, order: TransferOrder, told: LegTold) -> DialledLeg:
        def news(leg_id: str, fact: LegNews) -> None:
            if fact == "placed":
                told.began(leg_id)
            elif fact == "rings":
                told.rings()

        return await self._further.dial(
            to, trunk=order.trunk, caller=order.caller, ring_s=order.ring_s, told=news, pressed=told.pressed,
            headers=screen_headers(order.warm), extension=order.extension if to == order.to else "",
        )  # fmt: skip

    def voice(self, leg_id: str) -> Participant:
        return self._further.voice(leg_id)

    @property
    def can_screen(self) -> bool:
        return self._conversation.can_screen

    async def prepare_screening(self) -> None:
        await asyncio.to_thread(load_wording) if has_real_time(self._loop) else load_wording()  # once in a process
        await self._conversation.prepare_screening()

    def screen(self, leg_id: str, warm: Warm, told: Callable[[AnsweredBy], None]) -> Screening | None:
        hears = self._further.voice(leg_id).audio_input
        limits = Answering(limit_s=warm.detect_limit_s, correct_for_s=warm.correct_for_s)
        return self._conversation.screen(hears, self._detector(limits, self._loop.time()), told)

    def consult(self, leg_id: str, briefed: str, told: ConsultationTold) -> Closes | None:
        return self._conversation.consult(self._further.voice(leg_id), briefed, told)

    def take_notes(self, leg_id: str, name: str) -> TalkNotes | None:
        if not self._may_note or not self._conversation.can_screen:
            return None
        try:
            voice = self._further.take_notes(leg_id)
        except TelephonyError:  # the room is closing
            return None
        listens = lambda source, told: self._conversation.listen(voice.hear_apart(source), told)  # noqa: E731
        return TalkNotes(name, leg_id, CUSTOMER, listens, self.note)

    async def ask_customer(self, question: bytes) -> CallerSaid:
        return await self._waiting.ask(question, self._conversation.listen)

    async def tell_customer(self, pcm: bytes) -> bool:
        return await self._waiting.say(pcm)

    def join(self, leg_id: str) -> None:
        self._further.join(leg_id)
        self.joined_now()
        order = None if self._now is None else self._now.order
        if order is not None and order.warm is not None and order.warm.handover and self._handing is None:
            self._handing = HandingOver(
                leg_id, self._further, self._journal, partial(self._refer_in_place_of, order),
                lambda: self.end_call("transferred", by_target=False),
            )  # fmt: skip
            self._spawn(self._handing.run())

    async def _refer_in_place_of(self, order: TransferOrder, leg_id: str) -> None:
        if self._dialler is None:
            raise DialRefused("no_room", "this call cannot be referred")
        await self._dialler.refer(self._call_id, self._leg_id, order, replaces=leg_id)

    # --- both --------------------------------------------------------------------------------------------------------

    def back(self, result: TransferResult) -> None:
        words = "" if self._for_agent or result.transferred else _WORDS.get(result.end, "transfer_failed")
        note = "" if self._for_agent else _note(self._now, result)
        self._spawn(self._waiting.end(TRANSFER, words=words, note=note))

    def end_call(self, reason: str, *, by_target: bool) -> None:
        self._call.end_now(reason, EndedBy.HUMAN if by_target else EndedBy.AGENT if self._for_agent else EndedBy.SYSTEM)

    def note(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._journal.entry(kind, self._loop.time(), **fields)

    def send(self, body: dict[str, Any]) -> None:
        self._journal.send(body)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _note(transfer: AnyTransfer | None, result: TransferResult) -> str:
    """For the model."""
    target = "" if transfer is None else f" to {', '.join(transfer.order.targets)}"
    if result.transferred:
        return (
            f"[The caller talked with the target of the transfer{target}, who has left. The caller is back with you.]"
        )
    why = f" ({result.reason})" if result.reason else ""
    return f"[The transfer{target} did not work: {result.end}{why}. The caller is back with you.]"
