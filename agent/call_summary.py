"""A call's summary: after the call by the persona's hook or the conversation's model, and during a transfer by the
model, for the human who takes over."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any

from agent.context import RunContext
from agent.hooks import outcome_of
from agent.persona import overrides
from agent.pipeline.model_text import without_reasoning
from agent.providers.base import ChatMessage, ProviderError, TextDelta
from agent.run_result import SessionMisuse
from agent.session import AgentSession

__all__ = ["BRIEFING_LIMIT_S", "SUMMARY_LIMIT_S", "briefing", "call_summary", "conversation_so_far"]

SUMMARY_LIMIT_S = 20.0
BRIEFING_LIMIT_S = 10.0  # a human may be waiting for it
_LONGEST = 4000  # characters
_ASKED = (
    "The phone call below has ended. Summarise it in two to four sentences for someone who was not there: who called "
    "and why, what was agreed or done, and what is left to do. Use the language of the call. Answer with the "
    "summary alone."
)
_BRIEFED = (
    "The caller of the phone call below is about to be put through to a colleague of yours, who hears your answer "
    "spoken first. Tell the colleague in one to three short sentences who is calling, why, and what has been agreed or "
    "done so far. Use the language of the call. Answer with these sentences alone."
)
_log = logging.getLogger(__name__)


async def call_summary(session: AgentSession, *, by_model: bool) -> tuple[str, str]:
    """The words and their author, "persona" or "model". Both are empty if there is no summary: the persona has no hook
    or returns None, and no model may be asked, or it fails. Raises only CancelledError."""
    try:
        async with asyncio.timeout(SUMMARY_LIMIT_S):
            agent = session.persona
            if overrides(agent, "on_call_summary"):
                words = await outcome_of(agent.on_call_summary(RunContext(session, agent, session.userdata)))
                if words is not None:
                    return session.privacy.value(words[:_LONGEST]), "persona"
            if by_model:
                return session.privacy.value((await _by_model(session, _ASKED))[:_LONGEST].strip()), "model"
    except (ProviderError, SessionMisuse) as error:
        _log.warning("no model made a summary: %s", error)
    except Exception:  # noqa: BLE001  the hook is the user's code
        _log.exception("the call's summary failed")
    return "", ""


async def briefing(session: AgentSession) -> str:
    """What a colleague should know who takes the caller over, in the model's words. Empty if it fails or takes too
    long. Raises only CancelledError."""
    try:
        async with asyncio.timeout(BRIEFING_LIMIT_S):
            words = await _by_model(session, _BRIEFED)
        return str(session.privacy.value(words[:_LONGEST].strip()))
    except (ProviderError, SessionMisuse, TimeoutError) as error:
        _log.warning("no model made a briefing: %s", error)
    except Exception:  # noqa: BLE001  an `llm_node` is the user's code
        _log.exception("the briefing failed")
    return ""


async def _by_model(session: AgentSession, task: str) -> str:
    said = conversation_so_far(session)
    if not said:
        return ""
    asked = [ChatMessage("system", task), ChatMessage("user", said)]
    stream: Any = without_reasoning(session.llm.chat(asked, ()))
    async with aclosing(stream):
        return "".join([event.text async for event in stream if isinstance(event, TextDelta)])


def conversation_so_far(session: AgentSession) -> str:
    """A line each, without secrets."""
    told = [(_NOTE if each.name == "cue" else _WHO.get(each.role), each.text) for each in session.history]
    return "\n".join(f"{who}: {session.privacy.value(text)}" for who, text in told if who is not None)


_NOTE = "Note"
_WHO = {"user": "Caller", "assistant": "Agent", "tool": "Result of a function"}
