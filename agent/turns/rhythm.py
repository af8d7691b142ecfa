"""How long a caller pauses in the middle of a turn, learnt within the call. Pure.

Two moving averages, as TCP keeps for round trips (RFC 6298): the pause and its deviation. A silence longer than the
sum, with a margin, most likely ends the turn.
"""

from __future__ import annotations

__all__ = ["Rhythm"]

_MARGIN = 2.0  # times the mean deviation


class Rhythm:
    def __init__(self, *, start_ms: float, least_ms: float, most_ms: float, alpha: float = 0.75) -> None:
        """`start_ms`: the delay before anything is known; it stays within `least_ms` and `most_ms`. `alpha`: the weight
        of the past, in 0..1."""
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha must be in 0..1, not {alpha}")
        self._start_ms, self._least_ms, self._most_ms, self._alpha = start_ms, least_ms, most_ms, alpha
        self._mean_ms: float | None = None
        self._deviation_ms = 0.0

    @property
    def delay_ms(self) -> float:
        """The silence after which the turn is most likely over."""
        if self._mean_ms is None:
            return self._start_ms
        return min(self._most_ms, max(self._least_ms, self._mean_ms + _MARGIN * self._deviation_ms))

    def paused(self, ms: float) -> None:
        """The caller continued after a pause: within a turn, or after one that was decided too early."""
        ms = min(max(0.0, ms), self._most_ms)
        if self._mean_ms is None:
            self._mean_ms, self._deviation_ms = ms, ms / 2
            return
        alpha = self._alpha
        self._deviation_ms = alpha * self._deviation_ms + (1 - alpha) * abs(ms - self._mean_ms)
        self._mean_ms = alpha * self._mean_ms + (1 - alpha) * ms
