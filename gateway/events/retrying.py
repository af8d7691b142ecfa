"""When to retry a delivery, and when to leave an endpoint alone. Pure: times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GIVE_UP_S", "EndpointHealth", "next_attempt"]

GIVE_UP_S = 24 * 3600.0
_WAITS_S = (2.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)  # the last one repeats
_SPREAD = 0.2  # so that deliveries that failed together are not retried together
_LONGEST_ASKED_S = 3600.0

PARK_AFTER = 10  # failures in a row
PARK_AFTER_S = 60.0  # of failures only: a restart must not count as a dead endpoint
PROBE_EVERY_S = 300.0


def next_attempt(attempts: int, created: float, now: float, chance: float, asked_s: float = 0.0) -> float | None:
    """When to try again after `attempts` failures; None: the day is over. `chance`: 0 to 1. `asked_s`: Retry-After."""
    wait = _WAITS_S[min(attempts, len(_WAITS_S)) - 1] * (1 + _SPREAD * (2 * chance - 1))
    at = now + max(wait, min(asked_s, _LONGEST_ASKED_S))
    return at if at - created <= GIVE_UP_S else None


@dataclass(slots=True)
class EndpointHealth:
    """An endpoint that keeps failing is parked: its deliveries wait, and one every few minutes tests whether
    it is back."""

    failures: int = 0  # in a row
    failing_since: float | None = None
    parked: bool = False
    error: str = ""  # the last one, empty while it works
    probe_at: float = 0.0

    def succeeded(self) -> None:
        self.failures, self.failing_since, self.parked, self.error = 0, None, False, ""

    def failed(self, now: float, error: str) -> bool:
        """Returns whether this parks it."""
        self.failures += 1
        self.error = error
        if self.failing_since is None:
            self.failing_since = now
        was, self.parked = self.parked, self.parked or self._is_dead(now)
        if self.parked:
            self.probe_at = now + PROBE_EVERY_S
        return self.parked and not was

    def _is_dead(self, now: float) -> bool:
        assert self.failing_since is not None, "it has just failed"
        return self.failures >= PARK_AFTER and now - self.failing_since >= PARK_AFTER_S

    def share(self, now: float, most: int) -> int:
        """How many deliveries may be in progress at once."""
        if not self.parked:
            return most
        return 1 if now >= self.probe_at else 0
