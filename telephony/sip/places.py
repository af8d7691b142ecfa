"""The order in which to try a peer's addresses, or trunks: failed ones are skipped for a while. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from telephony.sip.resolving import Place

__all__ = ["FailedPlaces", "Failures"]

_MOST = 1_000
Tried = TypeVar("Tried", bound=Hashable)


@dataclass(slots=True)
class _Failure:
    until: float
    in_a_row: int


class Failures(Generic[Tried]):
    """`first_s`: how long a place is skipped after its first failure; this doubles up to `longest_s`."""

    def __init__(self, first_s: float = 30.0, longest_s: float = 600.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures: dict[Tried, _Failure] = {}

    def failed(self, place: Tried, now: float, retry_after_s: float = 0.0) -> None:
        """It did not answer, or refused with 503 (and perhaps Retry-After)."""
        failure = self._failures.pop(place, None)
        in_a_row = 1 if failure is None else failure.in_a_row + 1
        wait = min(self._first_s * 2 ** min(in_a_row - 1, 30), self._longest_s)
        self._failures[place] = _Failure(now + max(wait, min(retry_after_s, self._longest_s)), in_a_row)
        if len(self._failures) > _MOST:
            del self._failures[next(iter(self._failures))]

    def worked(self, place: Tried) -> None:
        self._failures.pop(place, None)

    def passed_over_until(self, place: Tried) -> float:
        """0: it has not failed recently."""
        failure = self._failures.get(place)
        return 0.0 if failure is None else failure.until

    def ordered(self, places: Iterable[Tried], now: float) -> tuple[Tried, ...]:
        """Those that have not failed, in order; then the others, earliest expiry first: if nothing
        else is left, a place that failed is better than none."""
        kept: list[Tried] = []
        late: list[Tried] = []
        for place in places:
            (kept if self.passed_over_until(place) <= now else late).append(place)
        return (*kept, *sorted(late, key=self.passed_over_until))


FailedPlaces = Failures[Place]
