"""Turns without a word: television, hold music, a bad line. They are asked about ever more rarely, then the call ends.
Pure.

    wordless turn   1: ask   2: ask   3: -   4: ask   5..7: -   8: end, if they have gone on for a minute

Words or keys begin anew. Sound without end has no turns to count: a minute and a half of it is too much as well.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["WordlessTurns"]

_LEAST_S = 60.0  # a noisy minute costs nobody the call
_MOST_VOICED_MS = 90_000.0


class WordlessTurns:
    def __init__(self, *, most: int | None) -> None:
        """`most` turns in a row without a word; None: without limit."""
        self._most = most
        self._first_at: float | None = None
        self._voiced_ms = 0.0
        self.in_a_row = 0

    def words(self) -> None:
        """The caller said or keyed something."""
        self.in_a_row = 0
        self._first_at = None
        self._voiced_ms = 0.0

    def turn(self, voiced_ms: float, now: float) -> Literal["ask", "pass", "end"]:
        """One more turn without a word ended now."""
        self.in_a_row += 1
        self._voiced_ms += voiced_ms
        if self._first_at is None:
            self._first_at = now - voiced_ms / 1000
        if self._most is not None:
            many = self.in_a_row >= self._most and now - self._first_at >= _LEAST_S
            if many or self._voiced_ms >= _MOST_VOICED_MS:
                return "end"
        rare = self.in_a_row & (self.in_a_row - 1) == 0  # 1, 2, 4, 8 ...
        return "ask" if rare else "pass"
