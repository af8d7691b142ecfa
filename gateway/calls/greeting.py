"""When the agent begins to speak, counted from the answer."""

from __future__ import annotations

from agent import Agent
from agent.options import SessionOptions
from telephony.call import Direction

__all__ = ["greeting_limit_s", "usual_greeting_limit_s"]

_INBOUND_S = 0.4  # so that the start of the greeting is heard
_OUTBOUND_S = 1.0  # a called party's media path may open late


def usual_greeting_limit_s(direction: Direction) -> float:
    return _OUTBOUND_S if direction is Direction.OUTBOUND else _INBOUND_S


def greeting_limit_s(persona: Agent, options: SessionOptions, direction: Direction) -> float:
    """How long the greeting waits for the other side's first packet; 0: not at all. The persona counts before the
    options."""
    if (persona.greet or options.greet) == "on_answer":
        return 0.0
    limit_ms = options.greet_limit_ms if persona.greet_limit_ms is None else persona.greet_limit_ms
    return usual_greeting_limit_s(direction) if limit_ms is None else limit_ms / 1000
