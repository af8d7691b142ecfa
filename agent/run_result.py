"""What a turn of text gives back, and how a session is misused."""

from __future__ import annotations

from dataclasses import dataclass

from agent.events import AgentMessage, SessionEvent

__all__ = ["RunResult", "SessionMisuse"]


class SessionMisuse(RuntimeError):
    """The session is not in a state, or was not given the parts, for what was asked of it."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of one text turn."""

    events: tuple[SessionEvent, ...]

    @property
    def text(self) -> str:
        """All that the agent said."""
        return " ".join(event.text for event in self.events if isinstance(event, AgentMessage) and event.text)
