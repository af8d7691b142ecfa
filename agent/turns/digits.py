"""How keyed digits become a user turn. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.turns.signals import Digit

__all__ = ["KEYED_UNTIL", "WHY_ENTERED", "DigitCollector", "DigitEntry", "DigitsEntered", "KeyedUntil"]

KeyedUntil = Literal["length", "terminator", "timeout"]
WHY_ENTERED: Mapping[KeyedUntil, str] = {
    "length": "all digits were keyed",
    "terminator": "the terminator was keyed",
    "timeout": "no further key in time",
}
KEYED_UNTIL: Mapping[str, KeyedUntil] = {why: until for until, why in WHY_ENTERED.items()}


@dataclass(frozen=True, slots=True)
class DigitEntry:
    """`length`: complete at once with that many (None: only the terminator or the timeout completes). `terminator`:
    each of these keys completes the entry and is left out; "" for none. `inter_digit_timeout_ms`: the longest wait for
    the next key. `secret`: only the persona, its tools and its model get the digits; records, logs and rooms get `•`
    for each, and the recording is silent from the first key to the last."""

    length: int | None = None
    terminator: str = "#"
    inter_digit_timeout_ms: float = 3000
    secret: bool = False

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise ValueError(f"length must be at least 1, not {self.length}")
        if any(key not in "0123456789*#ABCD" for key in self.terminator):
            raise ValueError(f"terminator must be keys or empty, not {self.terminator!r}")
        if self.inter_digit_timeout_ms <= 0:
            raise ValueError(f"inter_digit_timeout_ms must be positive, not {self.inter_digit_timeout_ms}")


@dataclass(frozen=True, slots=True)
class DigitsEntered:
    text: str = field(repr=False)  # it may be secret
    started_at: float
    ended_at: float
    reason: KeyedUntil


class DigitCollector:
    def __init__(self, entry: DigitEntry | None) -> None:
        self.entry = entry
        self._text = ""
        self._started_at = 0.0
        self._last_at = 0.0

    @property
    def collecting(self) -> bool:
        return bool(self._text)

    @property
    def deadline(self) -> float | None:
        if self.entry is None or not self._text:
            return None
        return self._last_at + self.entry.inter_digit_timeout_ms / 1000

    def begin(self, entry: DigitEntry | None) -> None:
        """Another persona: digits keyed for the previous one are dropped."""
        self.entry = entry
        self._text = ""

    def takes(self, digit: str) -> bool:
        """Whether this key is part of an entry."""
        return self.entry is not None and (bool(self._text) or digit not in self.entry.terminator)

    def heard(self, digit: Digit) -> tuple[DigitsEntered, ...]:
        if self.entry is None:
            return ()
        if not self._text:
            self._started_at = digit.at
        self._last_at = digit.at
        if digit.key in self.entry.terminator:
            return self._entered("terminator")
        self._text += digit.key
        return self._entered("length") if len(self._text) == self.entry.length else ()

    def stood_still(self, seconds: float, now: float) -> None:
        """The caller was unable to press keys for this long, until now."""
        self._last_at = min(now, self._last_at + seconds)

    def tick(self, now: float) -> tuple[DigitsEntered, ...]:
        deadline = self.deadline
        return () if deadline is None or now < deadline else self._entered("timeout")

    def _entered(self, reason: KeyedUntil) -> tuple[DigitsEntered, ...]:
        text, self._text = self._text, ""
        return (DigitsEntered(text, self._started_at, self._last_at, reason),) if text else ()
