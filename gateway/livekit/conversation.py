"""A conversation in a LiveKit room: the call worker brings the phone in, LiveKit sends an agent, people may join.

Joining with its token creates the room, with metadata and dispatch: one WebSocket, while the phone rings. The
phone is answered when its audio is published; until an agent's audio comes the caller hears it ringing.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from agent import Agent
from agent.factory import persona_class
from agent.leg_ears import LegEars
from agent.pipeline.alarm import Alarm
from agent.pipeline.canned import apology_tone
from agent.privacy import Privacy
from agent.said import ConsultationTold, Heard
from agent.turns.hold import Hold, HoldAction
from agent.words import canned_words
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.conversation import CallSide, ConversationOver, NotTalking
from gateway.calls.greeting import usual_greeting_limit_s
from gateway.calls.pressed_keys import Keys
from gateway.config import LiveKitSettings
from gateway.control import Prepare
from gateway.dialplan import load_persona
from gateway.livekit.agent_commands import AgentCommands
from gateway.livekit.agent_events import EVENT_TOPIC, AgentEvents
from gateway.livekit.agent_requests import AgentRequests
from gateway.livekit.agent_watch import AgentWatch
from gateway.livekit.asking import RoomAnswers
from gateway.livekit.call_room import CallRoom
from gateway.livekit.caller_waits import CallerWaits, announce, nobody_came
from gateway.livekit.canned import CannedSpeech
from gateway.livekit.room_joins import RoomJoins, RoomMaker
from gateway.livekit.room_plan import caller_identity
from gateway.livekit.target_ears import TargetEars
from telephony.call import Direction, EndedBy
from telephony.livekit import events
from telephony.livekit.errors import LiveKitError
from telephony.livekit.places import LegPlace
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.verbs import HANG_UP, HELD, HELD_ATTRIBUTE
from telephony.media.answering.model import AnsweredBy, WhoAnswered
from telephony.rooms.protocol import AudioInput, LegAudio, Participant, Recorder

__all__ = ["LiveKitConversation", "RoomMaker"]

log = structlog.get_logger(__name__)

BREAK_GRACE_S = 1.5  # media continues for the first second of a broken connection, and many are resumed by then
PLAY_OUT_LIMIT_S = 1.0  # from the agent's hang-up: for audio still in transit to the phone
LEFT_GRACE_S = 1.0  # an agent that has left on purpose: time for its last words, or for another one to take over
DRAIN_LIMIT_S = 15.0
LAST_EVENT_LIMIT_S = 1.5  # from the leg's end to the agent's last event


class LiveKitConversation:
    """Implements `Conversation`."""

    def __init__(
        self,
        side: CallSide,
        prepared: Prepare,
        settings: LiveKitSettings,
        canned: CannedSpeech,
        make_room: RoomMaker = LiveKitRoom,
        *,
        max_hold_s: float = 600.0,
        ears: TargetEars | None = None,
    ) -> None:
        """`ears`: for whoever answers a further leg."""
        self._ears = ears
        self._side = side
        self._info = side.info
        self._prepared = prepared
        self._journal = side.journal
        self._settings = settings
        self._canned = canned
        self._make_room = make_room
        self._loop = asyncio.get_running_loop()
        self._persona: type[Agent] | None = None
        self._room: LiveKitRoom | None = None
        self._joins: RoomJoins | None = None
        self._call_room: CallRoom | None = None
        self._answers: RoomAnswers | None = None
        self._agents: AgentWatch | None = None
        self._commands = AgentCommands(lambda: self.joined, self._tell)
        self._begun = False
        self._hold = Hold(max_hold_ms=max_hold_s * 1000)
        self._hold_alarm = Alarm(self._loop, self._hold, self._held_too_long)
        self._changed = asyncio.Event()
        self._over: asyncio.Future[ConversationOver] = self._loop.create_future()
        self._farewell = ""  # the canned sentence that the caller hears before it is over
        self._waits = CallerWaits(
            lambda: self.joined.announcer, lambda: canned.get(self._persona, "one_moment"), self._change
        )
        privacy = Privacy(prepared.session.get("mask_digits", "cards"))
        self._phone = caller_identity(side.info)  # its identity in the room
        self._told = AgentEvents(side.journal, privacy, self._phone, self._is_agent)
        self._to_room = Keys(self._send_key)
        self._to_phone = Keys(side.verbs.send_digits)
        side.digits.flow_to(lambda digit, _: self._to_room.press(digit))  # which keeps them until an agent is there
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def begun(self) -> bool:
        return self._begun

    @property
    def joins_unprepared(self) -> bool:
        return False

    @property
    def greeting_limit_s(self) -> float:
        return usual_greeting_limit_s(self._info.direction)

    @property
    def tokens(self) -> tuple[int, int]:
        return self._told.tokens

    async def prepare(self) -> None:
        """Raises LiveKitError, SecretMissing."""
        maker = load_persona(self._prepared.persona)
        self._persona = persona_class(maker)
        self._joins = RoomJoins(self._info, self._prepared, self._settings, self._make_room)
        room = self._new_room(self._joins)
        self._room = room
        room.subscribe(self._happened)
        self._agents = AgentWatch(room, self._agent_died, self._joins.whose_silence)
        room.serve(HANG_UP, self._asked_to_hang_up)
        self._answers = RoomAnswers(room, self._is_agent, AgentRequests(self._side).handlers)
        if self._info.direction is Direction.OUTBOUND:
            await room.route({room.identity: ()})  # who is there before the answer does not talk into announcements
        await room.join()

    def join(self, recorder: Recorder | None) -> LegAudio:
        room = self.joined
        room.record_to(recorder)
        audio = room.add_leg(room.identity)
        assert self._joins is not None, "prepare comes first"
        place = audio if isinstance(audio, LegPlace) else None
        self._call_room = CallRoom(room, self._phone, place, self._joins.further)
        return audio

    @property
    def room(self) -> CallRoom | None:
        return self._call_room

    async def hold(self) -> ConversationOver:
        self._begun = True
        room = self.joined
        await room.route({room.identity: None})
        self._spawn(self._say_status("active"))
        if self._persona is not None:
            self._spawn(self._canned.make(self._persona))  # not while it rings: 100 ms of CPU, once
        while not self._over.done():
            if self._talking:
                self._waits.talk()
                self._to_room.flow()
                await self._change()
            elif not room.live:
                await self._resumed_or_lost()
            elif not await self._somebody_comes():
                self._nobody()
        over = self._over.result()
        if self._farewell:
            await self._say(self._farewell)
        return over

    @property
    def _talking(self) -> bool:
        return self.joined.live and bool(self._speakers)

    @property
    def _speakers(self) -> frozenset[str]:
        """Who speaks to the phone."""
        return self.joined.speaking_tracks - {self._phone}

    async def apologize(self) -> None:
        """An answered caller is already in the room and hears its farewell there."""

    def on_hold(self, held: bool) -> None:
        """Our agents pause because of the attribute; the limit is also enforced here, for agents that don't."""
        now = self._loop.time()
        if self._room is not None and (self._hold.held(now) if held else self._hold.resumed(now)):
            self._hold_alarm.set()
            self._room.mute(held)
            self._spawn(self._tell({HELD_ATTRIBUTE: HELD if held else ""}))

    def _held_too_long(self, _: tuple[HoldAction, ...]) -> None:
        self._end(ConversationOver(EndedBy.AGENT, "held_too_long"))

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        if not self._begun:
            raise NotTalking("The conversation has not begun yet.")
        await self._commands.say(text, allow_interruptions=allow_interruptions)

    async def collect(self, order: CollectOrder) -> Collected:
        if not self._begun:
            raise NotTalking("The conversation has not begun yet.")
        return await self._commands.collect(order)

    async def drain(self, reason: str) -> None:
        """The agent says goodbye if it supports the request; otherwise a canned sentence is played."""
        if await self._commands.drain(reason):
            await asyncio.wait({self._over}, timeout=DRAIN_LIMIT_S)
        self._end(ConversationOver(EndedBy.AGENT, "drained"), farewell="goodbye_drain")

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        return "", ""  # the session is another process's

    async def finish_speaking(self, announce: str, limit_s: float) -> None:
        await self._commands.finish_speaking(announce, limit_s)

    @property
    def speaks_apart(self) -> bool:
        return self._told.from_ours  # our jobs make words for us; others' agents do not

    @property
    def consults(self) -> bool:
        return False  # the agent is another process's

    async def voiced(self, text: str) -> bytes:
        return await self._commands.voiced(text) or apology_tone()

    def canned(self, key: str) -> str:
        persona = self._persona
        return "" if persona is None else canned_words(key, persona.canned, persona.language)

    @property
    def can_screen(self) -> bool:
        return self._ears is not None and self._ears.hears

    async def prepare_screening(self) -> None:
        if self._ears is not None:
            await self._ears.load()

    def screen(self, hears: AudioInput, who: WhoAnswered, told: Callable[[AnsweredBy], None]) -> LegEars | None:
        return None if self._ears is None else self._ears.screen(hears, who, told)

    def listen(self, hears: AudioInput, told: Callable[[Heard], None]) -> None:
        return None

    def consult(self, place: Participant, briefed: str, told: ConsultationTold) -> None:
        return None

    async def hand_over(self, file: str, persona: str) -> bool:
        return False  # the agent is another program's

    def note(self, text: str) -> None:
        """The agent is another process's, which has its own record."""

    async def briefing(self) -> str:
        return await self._commands.briefing()

    def set_aside(self) -> None:
        self._commands.set_aside()

    def mute_caller(self, muted: bool) -> None:
        self._commands.mute_caller(muted)

    def take_back(self, *, words: str = "", note: str = "") -> None:
        self._commands.take_back(words, note)

    def leg_ended(self) -> None:
        self._end(ConversationOver(None))

    async def stop(self) -> None:
        """The leg is gone: tell the agent, and let it send its last events for the record."""
        self._end(ConversationOver(EndedBy.SYSTEM, "error"))
        if self._room is None or not self._room.live:
            return
        await self._say_status("hangup")
        await self._told.last(LAST_EVENT_LIMIT_S)

    async def close(self) -> None:
        self._told.close()
        self._hold_alarm.cancel()
        for task in (*self._tasks, *self._to_room.close(), *self._to_phone.close()):
            task.cancel()
        for part in (self._agents, self._answers, self._commands):
            if part is not None:
                part.close()
        if self._call_room is not None:
            await self._call_room.close()
        if self._room is not None:
            await self._room.close()
        if self._joins is not None:
            await self._joins.close()

    # --- waiting for an agent ------------------------------------------------------------------------------------

    async def _somebody_comes(self) -> bool:
        """Whether an agent joined, or the call ended, in time."""
        limit_s = self._settings.agent_return_s if self._waits.met else self._settings.agent_timeout_s
        return await self._waits.for_somebody(
            lambda: self._talking or not self.joined.live or self._over.done(), limit_s
        )

    async def _resumed_or_lost(self) -> None:
        """The connection broke: the room says in time which of the two it is."""
        await self._waits.until(lambda: self.joined.live or self._over.done(), BREAK_GRACE_S, math.inf)

    def _nobody(self) -> None:
        self._apologize(nobody_came(self._settings, met=self._waits.met))

    def _agent_died(self, identity: str) -> None:
        """Its worker had time to bring it back."""
        if not self._over.done() and not self._speakers - {identity}:
            self._apologize("agent_lost: the agent's process no longer answers")

    def _apologize(self, text: str) -> None:
        kind, _, detail = text.partition(": ")
        self._journal.alarm(kind, detail, self._loop.time())
        log.error("no_agent", reason=text)
        # The shorter one if the caller has already waited: 10 s after a loss the call is over and its record written.
        self._end(
            ConversationOver(EndedBy.SYSTEM, text), farewell="goodbye_lost" if self._waits.met else "goodbye_error"
        )

    async def _change(self, limit_s: float | None = None) -> bool:
        """Wait until something happens; whether it did within the limit."""
        try:
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    # --- what happens in the room --------------------------------------------------------------------------------

    def _happened(self, event: events.LiveKitEvent) -> None:
        match event:
            case events.DataReceived(topic=topic) if topic == EVENT_TOPIC:
                self._told.data(event)
                return
            case events.TranscriptionReceived():
                self._told.transcription(event)
                return
            case events.DtmfReceived(digit=digit):
                self._to_phone.press(digit)
                self._to_phone.flow()
                return
            case events.ParticipantLeft(participant=who, reason=reason) if who.kind is events.ParticipantKind.AGENT:
                if reason == "client_initiated":
                    self._loop.call_later(LEFT_GRACE_S, self._agent_has_left)
            case events.RoomMoved(room=name):
                if self._joins is not None:
                    self._joins.room_name = name  # to rejoin there if necessary
            case events.Reconnecting():
                self._journal.alarm("livekit_reconnecting", "the connection to LiveKit broke", event.at)
            case events.Reconnected(rejoined=True):
                self._spawn(self._say_status("active"))
            case events.RoomClosed(reason=reason):
                by = EndedBy.SYSTEM if reason == "duplicate_identity" else EndedBy.AGENT
                self._end(ConversationOver(by, reason))
            case events.RoomLost(reason=reason):
                text = f"livekit_lost: {reason}"
                self._journal.alarm("livekit_lost", reason, event.at)
                self._end(ConversationOver(EndedBy.SYSTEM, text), farewell="goodbye_lost")
        self._changed.set()

    def _agent_has_left(self) -> None:
        """The agent left on purpose without deleting the room: without anyone else to talk to, that is the end."""
        room = self._room
        if room is None or not room.live:
            return
        # News of a track may come after its speaker has left.
        if not any(
            who.kind is events.ParticipantKind.AGENT or who.identity in self._speakers for who in room.participants
        ):
            self._end(ConversationOver(EndedBy.AGENT, "agent_left"))

    def _is_agent(self, identity: str | None) -> bool:
        participants = self.joined.participants
        return any(who.identity == identity and who.kind is events.ParticipantKind.AGENT for who in participants)

    async def _asked_to_hang_up(self, identity: str, payload: str) -> str:
        """RPC. Answered when the last word has left for the phone and the BYE is about to follow."""
        if not self._is_agent(identity):
            raise LiveKitError("only agents hang up calls")
        try:
            reason = str(json.loads(payload or "{}").get("reason") or "hung up")
        except (ValueError, AttributeError) as error:
            raise LiveKitError(f"the payload is not a JSON object: {error}") from error
        await self.joined.played_out(PLAY_OUT_LIMIT_S)
        self._end(ConversationOver(EndedBy.SYSTEM if reason == "error" else EndedBy.AGENT, reason))
        return "{}"

    # --- doing ---------------------------------------------------------------------------------------------------

    def _end(self, over: ConversationOver, *, farewell: str = "") -> None:
        """The first end is the end."""
        if not self._over.done():
            self._farewell = farewell
            self._over.set_result(over)
            self._changed.set()
            if not self._begun and self._info.direction is Direction.OUTBOUND:
                self._spawn(self._stop_ringing(over))

    async def _stop_ringing(self, over: ConversationOver) -> None:
        """A call that we place has nobody to be answered for any more."""
        if over.by is not None:
            self._side.hangs_up(over.by, over.reason)
            await self._side.verbs.hang_up(over.reason)

    async def _say(self, key: str) -> None:
        announcer = self.joined.announcer
        if announcer is None or self._hold.state != "talking":
            return
        announcer.clear()
        length_s = announce(announcer, self._canned.get(self._persona, key))
        try:
            async with asyncio.timeout(length_s + 1.0):  # the phone may have gone
                await announcer.drained()
        except TimeoutError:
            announcer.clear()

    async def _send_key(self, digit: str) -> None:
        await self.joined.send_digits(digit)

    async def _say_status(self, status: str) -> None:
        await self._tell({"sip.callStatus": status})

    async def _tell(self, attributes: dict[str, str]) -> None:
        try:
            await self.joined.set_attributes(attributes)
        except LiveKitError as error:
            log.info("status_not_told", error=str(error))

    def _new_room(self, joins: RoomJoins) -> LiveKitRoom:
        """We are the phone there."""
        return joins.as_phone(lambda: "active" if self._begun else "ringing")

    @property
    def joined(self) -> LiveKitRoom:
        """The room."""
        assert self._room is not None, "prepare comes first"
        return self._room

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
