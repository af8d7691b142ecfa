"""The result of a text turn, and the error for misuse of a session."""

from __future__ import annotations

from dataclasses import dataclass

from agent.events import AgentMessage, SessionEvent

__all__ = ["RunResult", "SessionMisuse"]


class SessionMisuse(RuntimeError):
    """The session's state, or a missing part, does not allow the request."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one text turn."""

    events: tuple[SessionEvent, ...]

    @property
    def text(self) -> str:
        """Everything the agent said."""
        return " ".join(event.text for event in self.events if isinstance(event, AgentMessage) and event.text)
