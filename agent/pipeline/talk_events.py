"""Events from talking and turn-taking to the session, which decides what follows. They never call it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "EndReached",
    "FarewellBegan",
    "PersonaChanged",
    "SituationChanged",
    "TalkChanged",
    "TalkEvent",
    "TokensUsed",
    "TurnEvent",
]


@dataclass(frozen=True, slots=True)
class TalkChanged:
    """The agent has begun or ended being busy."""


@dataclass(frozen=True, slots=True)
class PersonaChanged:
    """Another persona is active."""


@dataclass(frozen=True, slots=True)
class FarewellBegan:
    """The agent says its last words: the caller's input no longer counts."""


@dataclass(frozen=True, slots=True)
class EndReached:
    """The call ends when queued speech and then `farewell` have been played. `reason`: as in
    `SessionClosed`."""

    reason: str
    farewell: str = ""


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """The model's provider has reported a request's tokens."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class SituationChanged:
    """The caller did something, or it was handled: who is waiting may have changed."""


TalkEvent = TalkChanged | PersonaChanged | FarewellBegan | EndReached | TokensUsed
TurnEvent = SituationChanged | EndReached
