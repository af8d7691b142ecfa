"""The longest call, and the most consecutive failures. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CallTooLong", "FailureCount", "LengthLimit"]


@dataclass(frozen=True, slots=True)
class CallTooLong:
    at: float


class LengthLimit:
    def __init__(self, *, max_call_ms: float | None, started_at: float) -> None:
        """`max_call_ms` None: no limit."""
        self.deadline = None if max_call_ms is None else started_at + max_call_ms / 1000

    def tick(self, now: float) -> tuple[CallTooLong, ...]:
        if self.deadline is None or now < self.deadline:
            return ()
        self.deadline = None
        return (CallTooLong(now),)


class FailureCount:
    """Consecutive failed replies."""

    def __init__(self, *, max_in_a_row: int) -> None:
        self._max = max_in_a_row
        self.in_a_row = 0

    def succeeded(self) -> None:
        self.in_a_row = 0

    def failed(self) -> bool:
        """Whether that exceeds the limit."""
        self.in_a_row += 1
        return self.in_a_row >= self._max
