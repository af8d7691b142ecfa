"""Nobody of this conversation hears the other, and goes on later or does not: the caller has put us on hold, or we have
set them aside (held, or with somebody else). Pure.

    talking --held, set aside--> held, StandStill
    held --resumed and taken back--> talking, GoOn
    held by the caller --max_hold_ms--> over, HeldTooLong

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
    """Nothing is heard or said, and no time runs, until `GoOn`. `by_us`: the caller is set aside."""

    at: float
    by_us: bool = False


@dataclass(frozen=True, slots=True)
class GoOn:
    """The caller is back after `held_ms`. `greet`: with a word of welcome. `words`: with this canned phrase instead."""

    at: float
    held_ms: float
    greet: bool
    words: str = ""


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
        self._held_since: float | None = None  # by the caller
        self._aside = False
        self._words = ""
        self.state: Literal["talking", "held", "over"] = "talking"
        self.met = False  # something has been said by either side

    @property
    def deadline(self) -> float | None:
        """Who is set aside may take as long as it takes."""
        if self.state != "held" or self._aside or self._held_since is None or self._max_s is None:
            return None
        return self._held_since + self._max_s

    def held(self, at: float) -> tuple[HoldAction, ...]:
        """A phone may say it again: a repeat changes nothing."""
        if self.state == "over" or self._held_since is not None:
            return ()
        self._held_since = at
        return self._stand(StandStill(at))

    def resumed(self, at: float) -> tuple[HoldAction, ...]:
        self._held_since = None
        return self._go(at)

    def set_aside(self, at: float) -> tuple[HoldAction, ...]:
        """By us, for as long as it takes. A repeat changes nothing."""
        if self.state == "over" or self._aside:
            return ()
        self._aside = True
        return self._stand(StandStill(at, by_us=True))

    def taken_back(self, at: float, words: str = "") -> tuple[HoldAction, ...]:
        """`words`: a canned phrase to begin with."""
        if self._held_since is not None:  # now its time runs
            self._held_since = max(self._held_since, at)
        self._aside, self._words = False, words
        return self._go(at)

    def _stand(self, still: StandStill) -> tuple[HoldAction, ...]:
        if self.state != "talking":
            return ()
        self.state, self._since = "held", still.at
        return (still,)

    def _go(self, at: float) -> tuple[HoldAction, ...]:
        if self.state != "held" or self._aside or self._held_since is not None:
            return ()
        self.state, words, self._words = "talking", self._words, ""
        return (GoOn(at, (at - self._since) * 1000, self.met, words),)

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
