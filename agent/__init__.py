"""What thinks and talks. Knows nothing of SIP; the public names are these."""

from agent.context import RunContext
from agent.end_call import EndCall
from agent.events import SessionClosed, SessionEvent
from agent.options import SessionOptions
from agent.persona import Agent, PersonaAware
from agent.providers.base import ChatMessage
from agent.rules import Intent, Rules, Slot
from agent.session import AgentSession, RunResult, SessionMisuse
from agent.speech_handle import SpeechHandle
from agent.tools import FunctionTool, ToolError, function_tool
from agent.turns.digits import DigitEntry

__all__ = [
    "Agent",
    "AgentSession",
    "ChatMessage",
    "DigitEntry",
    "EndCall",
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
    "ToolError",
    "function_tool",
]
