"""A call worker: one process, one PJSIP endpoint, one asyncio loop, a few calls.

The gateway says over the control channel which call comes (`Prepare`), then its INVITE comes over loopback SIP with
the leg's id in `X-Trunkline-Leg`. An INVITE without announcement is refused: nothing reaches a worker except
through the edge.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from typing import Any, Protocol

import structlog

from agent.factory import PersonaMaker
from agent.loop_watch import watch_of
from agent.warm.asking import Refused
from gateway.calls.call import Call
from gateway.calls.conversation import CallSide, Conversation, ConversationMaker
from gateway.calls.dialling import ORIGINATE, Dialler, LegPlan, call_info
from gateway.calls.journal import Journal
from gateway.calls.key_by_info import send_by_info
from gateway.calls.leg_to_place import LegToPlace
from gateway.calls.providers import ProviderSet
from gateway.calls.queue_terms import QUEUED
from gateway.calls.recording import CallRecording
from gateway.calls.session import LocalConversation, SessionPlan
from gateway.calls.steered_here import SteeredHere
from gateway.callworker.announced import Announced, Slots
from gateway.callworker.answering_texts import check_texts
from gateway.callworker.dialling import DiallingEndpoint, LegDialling
from gateway.callworker.held_legs import HeldLeg, OneLeg, WorkersLeg
from gateway.callworker.last_words import LastWords
from gateway.callworker.queued import Queued
from gateway.callworker.referring import ReferringDialler, TransfersItself
from gateway.callworker.steered import Steered
from gateway.config import Settings
from gateway.control import (
    LEG_HEADER,
    Blocked,
    Channel,
    DigitByInfo,
    Drain,
    EndLeg,
    Heartbeat,
    LastWord,
    Message,
    Prepare,
    Ready,
    Record,
    ReferReport,
    Stop,
)
from gateway.record import CallClosed, LegClosed, Outcome, call_id_of, leg_id_of
from gateway.steering import STEER
from gateway.summary_words import summary_message
from telephony.call import CallInfo, EndedBy
from telephony.errors import TelephonyError
from telephony.keys import KeyTerms
from telephony.sip.causes import cause_of

__all__ = ["CallWorker", "PreparedConversation", "SipEndpoint"]

log = structlog.get_logger(__name__)

INVITE_WAIT_S = 8.0  # how long a Prepare may wait for its INVITE
HEARTBEAT_S = 1.0
LINGERING_S = 0.1  # between heartbeats while a slot waits to be free
END_LIMIT_S = 3.0  # for calls to end when the gateway stops, before it kills
CLOSE_LIMIT_S = 0.5
BLOCKED_STATUS = 70  # of a process whose event loop did not come back
PREWARM_LIMIT_S = 5.0  # a `prewarm` that takes longer continues while the first calls wait for it

PreparedConversation = Callable[[Prepare, CallSide], Conversation]
DialledElsewhere = Callable[[Prepare, LegPlan], tuple[OneLeg, ConversationMaker]]


class SipEndpoint(DiallingEndpoint, Protocol):
    """What a worker needs from `telephony.pjsua.Endpoint`."""

    @property
    def sip_port(self) -> int: ...

    @property
    def call_limit(self) -> int: ...

    @property
    def slots_in_use(self) -> int: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


def _give_up(function: str) -> None:
    """The event loop does not come back and all calls have heard goodbye. The gateway hangs up when we are gone."""
    os._exit(BLOCKED_STATUS)


class CallWorker:
    def __init__(
        self,
        settings: Settings,
        providers: ProviderSet,
        endpoint: Callable[[Callable[[WorkersLeg], None]], SipEndpoint],
        conversations: PreparedConversation | None = None,
        makers: Sequence[PersonaMaker] = (),
        dialled: DialledElsewhere | None = None,
    ) -> None:
        """`endpoint` creates the SIP endpoint, given the callback for incoming legs. `conversations`:
        None for local rooms. `makers` of personas are asked what they want made beforehand. `dialled` makes calls that
        another server dials for us (LiveKit SIP)."""
        self._settings = settings
        self._providers = providers
        self._conversations = conversations
        self._makers = makers
        self._dialled = dialled
        self._endpoint = endpoint(self._incoming)
        self._announced = Announced()
        self._slots = Slots(self._announced)
        self._calls: dict[str, Call] = {}  # by their customer's leg
        self._legs: dict[str, HeldLeg] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._prewarming: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._closing = ""  # why no more calls are taken
        self._last_words = LastWords()
        self._dialling = LegDialling(
            self._endpoint, self._slots, self._legs, self._record, settings.calls, self._leg_over
        )
        self._saying: asyncio.Task[None] | None = None
        self._channel: Channel | None = None
        self._loop_lag_ms = 0.0
        self._next_beat: asyncio.TimerHandle | None = None

    async def serve(self, sock: socket.socket) -> int:
        self._channel = await Channel.open(sock, self._received, self._gateway_gone)
        self._dialling.connect(self._channel.asking)
        self._channel.asking.serve(ORIGINATE, self._originate)
        self._channel.asking.serve(STEER, Steered(self._steered))
        self._channel.asking.serve(QUEUED, Queued(self._steered))
        watch = watch_of(asyncio.get_running_loop())
        watch.on_blocked, watch.last_resort = self._loop_blocked, _give_up
        try:
            await self._endpoint.start()
        except TelephonyError as error:
            log.error("endpoint_failed", error=str(error))
            return 1
        await self._prewarm()
        self._channel.send(Ready(os.getpid(), self._endpoint.sip_port, self._endpoint.call_limit))
        heartbeat = asyncio.create_task(self._heartbeat())
        await self._stop.wait()
        heartbeat.cancel()
        await self._end_calls("gateway stopped")
        if self._saying is not None:
            await self._saying
        await self._dialling.close()
        await self._endpoint.close()
        self._channel.close()
        await asyncio.wait({asyncio.create_task(self._channel.closed.wait())}, timeout=CLOSE_LIMIT_S)  # records first
        return 0

    def _steered(self, call_id: str) -> SteeredHere | None:
        call = self._calls.get(leg_id_of(call_id))
        return None if call is None else call.steered

    def _loop_blocked(self, function: str, blocked_ms: float) -> None:
        """On the watch's thread."""
        if self._channel is not None:
            self._channel.send_past_the_loop(Blocked(function, round(blocked_ms)))

    def _gateway_gone(self) -> None:
        """The channel has closed. Without a previous `Stop`, the gateway has died: our BYEs no longer reach anyone."""
        if not self._stop.is_set():
            self._saying = asyncio.create_task(self._last_words.say(), name="last words")
        self._stop.set()

    async def _prewarm(self) -> None:
        """With LiveKit rooms the personas are made where the agents' jobs run."""
        if self._conversations is None and self._makers:
            self._prewarming = asyncio.create_task(self._providers.prewarm(self._makers), name="prewarm")
            await asyncio.wait({self._prewarming}, timeout=PREWARM_LIMIT_S)

    async def _end_calls(self, reason: str) -> None:
        self._closing = reason
        for call in list(self._calls.values()):
            call.end_now(reason)
        await self._dialling.end(reason)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_LIMIT_S)
        for task in self._tasks:
            task.cancel()  # its record is sent now, whatever delays it
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_LIMIT_S)

    def _received(self, message: Message) -> None:
        if isinstance(message, Prepare):
            self._prepare(message)
        elif isinstance(message, EndLeg):
            self._end_leg(message)
        elif isinstance(message, LastWord):
            self._last_words.keep(message)
        elif isinstance(message, DigitByInfo):
            self._digit(message)
        elif isinstance(message, ReferReport):
            self._refer_report(message.leg_id, message.status, message.reason, message.over, answer=message.answer)
        elif isinstance(message, Drain):
            self._closing = message.reason
            for call in self._calls.values():
                call.drain(message.reason)
        elif isinstance(message, Stop):
            self._stop.set()

    def _refer_report(self, leg_id: str, status: int, reason: str, over: bool, *, answer: bool = False) -> None:
        if (call := self._calls.get(leg_id)) is not None:
            call.steered.refer_report(answer=answer, status=status, reason=reason, over=over)

    def _end_leg(self, message: EndLeg) -> None:
        leg = self._legs.get(message.leg_id)
        if leg is not None:
            leg.end(message)
            return
        by = EndedBy.CALLER if message.by_peer else EndedBy.SYSTEM
        self._forget(message.leg_id, message.reason, message.sip_status, by)

    def _digit(self, message: DigitByInfo) -> None:
        leg = self._legs.get(message.leg_id)
        if leg is not None:
            leg.leg.press_by_info(message.digit, message.duration_ms)

    def _leg_over(self, leg_id: str) -> None:
        self._legs.pop(leg_id, None)
        self._last_words.forget(leg_id)

    def _prepare(self, message: Prepare) -> None:
        if self._announced.prepare(message.leg_id, message):
            asyncio.get_running_loop().call_later(INVITE_WAIT_S, self._forget, message.leg_id, "its INVITE never came")

    def _forget(self, leg_id: str, reason: str, sip_status: int = 0, by: EndedBy = EndedBy.SYSTEM) -> None:
        """A prepared call will not arrive: PJSIP refused its INVITE itself, or it was lost. Its record is closed from
        here, which frees its slot."""
        if leg_id in self._calls or not self._announced.forget(leg_id):
            return
        call_id = call_id_of(leg_id)
        log.warning("prepared_call_never_came", call_id=call_id, reason=reason)
        outcome = Outcome.CANCELLED if by is EndedBy.CALLER else Outcome.FAILED
        closed = CallClosed(
            call_id=call_id, outcome=outcome, ended_by=by, ended_at=datetime.now(UTC),
            end_reason=reason, sip_status=sip_status or None,
            q850_cause=cause_of(sip_status) or None,
        )  # fmt: skip
        self._record(closed.to_dict())

    def _incoming(self, leg: WorkersLeg) -> None:
        leg_id = leg.headers.get(LEG_HEADER, "")
        task = asyncio.ensure_future(self._take(leg))
        self._tasks.add(task)
        task.add_done_callback(self._taken)
        if self._slots.invited(leg_id):
            task.add_done_callback(lambda _: self._slots.left(leg_id))
        if not self._announced.is_prepared(leg_id):  # perhaps the gateway has given its slot to another call already
            self._beat()

    def _taken(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call_not_taken", error=repr(error), exc_info=error)
        # A call leaves cycles with audio in them, some 80 KiB, which the thresholds above would let lie for 150 calls.
        # Objects from before the fork are frozen, so this takes less than a millisecond.
        asyncio.get_running_loop().call_soon(gc.collect)

    async def _take(self, leg: WorkersLeg) -> None:
        leg_id = leg.headers.get(LEG_HEADER, "")
        prepared = await self._announced.wait(leg_id) if leg_id and leg_id not in self._calls else None
        if prepared is None or leg_id in self._calls:
            log.warning("invite_not_announced", leg_id=leg_id)
            await leg.reject(403, "Not announced")
            return
        info = call_info(prepared.call)
        structlog.contextvars.bind_contextvars(call_id=info.call_id)
        leg.adopt(info)
        leg.trust_media([ip_network(text) for text in prepared.media_networks])
        asking = None if self._channel is None else self._channel.asking
        leg.use_keys(KeyTerms.of(prepared.keys), partial(send_by_info, asking, leg_id))
        await self._run(leg, info, prepared)

    async def _originate(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The gateway places a call in this worker. Answers at once; the result is in the record."""
        prepared, plan = Prepare(**body["prepare"]), LegPlan.from_dict(body["plan"])
        check_texts(prepared, plan.info, self._providers.answering)
        leg: OneLeg = LegToPlace(plan.info, partial(self._dialling.place, plan))
        conversation: ConversationMaker | None = None
        if plan.carrier:
            if self._dialled is None:
                raise Refused("no_trunk", "LiveKit SIP dials into LiveKit rooms only")
            leg, conversation = self._dialled(prepared, plan)
        task = asyncio.create_task(self._have(leg, plan.info, prepared, conversation), name=f"call {plan.info.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._taken)
        task.add_done_callback(lambda _: self._slots.left(plan.leg_id))
        return {}

    async def _have(
        self, leg: OneLeg, info: CallInfo, prepared: Prepare, conversation: ConversationMaker | None
    ) -> None:
        structlog.contextvars.bind_contextvars(call_id=info.call_id)
        await self._run(leg, info, prepared, conversation)

    async def _run(
        self, leg: OneLeg, info: CallInfo, prepared: Prepare, conversation: ConversationMaker | None = None
    ) -> None:
        """A call from its beginning to its end, its record and its summary."""
        leg_id = prepared.leg_id
        call = self._calls[leg_id] = self._call(leg, info, prepared, conversation)
        self._legs[leg_id] = HeldLeg(leg, partial(_end_call, call))
        if self._closing:
            call.end_now(self._closing)
        try:
            await call.run()
        finally:
            self._calls.pop(leg_id, None)
            self._announced.forget(leg_id)
            self._leg_over(leg_id)
        if prepared.summary:  # the call is over, on record, and its slot free
            words = await call.summary(by_model=prepared.summary == "model")
            self._record(summary_message(info.call_id, words))

    def _call(self, leg: OneLeg, info: CallInfo, prepared: Prepare, conversation: ConversationMaker | None) -> Call:
        """`conversation`: of a leg whose audio is not here."""
        settings = self._settings
        dialler: Dialler = self._dialling
        if isinstance(leg, TransfersItself):
            dialler = ReferringDialler(self._dialling, leg, partial(self._refer_report, prepared.leg_id))
        return Call(
            leg,
            prepared.leg_id,
            info,
            Journal(info.call_id, self._record, asyncio.get_running_loop().time),
            CallRecording(prepared.recording, settings.recordings),
            conversation or partial(self._conversations or self._local_conversation, prepared),
            None if conversation is not None else settings.calls,
            dialler,
            target_detector=self._providers.who_answered,
            extension=prepared.extension,
        )

    def _local_conversation(self, prepared: Prepare, side: CallSide) -> LocalConversation:
        plan = SessionPlan(prepared.persona, prepared.speech, prepared.session, prepared.answering)
        return LocalConversation(side, plan, self._providers)

    def _record(self, body: Mapping[str, object]) -> None:
        if self._channel is None:
            return
        if body.get("message") in (CallClosed.message, LegClosed.message):
            # Ahead of the record that frees the leg's slot: PJSIP may hold it on.
            self._slots.told_over(str(body.get("leg_id") or leg_id_of(str(body["call_id"]))))
            self._beat()
        self._channel.send(Record(body))

    async def _heartbeat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + HEARTBEAT_S
            await asyncio.sleep(HEARTBEAT_S)
            self._loop_lag_ms = max(0.0, (loop.time() - due) * 1000)
            self._beat()

    def _beat(self) -> None:
        """Report the held legs to the gateway, more often while slots linger or legs are unannounced."""
        held = sorted({*self._legs, *self._announced})
        lingering, unannounced = self._slots.lingering(self._endpoint.slots_in_use), self._slots.unannounced()
        if self._channel is not None:
            self._channel.send(Heartbeat(held, round(self._loop_lag_ms, 1), lingering, unannounced))
        if self._next_beat is not None:
            self._next_beat.cancel()
            self._next_beat = None
        if (lingering or unannounced) and not self._stop.is_set():
            self._next_beat = asyncio.get_running_loop().call_later(LINGERING_S, self._beat)


def _end_call(call: Call, message: EndLeg) -> None:
    """A customer's leg is its call."""
    if message.politely:
        call.drain(message.reason)
    else:
        call.end_now(message.reason, EndedBy.CALLER if message.by_peer else EndedBy.SYSTEM)
