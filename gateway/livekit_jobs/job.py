"""One job: a call in a LiveKit room, from joining to its record. This module has what is specific to jobs: who is there
and what for, resuming a call in another process, and callers whom nobody can serve. The call itself belongs to
`gateway.calls`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from agent.persona import CANNED
from agent.worker.job import JobContext, RoomGone
from gateway.calls.call import Call
from gateway.calls.conversation import CallSide
from gateway.calls.journal import Journal
from gateway.calls.recording import RecordingOfCall
from gateway.livekit.caller_watch import REJOINED
from gateway.livekit_jobs.conversation import JobConversation, say_and_end
from gateway.livekit_jobs.job_parts import JobParts
from gateway.livekit_jobs.job_recording import JobRecording, LateRecorder, NoRecording, path_of, record_before
from gateway.livekit_jobs.job_records import refusal_body
from gateway.livekit_jobs.job_steering import SteeredJob
from gateway.livekit_jobs.keeper_link import KeeperLink
from gateway.livekit_jobs.phone_leg import PhoneLeg
from gateway.livekit_jobs.routing import BadMetadata, JobPlan, JobRefusal, plan_of_attributes, plan_of_metadata
from gateway.record import LIVEKIT_WORKER, CallOpened, leg_id_of
from telephony.livekit.events import ParticipantKind, RemoteParticipant
from telephony.livekit.verbs import LEG_ATTRIBUTE, caller_in

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["JobCall", "entrypoint"]

CALLER_LIMIT_S = 30.0  # for the caller to come into the room
BACK_LIMIT_S = 5.0  # the same for a resumed conversation
NOBODY_THERE = "I'm sorry, this number is not in service. Goodbye!"
log = structlog.get_logger(__name__)


async def entrypoint(ctx: JobContext) -> None:
    """What `trunkline worker` runs for each job."""
    structlog.contextvars.bind_contextvars(job=ctx.job.id, room=ctx.job.room.name)
    await JobCall(ctx, ctx.proc.userdata["parts"]).run()


class JobCall:
    def __init__(self, ctx: JobContext, parts: JobParts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._recorder = LateRecorder()
        self._leg: PhoneLeg | None = None  # until somebody is there
        self._call: Call | None = None  # until it is known what for
        self._reason = ""  # why the job ends

    async def run(self) -> None:
        """From joining to leaving. Raises whatever makes the job fail; cancelled when it must end."""
        self._ctx.add_drain_callback(self._drain)
        stored = self._ctx.stored_state
        warming: asyncio.Task[None] | None = None
        try:
            plan = self._plan(stored)
            speech = plan.speech if isinstance(plan, JobPlan) else {}
            warming = asyncio.create_task(self._parts.providers.warm(speech), name="warm providers")
            room = await self._ctx.connect(recorder=self._recorder)
            leg = await self._phone(room, plan, stored)
            if leg is not None:
                await self._serve_or_apologize(room, leg, plan, stored, warming)
        except RoomGone:
            pass
        except Exception as error:
            self._reason = self._reason or f"{type(error).__name__}: {error}"
            raise
        finally:
            if warming is not None:
                warming.cancel()
            await _to_its_end(asyncio.create_task(self._wind_up(), name="wind up"))
            self._ctx.shutdown(self._reason or "nobody came")

    # --- who and what ---------------------------------------------------------------------------------------------

    def _plan(self, stored: Mapping[str, Any] | None) -> JobPlan | BadMetadata | None:
        """None: decided by the caller's attributes."""
        if stored is not None:
            return JobPlan.from_dict(stored["plan"])
        try:
            plan = plan_of_metadata(self._ctx.job.metadata, self._ctx.job.room.metadata)
            return None if plan is None else self._parts.with_known_persona(plan)
        except BadMetadata as error:
            return error  # raised later, when it can be handled

    async def _phone(
        self, room: LiveKitRoom, plan: JobPlan | BadMetadata | None, stored: Mapping[str, Any] | None
    ) -> PhoneLeg | None:
        """The phone, once answered. None: nobody came, or they left, or the job must end."""
        caller = await self._caller(plan, CALLER_LIMIT_S if stored is None else BACK_LIMIT_S)
        if caller is None:
            return None
        answered_at = record_before(stored).get("answered_at")
        leg = self._leg = PhoneLeg(
            room, caller, self._parts.access, self._ctx.send, None if answered_at is None else float(answered_at)
        )
        either: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(leg.answered.wait()),
            asyncio.ensure_future(leg.over.wait()),
            asyncio.ensure_future(asyncio.shield(self._ctx.over)),
        ]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in either:
                each.cancel()
        return leg if leg.answered.is_set() and not leg.over.is_set() else None

    async def _caller(self, plan: JobPlan | BadMetadata | None, limit_s: float) -> RemoteParticipant | None:
        """The phone; in a room without a phone whose metadata says what to do, anybody."""
        try:
            async with asyncio.timeout(limit_s):
                caller = await self._ctx.wait_for_participant()
                if caller.kind is not ParticipantKind.SIP and plan is None:
                    caller = await self._ctx.wait_for_participant(kind=ParticipantKind.SIP)
        except TimeoutError:
            log.warning("nobody_came", waited_s=limit_s)
            return None
        if LEG_ATTRIBUTE in caller.attributes:  # somebody called in, in a room that we have come back into
            return caller_in(self._ctx.room)
        return caller

    async def _serve_or_apologize(
        self,
        room: LiveKitRoom,
        leg: PhoneLeg,
        plan: JobPlan | BadMetadata | None,
        stored: Mapping[str, Any] | None,
        warming: asyncio.Task[None],
    ) -> None:
        if leg.rejoined:
            await self._end_rejoined(room, leg)
            return
        if isinstance(plan, BadMetadata):
            await self._say(room, leg, CANNED["goodbye_error"])
            raise plan
        dialplan = self._parts.dialplan
        decided = plan or plan_of_attributes(
            leg.attributes, self._ctx.job.room.sid, dialplan.decide, datetime.now(UTC), dialplan.region
        )
        if isinstance(decided, JobRefusal):
            await self._refuse(room, leg, decided)
        else:
            await self._talk(room, leg, decided, stored, warming)

    async def _refuse(self, room: LiveKitRoom, leg: PhoneLeg, refusal: JobRefusal) -> None:
        """The caller hears a sentence, and there is a record that says why."""
        log.warning("call_refused", called=refusal.info.called, reason=refusal.reason)
        self._reason = refusal.reason
        began = datetime.now(UTC)
        try:
            await self._say(room, leg, NOBODY_THERE)
        finally:
            self._ctx.send(refusal_body(refusal, began))

    async def _end_rejoined(self, room: LiveKitRoom, leg: PhoneLeg) -> None:
        """LiveKit has dispatched us for it again; its own agent may have come back as well and then keeps it."""
        self._reason = REJOINED
        leg.taken_over = any(who.kind is ParticipantKind.AGENT for who in room.participants)
        log.warning("call_rejoined", has_its_agent=leg.taken_over)
        if not leg.taken_over:
            await self._say(room, leg, CANNED["goodbye_lost"])

    async def _say(self, room: LiveKitRoom, leg: PhoneLeg, sentence: str) -> None:
        saying = asyncio.create_task(say_and_end(room, self._parts.providers, leg, sentence), name="last sentence")
        over = asyncio.create_task(leg.over.wait())
        try:
            await asyncio.wait({saying, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            saying.cancel()
            await asyncio.wait({saying})

    # --- the call -------------------------------------------------------------------------------------------------

    async def _talk(
        self,
        room: LiveKitRoom,
        leg: PhoneLeg,
        plan: JobPlan,
        stored: Mapping[str, Any] | None,
        warming: asyncio.Task[None],
    ) -> None:
        """Raises what made the call fail."""
        leg.adopt(plan.info)
        before = record_before(stored)
        recording = self._kept(plan, before, leg)
        link = KeeperLink(room, leg.keeper, self._drain) if plan.bridged else None

        def conversation(side: CallSide) -> JobConversation:
            made = JobConversation(side, plan, self._parts.providers, room, warming, self._ctx, recording, stored)
            if link is not None:
                made.relay_to(leg.keeper, link)
            return made

        def send(body: Mapping[str, Any]) -> None:
            if not plan.bridged and not leg.taken_over:  # otherwise somebody else records it
                self._ctx.send(body)

        journal = Journal(plan.info.call_id, send, self._loop.time)
        call = self._call = Call(leg, leg_id_of(plan.info.call_id), plan.info, journal, recording, conversation)
        if not plan.bridged:  # else the call worker is told
            SteeredJob(self._ctx, lambda _: call.steered)
        task = asyncio.create_task(call.run(), name="call")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:  # the job must end; the call notices by itself if its leg has left
            if not leg.over.is_set():
                call.end_now("the job was ended")
            raise
        finally:
            await _to_its_end(task)
            if link is not None:
                link.close()
        if call.failure is not None:
            raise call.failure

    def _kept(self, plan: JobPlan, before: Mapping[str, Any], leg: PhoneLeg) -> RecordingOfCall:
        """Record and recording are begun, unless the gateway that bridges the call keeps both."""
        if plan.bridged:
            return NoRecording()
        settings = self._parts.settings
        if before:
            path, answered_at = str(before.get("recording", "")), float(before["answered_at"])
        else:
            self._ctx.send(_opened(plan).to_dict())
            path, answered_at = path_of(settings, plan), self._loop.time()
        return JobRecording(settings, path, self._recorder, answered_at, lambda: leg.taken_over, gone_on=bool(before))

    def _drain(self, reason: str) -> None:
        if self._call is None:
            self._reason = self._reason or reason
            self._ctx.shutdown(reason)
        else:
            self._call.drain(reason)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def _wind_up(self) -> None:
        """Leave no phone alone. Never raises."""
        leg = self._leg
        if leg is not None:
            await leg.hang_up(self._reason)  # no effect after a call, which has ended it
            self._reason = self._reason or (leg.why[1] if leg.why is not None else "")
            await leg.close()


def _opened(plan: JobPlan) -> CallOpened:
    return CallOpened.of(
        plan.info, started_at=datetime.now(UTC), persona=str(plan.persona), rule=plan.rule, worker=LIVEKIT_WORKER
    )


async def _to_its_end(task: asyncio.Task[None]) -> None:
    """Wait for it even if cancelled meanwhile: the room may be closed while the call is being finished."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
