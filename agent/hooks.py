"""What a persona's hooks and tools may say to the session beside their result."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StopResponse", "UserTurn"]


class StopResponse(Exception):
    """Raised in `on_user_turn_completed`: this turn of the caller is not answered. Raised in a tool: the model is not
    asked to speak of it; it reads the text, or "done", when it is asked next."""


@dataclass(slots=True)
class UserTurn:
    """What the caller said, for `on_user_turn_completed`. `text` may be changed: the model and the history get what it
    is when the hook returns; the record keeps what was heard."""

    text: str
