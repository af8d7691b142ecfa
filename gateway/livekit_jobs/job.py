"""One job: a call in a LiveKit room, from joining to its record. The one owner of the call's end on this side.

Whatever comes first (the caller goes, the agent says goodbye, the room is closed, the worker drains), the rest is ended
from here, once. When the process is lost, another one runs the same job with what was stored last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from agent import Agent, AgentSession
from agent.events import SessionClosed, SessionEvent
from agent.persona import CANNED
from agent.providers.base import ProviderError
from agent.worker.job import JobContext, RoomGone
from agent.worker.resumption import keep_stored, restore_userdata, restored_agent, restored_history
from gateway.dialplan import load_persona
from gateway.livekit_jobs.caller import REJOINED, CallerWatch
from gateway.livekit_jobs.event_relay import EventRelay
from gateway.livekit_jobs.job_records import LEFT_ALONE, refusal_body
from gateway.livekit_jobs.parts import JobParts
from gateway.livekit_jobs.record_keeping import RecordKeeping
from gateway.livekit_jobs.recording import LateRecorder
from gateway.livekit_jobs.routing import BadMetadata, JobPlan, JobRefusal, plan_of_attributes, plan_of_metadata
from telephony.call import CallInfo, Direction, EndedBy
from telephony.errors import TelephonyMisuse
from telephony.livekit.api import LiveKitApi, whose_silence
from telephony.livekit.errors import LiveKitError
from telephony.livekit.events import (
    DtmfReceived,
    LiveKitEvent,
    ParticipantKind,
    RemoteParticipant,
    RoomClosed,
    RoomLost,
)
from telephony.livekit.verbs import CALL_ATTRIBUTE, DRAIN, LiveKitCallVerbs

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["JobCall", "entrypoint"]

CALLER_LIMIT_S = 30.0  # for the caller to come into the room
BACK_LIMIT_S = 5.0  # for the same, when the conversation is gone on with
WARM_LIMIT_S = 2.0
SESSION_LIMIT_S = 12.0  # for the session to close: a persona's `on_exit` may take 10 s
HANG_UP_LIMIT_S = 5.0
NOBODY_THERE = "I'm sorry, this number is not in service. Goodbye!"
log = structlog.get_logger(__name__)


async def entrypoint(ctx: JobContext) -> None:
    """What `trunkline worker` runs for each job."""
    structlog.contextvars.bind_contextvars(job=ctx.job.id, room=ctx.job.room.name)
    await JobCall(ctx, ctx.proc.userdata["parts"]).run()


class _NobodyThere(Agent):
    """Says one sentence, which it is given."""


class JobCall:
    def __init__(self, ctx: JobContext, parts: JobParts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._recorder = LateRecorder()
        self._keeping: RecordKeeping | None = None  # None: the gateway that bridges the call writes its record
        self._relay: EventRelay | None = None
        self._api: LiveKitApi | None = None
        self._session: AgentSession | None = None
        self._caller: RemoteParticipant | None = None
        self._early_digits: list[tuple[str, float]] | None = []  # None: the session takes them itself
        self._answered = asyncio.Event()
        self._cause: tuple[EndedBy, str] | None = None
        self._taken_over = False
        self._lost = False  # our connection to the room
        self._goodbye: asyncio.Task[None] | None = None
        self._watch: CallerWatch | None = None
        self._on_hold = False

    async def run(self) -> None:
        """From joining to leaving. Raises what makes the job fail; is cancelled when it is to end."""
        self._ctx.add_drain_callback(self._drain)
        stored = self._ctx.stored_state
        warming: asyncio.Task[None] | None = None
        try:
            plan = self._plan(stored)
            speech = plan.speech if isinstance(plan, JobPlan) else {}
            warming = asyncio.create_task(self._parts.providers.warm(speech), name="warm providers")
            room = await self._ctx.connect(recorder=self._recorder)
            room.subscribe(self._room_event)
            self._caller = await self._await_caller(room, plan, CALLER_LIMIT_S if stored is None else BACK_LIMIT_S)
            if self._caller is not None:
                await self._serve_or_apologize(room, self._caller, plan, stored, warming)
        except RoomGone:
            pass
        except Exception as error:
            self._because(EndedBy.SYSTEM, f"{type(error).__name__}: {error}")
            raise
        finally:
            if warming is not None:
                warming.cancel()
            await _to_its_end(asyncio.create_task(self._wind_up(), name="wind up"))
            self._ctx.shutdown(self._cause[1] if self._cause else "nobody came")

    # --- who and what ---------------------------------------------------------------------------------------------

    def _plan(self, stored: Mapping[str, Any] | None) -> JobPlan | BadMetadata | None:
        """None: the caller's attributes will tell."""
        if stored is not None:
            return JobPlan.from_dict(stored["plan"])
        try:
            plan = plan_of_metadata(self._ctx.job.metadata, self._ctx.job.room.metadata)
            return None if plan is None else self._parts.with_known_persona(plan)
        except BadMetadata as error:
            return error  # raised when somebody is there to hear of it

    async def _await_caller(
        self, room: LiveKitRoom, plan: JobPlan | BadMetadata | None, limit_s: float
    ) -> RemoteParticipant | None:
        """The phone; in a room that no phone comes into, but whose metadata says what to do, anybody."""
        try:
            async with asyncio.timeout(limit_s):
                caller = await self._ctx.wait_for_participant()
                if caller.kind is not ParticipantKind.SIP and plan is None:
                    caller = await self._ctx.wait_for_participant(kind=ParticipantKind.SIP)
        except TimeoutError:
            log.warning("nobody_came", waited_s=limit_s)
            return None
        self._caller = caller
        whose = partial(whose_silence, self._parts.access)
        self._watch = CallerWatch(room, caller, self._answered.set, self._caller_gone, whose, self._caller_holds)
        either: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._answered.wait()),
            asyncio.ensure_future(asyncio.shield(self._ctx.over)),
        ]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in either:
                each.cancel()
        return caller if self._answered.is_set() and self._cause is None else None

    async def _serve_or_apologize(
        self,
        room: LiveKitRoom,
        caller: RemoteParticipant,
        plan: JobPlan | BadMetadata | None,
        stored: Mapping[str, Any] | None,
        warming: asyncio.Task[None],
    ) -> None:
        try:
            if self._watch is not None and self._watch.rejoined:
                await self._end_rejoined(room)
                return
            if isinstance(plan, BadMetadata):
                raise plan
            await self._serve(room, caller, plan, stored, warming)
        except Exception as error:
            self._because(EndedBy.SYSTEM, f"{type(error).__name__}: {error}")
            if self._session is None and not isinstance(error, RoomGone):
                await self._say_and_end(room, CANNED["goodbye_error"])
            raise

    async def _serve(
        self,
        room: LiveKitRoom,
        caller: RemoteParticipant,
        plan: JobPlan | None,
        stored: Mapping[str, Any] | None,
        warming: asyncio.Task[None],
    ) -> None:
        dialplan = self._parts.dialplan
        decided = plan or plan_of_attributes(
            caller.attributes, self._ctx.job.room.sid, dialplan.decide, datetime.now(UTC), dialplan.region
        )
        if isinstance(decided, JobRefusal):
            await self._refuse(room, decided)
            return
        await self._warmed(warming, decided)
        if not decided.bridged:  # ahead of what may fail: there is a record of that, too
            self._keeping = RecordKeeping(self._ctx, self._parts.settings, decided, self._recorder, stored)
        cast = await self._parts.providers.cast(load_persona(decided.persona), decided.info)
        session = self._parts.providers.session(decided.speech, decided.session, cast.userdata)
        if self._keeping is not None:
            session.subscribe(self._keeping.event)
        else:
            self._relay = EventRelay(room, caller.identity, lambda: session.tokens)
            session.subscribe(self._relay.event)
            room.serve(DRAIN, self._asked_to_drain)
        await self._converse(room, session, cast.agent, decided, stored)

    async def _warmed(self, warming: asyncio.Task[None], plan: JobPlan) -> None:
        try:
            async with asyncio.timeout(WARM_LIMIT_S):
                await warming
                await self._parts.providers.warm(plan.speech)  # what only the dialplan's answer has named
        except (ProviderError, TimeoutError) as error:
            # The session has its own answer to a provider that stays away: the caller is not refused for it.
            log.warning("provider_not_warm", error=str(error))

    # --- the conversation -----------------------------------------------------------------------------------------

    async def _converse(
        self,
        room: LiveKitRoom,
        session: AgentSession,
        persona: Agent,
        plan: JobPlan,
        stored: Mapping[str, Any] | None,
    ) -> None:
        history = None
        if stored is not None and "history" in stored:
            persona, history = restored_agent(stored, persona), restored_history(stored)
            restore_userdata(stored, session.userdata)
            if stored.get("recording_paused"):
                session.pause_recording()
            log.warning("conversation_resumed", messages=len(history), persona=persona.name)
        keep_stored(session, lambda snapshot: self._store(plan, session, snapshot))
        self._session_closed(
            await self._hold(room, session, persona, plan.info, history),
        )

    def _store(self, plan: JobPlan, session: AgentSession, snapshot: Mapping[str, Any]) -> None:
        record = self._keeping.to_dict(session.tokens) if self._keeping is not None else None
        self._ctx.store_state({"plan": plan.to_dict(), "record": record, **snapshot})

    async def _hold(
        self, room: LiveKitRoom, session: AgentSession, persona: Agent, info: CallInfo, history: Any
    ) -> SessionClosed:
        """The session from its start to its last event."""
        closed: asyncio.Future[SessionClosed] = self._loop.create_future()

        def note(event: SessionEvent) -> None:
            if isinstance(event, SessionClosed) and not closed.done():
                closed.set_result(event)

        session.subscribe(note)
        self._session = session
        if self._on_hold:
            session.on_hold(self._loop.time())
        # Keys that were pressed before: handed over once the session has begun, before its persona waits for any.
        self._loop.call_soon(self._hand_over_digits)
        place = room.add_agent("agent")
        starting = asyncio.create_task(
            session.start(agent=persona, room=place, call=self._verbs(room, info), resumed=history),
            name="session start",
        )
        either: list[asyncio.Future[Any]] = [starting, closed]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting  # raises what it raised
            return await closed
        finally:
            starting.cancel()

    def _verbs(self, room: LiveKitRoom, info: CallInfo) -> LiveKitCallVerbs:
        if self._api is None:
            self._api = LiveKitApi(self._parts.access)
        return LiveKitCallVerbs(room, info, self._api)

    async def _refuse(self, room: LiveKitRoom, refusal: JobRefusal) -> None:
        """The caller hears a sentence, and there is a record that says why."""
        log.warning("call_refused", called=refusal.info.called, reason=refusal.reason)
        self._because(EndedBy.SYSTEM, refusal.reason)
        began = datetime.now(UTC)
        try:
            await self._say_and_end(room, NOBODY_THERE)
        finally:
            self._ctx.send(refusal_body(refusal, began))

    async def _end_rejoined(self, room: LiveKitRoom) -> None:
        """LiveKit has dispatched us for it anew; its own agent may have come back as well, and then has it."""
        self._because(EndedBy.SYSTEM, REJOINED)
        self._taken_over = any(who.kind is ParticipantKind.AGENT for who in room.participants)
        log.warning("call_rejoined", has_its_agent=self._taken_over)
        if not self._taken_over:
            await self._say_and_end(room, CANNED["goodbye_lost"])

    async def _say_and_end(self, room: LiveKitRoom, sentence: str) -> None:
        """For a caller whom no persona can take. Raises nothing but CancelledError."""
        try:
            session = self._parts.providers.session({}, {})
            info = CallInfo("", Direction.INBOUND, "", None, "")
            holding = asyncio.create_task(self._hold(room, session, _NobodyThere(), info, None))
            await asyncio.sleep(0)  # it has begun
            ending = asyncio.create_task(session.drain(sentence))
            await asyncio.wait({ending, holding}, timeout=SESSION_LIMIT_S)
            for task in (ending, holding):
                task.cancel()
            await asyncio.gather(ending, holding, return_exceptions=True)
        except Exception as error:  # noqa: BLE001 - then the call ends without a word
            log.error("sentence_not_said", error=repr(error))

    def _drain(self, reason: str) -> None:
        if self._session is None:
            self._because(EndedBy.AGENT, reason)
            self._ctx.shutdown(reason)
        elif self._goodbye is None:
            self._goodbye = asyncio.create_task(self._session.drain(), name="goodbye")

    async def _asked_to_drain(self, identity: str, payload: str) -> str:
        """RPC of the call worker, whose gateway shuts down. Anyone else in the room is refused."""
        if self._caller is None or identity != self._caller.identity:
            raise TelephonyMisuse(f"{identity} may not end the call")
        self._drain("the gateway is shutting down")
        return ""

    # --- what happens in the room -----------------------------------------------------------------------------------

    def _room_event(self, event: LiveKitEvent) -> None:
        match event:
            case DtmfReceived(digit=digit, at=at):
                if self._early_digits is not None:
                    self._early_digits.append((digit, at))
                elif self._session is not None:
                    self._session.on_digit(digit, at)
            case RoomClosed(reason=reason):
                self._taken_over = reason == "duplicate_identity"
                self._because(EndedBy.SYSTEM, reason)
            case RoomLost(reason=reason):
                self._lost = True
                self._because(EndedBy.SYSTEM, f"livekit_lost: {reason}")

    def _caller_gone(self, reason: str, by: EndedBy) -> None:
        self._because(by, reason)
        if self._session is not None:
            self._session.leg_ended()  # no effect when it is ending by itself
        else:
            self._ctx.shutdown(reason)

    def _caller_holds(self, held: bool) -> None:
        self._on_hold = held
        if self._session is not None:
            now = self._loop.time()
            self._session.on_hold(now) if held else self._session.on_resume(now)

    def _hand_over_digits(self) -> None:
        early, self._early_digits = self._early_digits or [], None
        for digit, at in early:
            if self._session is not None:
                self._session.on_digit(digit, at)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _session_closed(self, closed: SessionClosed) -> None:
        if closed.reason != "leg_ended":
            self._cause = (EndedBy.SYSTEM if closed.reason == "error" else EndedBy.AGENT, closed.reason)

    def _because(self, by: EndedBy, reason: str) -> None:
        """The first cause is the cause."""
        if self._cause is None:
            self._cause = (by, reason)

    async def _wind_up(self) -> None:
        """The session ends, then the call, then its record. Never raises."""
        if self._goodbye is not None:
            self._goodbye.cancel()
        if self._watch is not None:
            self._watch.close()
        session = self._session
        if session is not None:
            try:
                async with asyncio.timeout(SESSION_LIMIT_S):
                    await session.aclose("leg_ended" if self._cause and self._cause[0] is EndedBy.CALLER else "error")
            except Exception as error:  # noqa: BLE001 - the record has to be closed all the same
                log.error("session_not_closed", error=repr(error))
        await self._hang_up()
        if self._relay is not None:
            await self._relay.close()
        if self._keeping is not None and not self._taken_over:
            await self._keeping.close(self._cause, session.tokens if session is not None else (0, 0))
        if self._api is not None:
            await self._api.close()

    async def _hang_up(self) -> None:
        """No phone is left with nobody; unless another process has taken the call over."""
        caller = self._caller
        if caller is None or self._taken_over or caller.kind is not ParticipantKind.SIP:
            return
        room = self._ctx.room
        if self._lost and CALL_ATTRIBUTE not in caller.attributes:
            self._ctx.send(LEFT_ALONE)
        if caller.identity not in {who.identity for who in room.participants} or not room.live:
            return
        try:
            async with asyncio.timeout(HANG_UP_LIMIT_S):
                info = CallInfo("", Direction.INBOUND, "", None, "")
                await self._verbs(room, info).hang_up(self._cause[1] if self._cause else "")
        except (LiveKitError, TimeoutError) as error:
            log.error("not_hung_up", error=str(error))
            self._ctx.send(LEFT_ALONE)


async def _to_its_end(task: asyncio.Task[None]) -> None:
    """Wait for it, also when this is cancelled meanwhile: the room may be closed while its call is wound up."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
