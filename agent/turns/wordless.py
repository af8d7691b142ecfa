"""Turns without words: television, hold music, a bad line. The agent asks about them less and less often, then ends the
call. Pure.

wordless turn   1: ask   2: ask   3: -   4: ask   5..7: -   8: end, if they have lasted for a minute

Words or keys reset the count. Endless sound has no turns to count, so a minute and a half of it also ends the call.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["WordlessTurns"]

_LEAST_S = 60.0  # a noisy minute must not end a call
_MOST_VOICED_MS = 90_000.0


class WordlessTurns:
    def __init__(self, *, most: int | None) -> None:
        """`most` consecutive turns without words; None: no limit."""
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
        """Another turn without words has ended."""
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
