"""A call's summary, written after the call by the persona's hook or the conversation's model."""

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

__all__ = ["SUMMARY_LIMIT_S", "call_summary"]

SUMMARY_LIMIT_S = 20.0
_LONGEST = 4000  # characters
_ASKED = (
    "The phone call below has ended. Summarise it in two to four sentences for someone who was not there: who called "
    "and why, what was agreed or done, and what is left to do. Use the language of the call. Answer with the "
    "summary alone."
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
                return session.privacy.value((await _by_model(session))[:_LONGEST].strip()), "model"
    except (ProviderError, SessionMisuse) as error:
        _log.warning("no model made a summary: %s", error)
    except Exception:  # noqa: BLE001  the hook is the user's code
        _log.exception("the call's summary failed")
    return "", ""


async def _by_model(session: AgentSession) -> str:
    told = [(message.role, session.privacy.value(message.text)) for message in session.history]  # secrets stay here
    lines = [f"{_WHO[role]}: {text}" for role, text in told if role in _WHO]
    if not lines:
        return ""
    asked = [ChatMessage("system", _ASKED), ChatMessage("user", "\n".join(lines))]
    stream: Any = without_reasoning(session.llm.chat(asked, ()))
    async with aclosing(stream):
        return "".join([event.text async for event in stream if isinstance(event, TextDelta)])


_WHO = {"user": "Caller", "assistant": "Agent", "tool": "Result of a function"}
