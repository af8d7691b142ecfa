"""What tools and a persona's hooks are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.persona import Agent
    from agent.providers.base import ToolCall
    from agent.session import AgentSession
    from telephony.call import CallVerbs

__all__ = ["RunContext"]


@dataclass(frozen=True, slots=True)
class RunContext:
    """`agent`: the persona that is active. `function_call`: in a tool, what the model asked for. `userdata`: what the
    session was given. `call`: the phone call's verbs."""

    session: AgentSession
    agent: Agent
    userdata: Any
    call_or_none: CallVerbs | None = None
    function_call: ToolCall | None = None

    def disallow_interruptions(self) -> None:
        """From here on the reply that called this tool is said to its end, whatever the caller says."""
        self.session.disallow_interruptions()

    @property
    def call(self) -> CallVerbs:
        """Raises LookupError in a session that is no phone call (text mode)."""
        if self.call_or_none is None:
            raise LookupError("this session is no phone call")
        return self.call_or_none
