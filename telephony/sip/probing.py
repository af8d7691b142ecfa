"""Whether a peer is up: OPTIONS at intervals, with thresholds for down and up (RFC 3261 section 11). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Probe", "ProbePolicy", "ProbeStatus", "Reachability"]


class Reachability(StrEnum):
    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    every_s: float = 30.0
    retry_s: float = 5.0  # after a failed probe
    answer_s: float = 5.0  # how long to wait for an answer
    down_after: int = 3  # failures in a row
    up_after: int = 2  # consecutive answers from a peer that was down


@dataclass(frozen=True, slots=True)
class ProbeStatus:
    reachability: Reachability
    status: int  # of the last answer; 0: none
    round_trip_ms: float | None  # of the last answer; None: none
    answered_at: float  # 0: never


class Probe:
    """One peer. `random` returns numbers from 0 to 1, to spread out the probes of many peers."""

    def __init__(self, policy: ProbePolicy, now: float, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._reachability = Reachability.UNKNOWN
        self._failures = self._answers = 0  # in a row
        self._status, self._answered_at = 0, 0.0
        self._round_trip_ms: float | None = None
        self._sent_at: float | None = None
        self.next_at = now + random() * min(1.0, policy.every_s)

    @property
    def status(self) -> ProbeStatus:
        return ProbeStatus(self._reachability, self._status, self._round_trip_ms, self._answered_at)

    def due(self, now: float) -> bool:
        """True: send an OPTIONS now."""
        if now < self.next_at or self._sent_at is not None:
            return False
        self._sent_at = now
        return True

    def answered(self, status: int, now: float) -> bool:
        """Any answer shows that the peer is up, except that it takes no calls (503) or that a proxy in front of it got
        no answer (408, 504). True: its state has changed."""
        sent_at, self._sent_at = self._sent_at, None
        self._status, self._answered_at = status, now
        self._round_trip_ms = None if sent_at is None else (now - sent_at) * 1000
        if status in (408, 503, 504):
            return self._failed(now)
        self._failures = 0
        self._answers += 1
        self.next_at = now + self._policy.every_s * (1 - 0.1 * self._random())
        enough = 1 if self._reachability is Reachability.UNKNOWN else self._policy.up_after
        if self._reachability is Reachability.UP or self._answers < enough:
            if self._reachability is Reachability.DOWN:
                self.next_at = now + self._policy.retry_s
            return False
        self._reachability = Reachability.UP
        return True

    def lost(self, now: float) -> bool:
        """No answer. True: it has just gone down."""
        self._sent_at = None
        return self._failed(now)

    def _failed(self, now: float) -> bool:
        self._answers = 0
        self._failures += 1
        self.next_at = now + self._policy.retry_s * (1 - 0.1 * self._random())
        if self._reachability is Reachability.DOWN:
            self.next_at = now + self._policy.every_s * (1 - 0.1 * self._random())
            return False
        if self._failures < self._policy.down_after:
            return False
        self._reachability = Reachability.DOWN
        return True
