"""A job's conversation: a session in the job's room, new or resumed, and announcements without one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from agent import Agent, AgentSession
from agent.factory import Cast
from agent.persona import CANNED
from agent.providers.base import ChatMessage
from agent.worker.job import JobContext
from agent.worker.resumption import keep_stored, restore_userdata, restored_agent, restored_history
from gateway.calls.conversation import CallSide
from gateway.calls.providers import ProviderSet
from gateway.calls.recording import RecordingOfCall
from gateway.calls.session import AGENT, SessionConversation, SessionPlan
from gateway.livekit_jobs.event_relay import EventRelay
from gateway.livekit_jobs.job_recording import JobRecording, record_before
from gateway.livekit_jobs.keeper_link import KeeperLink
from gateway.livekit_jobs.routing import JobPlan
from telephony.call import CallVerbs
from telephony.media.frames import SILENCE
from telephony.rooms.protocol import LegAudio, Participant, Recorder

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["JobConversation", "say_and_end"]

SENTENCE_LIMIT_S = 12.0
log = structlog.get_logger(__name__)


class JobConversation(SessionConversation):
    def __init__(
        self,
        side: CallSide,
        plan: JobPlan,
        providers: ProviderSet,
        room: LiveKitRoom,
        warming: asyncio.Task[None],
        ctx: JobContext,
        recording: RecordingOfCall,
        stored: Mapping[str, Any] | None,
    ) -> None:
        """`warming`: providers that the plan's metadata names, begun while the room was joined. `stored`: of a process
        that was lost. Events of a bridged call go to the call worker that bridges it."""
        super().__init__(side, SessionPlan(plan.persona, plan.speech, plan.session, plan.answering), providers)
        self._job_plan = plan
        self._job_room = room
        self._warming = warming
        self._ctx = ctx
        self._recording = recording
        self._stored = stored
        self._before = _tokens(record_before(stored))
        self._history: Sequence[ChatMessage] | None = None
        self._relay: EventRelay | None = None
        self._link: KeeperLink | None = None

    def relay_to(self, identity: str, link: KeeperLink) -> None:
        """Before `hold`: this participant keeps the record, and has what the agent asks for done."""
        link.use(self)
        self._link = link
        self._side = replace(self._side, dial=link.verbs.dial, transfer=link.verbs.transfer)
        self._relay = EventRelay(self._job_room, identity, lambda: self.tokens)
        self._on_event = self._relay.event

    @property
    def tokens(self) -> tuple[int, int]:
        prompt, completion = super().tokens
        return self._before[0] + prompt, self._before[1] + completion

    def _cast(self, cast: Cast, session: AgentSession) -> None:
        super()._cast(cast, session)
        stored = self._stored
        if stored is not None and "history" in stored:
            self._persona, self._history = restored_agent(stored, cast.agent), restored_history(stored)
            restore_userdata(stored, session.userdata)
            if stored.get("recording_paused"):
                session.pause_recording()
            log.warning("conversation_resumed", messages=len(self._history), persona=self._persona.name)
        keep_stored(session, self._store)

    def _store(self, snapshot: Mapping[str, Any]) -> None:
        """For a process that may have to take over."""
        kept, record = self._recording, None
        if isinstance(kept, JobRecording):
            record = {"answered_at": kept.answered_at, "recording": kept.path, "tokens": self.tokens}
        self._ctx.store_state({"plan": self._job_plan.to_dict(), "record": record, **snapshot})

    async def _warm(self) -> None:
        await self._warming
        await super()._warm()  # what only the dialplan's answer has named

    def join(self, recorder: Recorder | None) -> LegAudio:
        return _Elsewhere()

    def _place(self) -> Participant:
        if self._link is not None:
            asyncio.get_running_loop().call_soon(self._link.apply)
        return self._job_room.add_agent(AGENT)

    def _resumed(self) -> Sequence[ChatMessage] | None:
        return self._history

    async def close(self) -> None:
        if self._relay is not None:
            await self._relay.close()

    async def apologize(self) -> None:
        await say_and_end(self._job_room, self._providers, self._side.verbs, CANNED["goodbye_error"])


def _tokens(before: Mapping[str, Any]) -> tuple[int, int]:
    prompt, completion = before.get("tokens", (0, 0))
    return int(prompt), int(completion)


class _Elsewhere:
    """Implements `LegAudio`: whoever brought the phone into the room carries its audio."""

    def push(self, pcm: bytes, at: float) -> None:
        return None

    def pull(self, at: float) -> bytes:
        return SILENCE


class _NobodyThere(Agent):
    """Says one given sentence."""


async def say_and_end(room: LiveKitRoom, providers: ProviderSet, verbs: CallVerbs, sentence: str) -> None:
    """For a caller that no persona can answer. Raises only CancelledError."""
    try:
        session = providers.session({}, {})
        starting = asyncio.create_task(session.start(agent=_NobodyThere(), room=room.add_agent(AGENT), call=verbs))
        await asyncio.sleep(0)  # it has begun
        ending = asyncio.create_task(session.drain(sentence))
        try:
            await asyncio.wait({ending}, timeout=SENTENCE_LIMIT_S)
        finally:
            await session.aclose("leg_ended")  # no effect when it has ended
            for task in (ending, starting):
                task.cancel()
            await asyncio.gather(ending, starting, return_exceptions=True)
    except Exception as error:  # noqa: BLE001 - then the call ends without an announcement
        log.error("sentence_not_said", error=repr(error))
