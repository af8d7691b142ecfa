"""Time limit for the first key or word when digits are requested. Pure.

quiet(at) --limit_ms--> Nothing      busy(): somebody talks or keys, or the line is held
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FirstDigit", "Nothing"]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing was said or keyed within the limit."""


class FirstDigit:
    def __init__(self, *, limit_ms: float) -> None:
        self._limit_s = limit_ms / 1000
        self._quiet_since: float | None = None

    @property
    def deadline(self) -> float | None:
        return None if self._quiet_since is None else self._quiet_since + self._limit_s

    def busy(self) -> None:
        self._quiet_since = None

    def quiet(self, at: float) -> None:
        """Nothing has happened since `at` (loop time, seconds)."""
        self._quiet_since = at

    def tick(self, now: float) -> tuple[Nothing, ...]:
        if self.deadline is None or now < self.deadline:
            return ()
        self._quiet_since = None
        return (Nothing(),)
