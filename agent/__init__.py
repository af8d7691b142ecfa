"""The part that thinks and talks, with its public names. Knows nothing of SIP. Names are loaded at first use: the
gateway process reads `agent.events` and `agent.rules`, and must not pay for the speech pipeline, which runs only in its
call workers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.answering import Answering, AnsweringAction
    from agent.context import RunContext
    from agent.end_call import EndCall
    from agent.events import SessionClosed, SessionEvent
    from agent.hooks import StopResponse, UserTurn
    from agent.options import SessionOptions
    from agent.persona import Agent, PersonaAware
    from agent.providers.base import ChatMessage
    from agent.rules import Intent, Rules, Slot
    from agent.run_result import RunResult, SessionMisuse
    from agent.session import AgentSession
    from agent.speech_handle import SpeechHandle
    from agent.tools import FunctionTool, ToolError, function_tool
    from agent.turns.digits import DigitEntry
    from agent.turns.expected import Expected
    from telephony.call import CallInfo
    from telephony.media.answering.model import AnsweredBy

__all__ = [
    "Agent",
    "AgentSession",
    "AnsweredBy",
    "Answering",
    "AnsweringAction",
    "CallInfo",
    "ChatMessage",
    "DigitEntry",
    "EndCall",
    "Expected",
    "FunctionTool",
    "Intent",
    "PersonaAware",
    "Rules",
    "RunContext",
    "RunResult",
    "SessionClosed",
    "SessionEvent",
    "SessionMisuse",
    "SessionOptions",
    "Slot",
    "SpeechHandle",
    "StopResponse",
    "ToolError",
    "UserTurn",
    "function_tool",
]

_HOMES = {
    "Agent": "agent.persona",
    "AgentSession": "agent.session",
    "AnsweredBy": "telephony.media.answering.model",
    "Answering": "agent.answering",
    "AnsweringAction": "agent.answering",
    "CallInfo": "telephony.call",
    "ChatMessage": "agent.providers.base",
    "DigitEntry": "agent.turns.digits",
    "EndCall": "agent.end_call",
    "Expected": "agent.turns.expected",
    "FunctionTool": "agent.tools",
    "Intent": "agent.rules",
    "PersonaAware": "agent.persona",
    "Rules": "agent.rules",
    "RunContext": "agent.context",
    "RunResult": "agent.run_result",
    "SessionClosed": "agent.events",
    "SessionEvent": "agent.events",
    "SessionMisuse": "agent.run_result",
    "SessionOptions": "agent.options",
    "Slot": "agent.rules",
    "StopResponse": "agent.hooks",
    "SpeechHandle": "agent.speech_handle",
    "UserTurn": "agent.hooks",
    "ToolError": "agent.tools",
    "function_tool": "agent.tools",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
