"""What talking and turn taking tell the session. They call nothing of it: it decides what follows."""

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
    """The agent says its last words: nothing more of the caller counts."""


@dataclass(frozen=True, slots=True)
class EndReached:
    """The call is over when what is queued has been played out, and `farewell` after it. `reason`: as of
    `SessionClosed`."""

    reason: str
    farewell: str = ""


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """The model's provider has counted a request."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class SituationChanged:
    """The caller did something, or it was dealt with: who waits for whom may be different now."""


TalkEvent = TalkChanged | PersonaChanged | FarewellBegan | EndReached | TokensUsed
TurnEvent = SituationChanged | EndReached
