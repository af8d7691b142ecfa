"""The caller has put us on hold, hears nothing, and may or may not come back. Pure.

    talking --held--> held, StandStill
    held --resumed--> talking, GoOn
    held --max_hold_ms--> over, HeldTooLong

The caller is greeted if there was a conversation before. Then pending speech is said: a reply that arrived in the
meantime, or the interrupted speech from the start of its sentence. If nothing is pending, an open question is asked
again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["GoOn", "HeldTooLong", "Hold", "HoldAction", "OpenQuestion", "StandStill"]

_QUESTION_END = ("?", "\uff1f", "\u061f")  # full-width, Arabic
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])[\"')\]]*\s+|(?<=[\u3002\uff01\uff1f\u061f])\s*")


@dataclass(frozen=True, slots=True)
class StandStill:
    """Nothing is heard or said, and time limits pause, until `GoOn`."""

    at: float


@dataclass(frozen=True, slots=True)
class GoOn:
    """The caller is back after `held_ms`. `greet`: welcome them back."""

    at: float
    held_ms: float
    greet: bool


@dataclass(frozen=True, slots=True)
class HeldTooLong:
    """The caller has held for too long; nobody would hear a goodbye."""

    at: float


HoldAction = StandStill | GoOn | HeldTooLong


class Hold:
    def __init__(self, *, max_hold_ms: float | None) -> None:
        """`max_hold_ms` None: a caller may hold for the whole length of the call."""
        self._max_s = None if max_hold_ms is None else max_hold_ms / 1000
        self._since = 0.0
        self.state: Literal["talking", "held", "over"] = "talking"
        self.met = False  # something has been said by either side

    @property
    def deadline(self) -> float | None:
        return self._since + self._max_s if self.state == "held" and self._max_s is not None else None

    def held(self, at: float) -> tuple[HoldAction, ...]:
        """Phones may repeat it; a repeat changes nothing."""
        if self.state != "talking":
            return ()
        self.state, self._since = "held", at
        return (StandStill(at),)

    def resumed(self, at: float) -> tuple[HoldAction, ...]:
        if self.state != "held":
            return ()
        self.state = "talking"
        return (GoOn(at, (at - self._since) * 1000, self.met),)

    def tick(self, now: float) -> tuple[HoldAction, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        self.state = "over"
        return (HeldTooLong(now),)


class OpenQuestion:
    """The agent's question that the caller has not answered yet."""

    def __init__(self) -> None:
        self.text = ""

    def agent_said(self, text: str) -> None:
        """The heard part of a message. One without a question leaves an open question open: "One moment." may follow
        it."""
        sentences = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
        if sentences and sentences[-1].rstrip("\"')]").endswith(_QUESTION_END):
            self.text = sentences[-1]

    def answered(self) -> None:
        self.text = ""
