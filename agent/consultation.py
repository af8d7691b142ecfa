"""A human who is to take the caller over asks the agent about them: a session of its own beside the caller's, on the
human's leg alone. It knows the conversation so far, and ends when the human has decided."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.call_summary import conversation_so_far
from agent.context import RunContext
from agent.decisions import decision_of
from agent.events import (
    AgentMessage,
    AgentStartedSpeaking,
    AgentStoppedSpeaking,
    SessionClosed,
    SessionEvent,
    UserMessage,
)
from agent.persona import Agent, overrides
from agent.rules import Rules
from agent.said import ConsultationTold, Said
from agent.tools import function_tool

if TYPE_CHECKING:
    from agent.options import SessionOptions
    from agent.session import AgentSession
    from telephony.rooms.protocol import Participant

__all__ = ["Consultation", "Consulted", "consult"]

_ASKED = (
    "You are {name}, and you have just spoken with the caller of the phone call below. The caller is on hold and hears "
    "neither you nor the person you are talking with now: a colleague of yours, on the phone, who may take the caller "
    "over. Answer the colleague's questions about the caller and the call briefly, in one or two short sentences, and "
    "only from what is written below; if it is not there, say that you do not know. When the colleague wants to have "
    "the caller, call put_through; when they cannot or do not want to, call decline; never say that you do it. "
    "Speak the colleague's language.\n\nThe colleague has been told: {told}\n\nThe call so far:\n{call}"
)

_BRACES = {ord("{"): "(", ord("}"): ")"}  # would name variables
_log = logging.getLogger(__name__)


class Consulted(Agent):
    """`speaks_as`: the persona that has the caller. `told`: what the human has heard. `call`: the conversation, a line
    each."""

    silence_ladder = False
    _builtin_tools = ()

    def __init__(self, speaks_as: Agent, told: str, call: str, decide: Callable[[bool], None]) -> None:
        asked = _ASKED.format(name=speaks_as.name, told=told or "nothing", call=call or "(nothing was said)")
        super().__init__(instructions=asked, greeting=speaks_as.say_canned("transfer_consult"))
        known = (told or speaks_as.say_canned("transfer_summary")).translate(_BRACES)
        self.rules = Rules((), fallback=known, dropped=known, hello=known)  # a model by rules knows this alone
        self.language, self.voice = speaks_as.language, speaks_as.voice
        self.llm, self.tts = speaks_as.llm, speaks_as.tts
        self.canned = speaks_as.canned  # type: ignore[misc]  # of this one persona
        if overrides(speaks_as, "tts_node"):
            self.tts_node = speaks_as.tts_node  # type: ignore[method-assign]  # the same voice
        if overrides(speaks_as, "transcription_node"):
            self.transcription_node = speaks_as.transcription_node  # type: ignore[method-assign]
        self._decide = decide

    @function_tool(silent=True)
    async def put_through(self, ctx: RunContext) -> str:
        """The colleague takes the caller: put the caller through to them now."""
        self._decide(True)
        return "done"

    @function_tool(silent=True)
    async def decline(self, ctx: RunContext) -> str:
        """The colleague cannot or does not want to take the caller."""
        self._decide(False)
        return "done"


def options_of(options: SessionOptions) -> SessionOptions:
    """Its length is limited by who began it, and nobody is sent away because they say nothing."""
    return replace(options, max_call_ms=None, max_wordless_turns=None)


class Consultation:
    """`begin` comes first, `close` last. Its outcome is told once."""

    def __init__(self, session: AgentSession, told: ConsultationTold) -> None:
        """`session`: of its own, which has not started."""
        self._session = session
        self._told = told
        self._over = False
        self._running: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def tokens(self) -> tuple[int, int]:
        return self._session.tokens

    def begin(self, agent: Agent, place: Participant) -> None:
        self._session.subscribe(self._happened)
        self._running = asyncio.create_task(self._run(agent, place), name="consultation")

    async def _run(self, agent: Agent, place: Participant) -> None:
        try:
            await self._session.start(agent=agent, room=place)
        except Exception as error:  # noqa: BLE001  whatever it is, the human can have the caller
            _log.exception("the consultation failed: %s", error)
            self.decide(None)

    def decide(self, takes: bool | None) -> None:
        if not self._over:
            self._over = True
            self._told.decided(takes)

    def close(self) -> None:
        """The agent is silent at once. Idempotent."""
        self._over = True
        if self._running is not None:
            self._running.cancel()
        if self._closing is None:
            self._closing = asyncio.create_task(self._session.aclose(), name="end of the consultation")

    def _happened(self, event: SessionEvent) -> None:
        match event:
            case UserMessage(text=text, started_at=started, ended_at=ended, source="speech"):
                self._told.heard(Said(text, started, ended))
                takes = decision_of(text, self._session.agent.language)
                if takes is not None:
                    self.decide(takes)
            case AgentMessage(text=text, started_at=started, at=at, interrupted=interrupted) if text:
                self._told.told(Said(text, started, at), interrupted)
            case AgentStartedSpeaking() | AgentStoppedSpeaking():
                self._told.speaks(isinstance(event, AgentStartedSpeaking))
            case SessionClosed():
                self.decide(None)


def consult(session: AgentSession, place: Participant, briefed: str, told: ConsultationTold) -> Consultation:
    """`session`: the caller's, which has begun. `briefed`: what the human has heard."""
    beside = session.beside(options_of(session.options))
    made = Consultation(beside, told)
    agent = Consulted(session.persona, briefed, conversation_so_far(session), made.decide)
    made.begin(agent, place)
    return made
