"""Who has answered a call that we placed: what listens to the leg between its answer and the conversation."""

from __future__ import annotations

from typing import Protocol

from telephony.call import Leg

__all__ = ["AnswerDetection", "NoDetection"]


class AnswerDetection(Protocol):
    async def answered_by(self, leg: Leg) -> str:
        """Called once, when the leg has been answered and its media is proven; the conversation begins when it
        returns. A word for the record's event `answered_by`; empty: not known. Cancelled if the leg ends first."""


class NoDetection:
    """Implements `AnswerDetection`: whoever answers is talked to at once."""

    async def answered_by(self, leg: Leg) -> str:
        return ""
