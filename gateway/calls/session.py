"""A conversation with a session of this process, in a local room or in another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from agent import Agent, AgentSession
from agent.answering import Answering
from agent.call_summary import briefing, call_summary
from agent.consultation import Consultation, consult
from agent.events import SessionClosed, SessionEvent
from agent.factory import Cast
from agent.providers.base import ChatMessage, ProviderError
from agent.said import ConsultationTold, Heard
from gateway.calls.answering import answering_for
from gateway.calls.collect_here import collect
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.conversation import CallSide, Closes, ConversationOver, NotTalking, Screening
from gateway.calls.greeting import greeting_limit_s
from gateway.calls.providers import ProviderSet
from gateway.calls.verbs import DigitsOrder, TransferOrder, new_transfer_id
from gateway.dialplan import PersonaRef, load_persona
from gateway.flows import PersonaStep
from gateway.flows.persona import FlowPersona
from gateway.record import TransferKind
from telephony.call import (
    AfterTransfer,
    CallInfo,
    DialledLeg,
    DigitSource,
    Direction,
    EndedBy,
    TransferResult,
    UseRefer,
    Warm,
)
from telephony.media.answering.model import AnsweredBy, WhoAnswered
from telephony.media.wav import BadWavFile
from telephony.queue import QueueAsk, queue_name
from telephony.rooms.local import LocalRoom
from telephony.rooms.protocol import AudioInput, LegAudio, Participant, Recorder, Room

__all__ = ["LocalConversation", "SessionConversation", "SessionPlan", "ended_by"]

log = structlog.get_logger(__name__)

WARM_LIMIT_S = 2.0  # the phone rings on while providers are warmed, but not for longer than this
LENGTH_MARGIN_S = 60.0  # beyond the session's own cap, the reaper ends the call
CUSTOMER, AGENT = "caller", "agent"  # identities in the room


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """Persona and options: `session` and `speech` are a route's overrides of the settings. `answering`: as in
    `Prepare`."""

    persona: PersonaRef
    speech: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    answering: Mapping[str, Any] | None = None


def ended_by(reason: str) -> EndedBy:
    """Who ended the session, from its reason."""
    return EndedBy.SYSTEM if reason == "error" else EndedBy.AGENT


class SessionConversation:
    """Implements `Conversation` except for the room: subclasses have `join` and `_place`."""

    def __init__(
        self,
        side: CallSide,
        plan: SessionPlan,
        providers: ProviderSet,
        on_event: Callable[[SessionEvent], None] | None = None,
    ) -> None:
        """`on_event` None: the session's events go into the journal."""
        self._side = side
        self._plan = plan
        self._providers = providers
        self._on_event = on_event or side.journal.event
        self._persona: Agent | None = None
        self._made: AgentSession | None = None
        self._session: AgentSession | None = None  # once it has begun
        self._consulted: list[Consultation] = []  # by humans who were to take the caller over
        self._aside = self._muted = False
        self._answering: Answering | None = None  # None: whoever answers is talked to at once
        self._ahead: asyncio.Task[None] | None = None  # makes what is said to whoever answers

    @property
    def begun(self) -> bool:
        return self._session is not None

    @property
    def joins_unprepared(self) -> bool:
        return False

    @property
    def greeting_limit_s(self) -> float:
        session, persona = self._made, self._persona
        assert session is not None and persona is not None, "prepare comes first"
        if self._answering is not None:
            return 0.0  # it is listened to from the answer on
        return greeting_limit_s(persona, session.options, self._side.info.direction)

    @property
    def tokens(self) -> tuple[int, int]:
        of_all = [] if self._session is None else [self._session.tokens, *(each.tokens for each in self._consulted)]
        return sum(prompts for prompts, _ in of_all), sum(completions for _, completions in of_all)

    async def prepare(self) -> None:
        """Raises BadAnswering, BadFactory, FactoryFailed, and exceptions of a persona's class."""
        cast = await self._providers.cast(load_persona(self._plan.persona), self._side.info)
        self._cast(cast, self._providers.session(self._plan.speech, self._plan.session, cast.userdata))
        if isinstance(self._persona, FlowPersona):
            self._persona.meet(self._cast_step)
        self._answering = self._asked(cast.agent)
        try:
            async with asyncio.timeout(WARM_LIMIT_S):
                await self._warm()
        except (ProviderError, TimeoutError) as error:
            # The session handles a missing provider itself: no reason to refuse the caller.
            log.warning("provider_not_warm", error=str(error))
        if self._answering is not None:
            self._ahead = asyncio.create_task(self._speak_ahead(self._answering), name="speech ahead")

    async def _cast_step(self, step: PersonaStep, info: CallInfo) -> Cast:
        """Raises BadFactory, FactoryFailed, and exceptions of a persona's class."""
        return await self._providers.cast(load_persona(PersonaRef(Path(step.file), step.name, step.where)), info)

    def _asked(self, persona: Agent) -> Answering | None:
        """What to do about whoever answers, if that is asked. Raises BadAnswering."""
        if self._side.info.direction is not Direction.OUTBOUND or self._resumed() is not None:
            return None
        answering = answering_for(self._plan.answering, persona.answering, self._providers.answering)
        return None if answering is None else answering.filled(self._side.info.variables)

    async def _speak_ahead(self, answering: Answering) -> None:
        """While it rings. What fails here is tried again, and reported, when it is to be said."""
        session, persona = self._made, self._persona
        assert session is not None and persona is not None, "prepare comes first"
        try:
            await session.prepare(agent=persona, answering=answering)
        except (ProviderError, OSError, BadWavFile) as error:
            log.warning("not_spoken_ahead", error=str(error))
        except Exception as error:
            log.error("not_spoken_ahead", error=repr(error), exc_info=error)

    def _cast(self, cast: Cast, session: AgentSession) -> None:
        """Persona and session exist now."""
        self._persona, self._made = cast.agent, session

    async def _warm(self) -> None:
        await self._providers.warm(self._plan.speech)

    def join(self, recorder: Recorder | None) -> LegAudio:
        raise NotImplementedError

    @property
    def room(self) -> Room | None:
        """None: nowhere to join."""
        return None

    def _place(self) -> Participant:
        """The agent's place in the room."""
        raise NotImplementedError

    def _resumed(self) -> Sequence[ChatMessage] | None:
        """The earlier history of a resumed conversation."""
        return None

    async def hold(self) -> ConversationOver:
        """Runs the session from its start to its last event, which a persona hanging in `on_enter` does not delay."""
        session, persona = self._made, self._persona
        assert session is not None and persona is not None, "prepare comes first"
        session.subscribe(self._on_event)
        return _over(await self._hold(session, persona))

    async def _hold(self, session: AgentSession, persona: Agent) -> SessionClosed:
        loop = asyncio.get_running_loop()
        closed: asyncio.Future[SessionClosed] = loop.create_future()

        def note(event: SessionEvent) -> None:
            if isinstance(event, SessionClosed) and not closed.done():
                closed.set_result(event)

        async def start() -> None:
            # Without awaiting after the start: only from here on is the session told when the leg ends.
            self._session = session
            # Keys pressed earlier: handed over once the session has begun, before its persona waits for any.
            loop.call_soon(self._side.digits.flow_to, session.on_digit)
            loop.call_soon(self._begins)
            verbs = AgentsVerbs(self._side, self._hangs_up)
            answering = self._answering
            await session.start(
                agent=persona,
                room=self._place(),
                call=verbs,
                resumed=self._resumed(),
                answering=answering,
                who_answered=None
                if answering is None
                else self._providers.who_answered(answering, loop.time(), self._plan.speech),
            )

        session.subscribe(note)
        starting = asyncio.create_task(start(), name="session start")
        longest_ms = session.options.max_call_ms
        limit_s = None if longest_ms is None else longest_ms / 1000 + LENGTH_MARGIN_S
        either: list[asyncio.Future[Any]] = [starting, closed]
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    await starting  # re-raises its exception
                return await closed
        except TimeoutError as error:
            raise TimeoutError("the conversation did not end by itself") from error
        finally:
            starting.cancel()
            if self._ahead is not None:
                self._ahead.cancel()

    def _hangs_up(self, reason: str) -> None:
        self._side.hangs_up(ended_by(reason), reason or "hung up")

    async def apologize(self) -> None:
        """Nothing can be said without a session."""

    def on_hold(self, held: bool) -> None:
        """May come before the session begins: then it begins on hold."""
        if self._made is not None:
            now = asyncio.get_running_loop().time()
            self._made.on_hold(now) if held else self._made.on_resume(now)

    async def drain(self, reason: str) -> None:
        if self._session is not None:
            await self._session.drain()

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        if self._session is None:
            raise NotTalking("The conversation has not begun yet.")
        self._session.say(text, allow_interruptions=allow_interruptions)

    async def collect(self, order: CollectOrder) -> Collected:
        if self._session is None:
            raise NotTalking("The conversation has not begun yet.")
        return await collect(self._session, order)

    async def finish_speaking(self, announce: str, limit_s: float) -> None:
        if self._session is None:
            return
        if announce:
            self._session.say(announce, allow_interruptions=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._session.spoken()

    def set_aside(self) -> None:
        """Before the session begins as well: it is then set aside from its start."""
        self._aside = True
        if self._session is not None:
            self._session.set_aside(asyncio.get_running_loop().time())

    def mute_caller(self, muted: bool) -> None:
        self._muted = muted
        if self._session is not None:
            self._session.mute_caller(muted)

    def _begins(self) -> None:
        """The session has begun: apply what it was told before."""
        if self._aside:
            self.set_aside()
        if self._muted:
            self.mute_caller(True)

    def take_back(self, *, words: str = "", note: str = "") -> None:
        self._aside = False
        if self._session is None:
            return
        if note:
            self._session.note(note)
        self._session.take_back(asyncio.get_running_loop().time(), words=words)

    async def hand_over(self, file: str, persona: str) -> bool:
        if self._session is None:
            return False
        try:
            cast = await self._providers.cast(load_persona(PersonaRef(Path(file), persona)), self._side.info)
        except Exception as error:
            log.error("persona_not_made", persona=persona, error=repr(error), exc_info=error)
            return False
        self._persona = cast.agent
        await self._session.hand_over(cast.agent)
        return True

    def leg_ended(self) -> None:
        if self._session is not None:
            self._session.leg_ended()

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.aclose("error")

    async def close(self) -> None:
        """The room belongs to somebody else."""

    @property
    def speaks_apart(self) -> bool:
        return True

    @property
    def consults(self) -> bool:
        return True

    async def voiced(self, text: str) -> bytes:
        return await self._session.voiced(text) if self._session is not None else b""

    def canned(self, key: str) -> str:
        return self._session.persona.say_canned(key) if self._session is not None else ""

    @property
    def can_screen(self) -> bool:
        return self._session is not None and self._session.can_screen

    async def prepare_screening(self) -> None:
        """The session's VAD is there."""

    def screen(self, hears: AudioInput, who: WhoAnswered, told: Callable[[AnsweredBy], None]) -> Screening | None:
        return self._session.screen(hears, who, told) if self._session is not None else None

    def listen(self, hears: AudioInput, told: Callable[[Heard], None]) -> Closes | None:
        return self._session.listen(hears, told) if self._session is not None else None

    def consult(self, place: Participant, briefed: str, told: ConsultationTold) -> Closes | None:
        if self._session is None or not self._session.thinks:
            return None
        self._consulted.append(consult(self._session, place, briefed, told))
        return self._consulted[-1]

    def note(self, text: str) -> None:
        if self._session is not None:
            self._session.note(text)

    async def briefing(self) -> str:
        return await briefing(self._session) if self._session is not None else ""

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        return await call_summary(self._session, by_model=by_model) if self._session is not None else ("", "")


class LocalConversation(SessionConversation):
    """In a local room of its own."""

    _room: LocalRoom | None = None

    @property
    def joins_unprepared(self) -> bool:
        return True

    def join(self, recorder: Recorder | None) -> LegAudio:
        self._room = LocalRoom(self._side.info.call_id, asyncio.get_running_loop(), recorder)
        return self._room.add_leg(CUSTOMER)

    @property
    def room(self) -> Room | None:
        return self._room

    def _place(self) -> Participant:
        assert self._room is not None, "join comes first"
        return self._room.add_agent(AGENT)

    async def close(self) -> None:
        if self._room is not None:
            await self._room.close()


class AgentsVerbs:
    """What the agent may do with its call; implements `CallVerbs`, `SendsToLegs`, `Dials` and `Transfers`.
    `hangs_up(reason)` is called just before: it is the agent who ends the call."""

    def __init__(self, side: CallSide, hangs_up: Callable[[str], None]) -> None:
        self._side = side
        self._hangs_up = hangs_up

    @property
    def info(self) -> CallInfo:
        return self._side.info

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        await self.send_digits_to("", digits, duration_ms=duration_ms, gap_ms=gap_ms, way=way)

    async def send_digits_to(
        self, leg_id: str, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        await self._side.send_digits(DigitsOrder(digits, leg_id, way, duration_ms, gap_ms))

    async def hang_up(self, reason: str = "") -> None:
        self._hangs_up(reason)
        await self._side.verbs.hang_up(reason)

    async def ask_queues(self, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._side.ask_queues(verb, how)

    async def dial(self, to: str, *, trunk: str = "", caller: str = "", ring_s: float = 30.0) -> DialledLeg:
        return await self._side.dial(to, trunk=trunk, caller=caller, ring_s=ring_s)

    async def transfer(
        self,
        to: str,
        *,
        kind: str = "cold",
        refer: UseRefer = UseRefer.PREFER,
        trunk: str = "",
        caller: str = "",
        announce: str = "",
        ring_s: float = 30.0,
        afterwards: AfterTransfer = AfterTransfer.END,
        warm: Warm | None = None,
        queue: QueueAsk | None = None,
        extension: str = "",
    ) -> TransferResult:
        if queue is None and queue_name(to):
            queue = QueueAsk()
        transfer_id = new_transfer_id(self._side.info.call_id)
        of_kind = TransferKind(kind) if warm is None and queue is None else TransferKind.WARM
        order = TransferOrder(
            transfer_id, to, of_kind, trunk, caller, announce, ring_s, refer, afterwards, warm, queue, extension
        )
        return await self._side.transfer(order)


def _over(closed: SessionClosed) -> ConversationOver:
    if closed.reason == "leg_ended":
        return ConversationOver(None)
    return ConversationOver(ended_by(closed.reason), closed.reason or "hung up")
