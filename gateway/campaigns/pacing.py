"""How many calls a campaign may begin now. Pure: every function takes the time and returns a new state."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Pace", "PaceLimits"]

BURST_S = 1.0  # what is saved up while nothing was allowed
SLOWEST = 0.05  # of the rate that was asked for
SLOWER = 0.5  # at each refusal for want of capacity
FASTER_A_SECOND = 0.02  # of the rate that was asked for
PATIENCE_S = 5.0  # refusals this close together count once


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """`per_s`: calls begun a second; `at_once`: calls that live at the same time, over all gateways."""

    per_s: float
    at_once: int


@dataclass(frozen=True, slots=True)
class Pace:
    """A token bucket whose rate falls by half when a carrier says that it is too much (SIP 503, 429; Retry-After), and
    recovers. Times are seconds of any one clock."""

    limits: PaceLimits
    at: float
    tokens: float = 0.0
    share: float = 1.0  # of the rate
    silent_until: float = 0.0
    slowed_at: float = -1e9

    def now(self, now: float) -> Pace:
        """As it stands at `now`. A clock that was set back gives nothing."""
        passed = max(0.0, now - self.at)
        share = self.share
        if now >= self.silent_until:
            share = min(1.0, share + FASTER_A_SECOND * max(0.0, now - max(self.at, self.silent_until)))
        open_s = max(0.0, now - max(self.at, self.silent_until)) if passed else 0.0
        most = max(1.0, self.limits.per_s * BURST_S)
        tokens = min(most, self.tokens + open_s * self.limits.per_s * share)
        return replace(self, at=now, tokens=tokens, share=share)

    def allowed(self, live: int) -> int:
        """Calls that may begin at `at`, with `live` of the campaign's calls alive."""
        if self.at < self.silent_until:
            return 0
        return max(0, min(int(self.tokens + 1e-9), self.limits.at_once - live))

    def begun(self, calls: int) -> Pace:
        return replace(self, tokens=self.tokens - calls)

    def overloaded(self, now: float, retry_after_s: float = 0.0) -> Pace:
        """A carrier has refused a call for want of capacity."""
        pace = self.now(now)
        silent = max(pace.silent_until, now + retry_after_s)
        if now - pace.slowed_at < PATIENCE_S:
            return replace(pace, silent_until=silent)
        return replace(pace, tokens=0.0, share=max(SLOWEST, pace.share * SLOWER), silent_until=silent, slowed_at=now)

    @property
    def due(self) -> float:
        """When it may allow the next call, if none is allowed at `at`."""
        if self.tokens >= 1:
            return max(self.at, self.silent_until)
        return max(self.at, self.silent_until) + (1 - self.tokens) / (self.limits.per_s * self.share)
