"""What a persona's hooks and tools can tell the session besides their result."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

__all__ = ["StopResponse", "UserTurn", "outcome_of"]


class StopResponse(Exception):
    """Raised in `on_user_turn_completed`: this turn of the caller is not answered. Raised in a tool: the model is not
    asked to comment; it reads the text, or "done", with the next request."""


@dataclass(slots=True)
class UserTurn:
    """The caller's message, for `on_user_turn_completed`. `text` may be changed: the model and the history get its
    value when the hook returns; the record keeps what was heard."""

    text: str


async def outcome_of(given: Any) -> Any:
    """The result of a hook, `async` or not."""
    return await given if inspect.isawaitable(given) else given
