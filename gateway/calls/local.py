"""A conversation with a session of this process, in a local room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from agent import Agent, AgentSession
from agent.call_summary import call_summary
from agent.events import SessionClosed, SessionEvent
from agent.providers.base import ProviderError
from gateway.calls.conversation import ConversationOver
from gateway.calls.providers import ProviderSet
from gateway.calls.verbs import AgentsVerbs
from gateway.control import Prepare
from gateway.dialplan import PersonaRef, load_persona
from telephony.call import EndedBy, Leg
from telephony.rooms.local import LocalRoom
from telephony.rooms.protocol import LegAudio, Recorder

__all__ = ["LocalConversation", "ended_by"]

log = structlog.get_logger(__name__)

WARM_LIMIT_S = 2.0  # the phone rings on while providers are warmed, but not for longer than this
LENGTH_MARGIN_S = 60.0  # beyond the session's own cap, the reaper ends the call


def ended_by(reason: str) -> EndedBy:
    """Whose end a session's reason is."""
    return EndedBy.SYSTEM if reason == "error" else EndedBy.AGENT


class LocalConversation:
    """Implements `Conversation`."""

    def __init__(
        self,
        leg: Leg,
        prepared: Prepare,
        providers: ProviderSet,
        on_event: Callable[[SessionEvent], None],
        hangs_up: Callable[[EndedBy, str], None],
    ) -> None:
        self._leg = leg
        self._prepared = prepared
        self._providers = providers
        self._on_event = on_event
        self._hangs_up = hangs_up
        self._persona: Agent | None = None
        self._made: AgentSession | None = None
        self._session: AgentSession | None = None  # once it has begun
        self._room: LocalRoom | None = None
        self._early_digits: list[tuple[str, float]] | None = []  # None: the session takes them itself

    @property
    def begun(self) -> bool:
        return self._session is not None

    @property
    def tokens(self) -> tuple[int, int]:
        return self._session.tokens if self._session is not None else (0, 0)

    async def prepare(self) -> None:
        """Raises BadFactory, FactoryFailed, and what a persona's class raises."""
        maker = load_persona(PersonaRef(Path(self._prepared.persona_file), self._prepared.persona_class))
        cast = await self._providers.cast(maker, self._leg.info)
        self._persona = cast.agent
        self._made = self._providers.session(self._prepared.speech, self._prepared.session, cast.userdata)
        try:
            async with asyncio.timeout(WARM_LIMIT_S):
                await self._providers.warm(self._prepared.speech)
        except (ProviderError, TimeoutError) as error:
            # The session has its own answer to a provider that stays away: the caller is not refused for it.
            log.warning("provider_not_warm", error=str(error))

    def join(self, recorder: Recorder | None) -> LegAudio:
        self._room = LocalRoom(self._leg.info.call_id, asyncio.get_running_loop(), recorder)
        return self._room.add_leg("caller")

    async def hold(self) -> ConversationOver:
        """The session from its start to its last event, which a persona that hangs in `on_enter` does not delay."""
        session, persona, room = self._made, self._persona, self._room
        assert session is not None and persona is not None and room is not None, "prepare and join come first"
        closed: asyncio.Future[SessionClosed] = asyncio.get_running_loop().create_future()

        def note(event: SessionEvent) -> None:
            if isinstance(event, SessionClosed) and not closed.done():
                closed.set_result(event)

        async def start() -> None:
            # In one step with the start: from here on, and not before, the session is told that the leg has ended.
            self._session = session
            # Keys that were pressed before: handed over once the session has begun, before its persona waits for any.
            asyncio.get_running_loop().call_soon(self._hand_over_digits)
            verbs = AgentsVerbs(self._leg, lambda reason: self._hangs_up(ended_by(reason), reason or "hung up"))
            await session.start(agent=persona, room=room.add_agent("agent"), call=verbs)

        session.subscribe(self._on_event)
        session.subscribe(note)
        starting = asyncio.create_task(start(), name="session start")
        longest_ms = session.options.max_call_ms
        limit_s = None if longest_ms is None else longest_ms / 1000 + LENGTH_MARGIN_S
        either: list[asyncio.Future[Any]] = [starting, closed]
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    await starting  # raises what it raised
                return _over(await closed)
        except TimeoutError as error:
            raise TimeoutError("the conversation did not end by itself") from error
        finally:
            starting.cancel()

    def digit(self, digit: str, at: float) -> None:
        if self._early_digits is not None:
            self._early_digits.append((digit, at))
        elif self._session is not None:
            self._session.on_digit(digit, at)

    def on_hold(self, held: bool) -> None:
        """Also before the session begins: then it begins on hold."""
        if self._made is not None:
            now = asyncio.get_running_loop().time()
            self._made.on_hold(now) if held else self._made.on_resume(now)

    async def drain(self, reason: str) -> None:
        if self._session is not None:
            await self._session.drain()

    def leg_ended(self) -> None:
        if self._session is not None:
            self._session.leg_ended()

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.aclose("error")

    async def close(self) -> None:
        if self._room is not None:
            await self._room.close()

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        return await call_summary(self._session, by_model=by_model) if self._session is not None else ("", "")

    def _hand_over_digits(self) -> None:
        """Keys that were pressed while the session was not there yet."""
        early, self._early_digits = self._early_digits or [], None
        for digit, at in early:
            if self._session is not None:
                self._session.on_digit(digit, at)


def _over(closed: SessionClosed) -> ConversationOver:
    if closed.reason == "leg_ended":
        return ConversationOver(None)
    return ConversationOver(ended_by(closed.reason), closed.reason or "hung up")
