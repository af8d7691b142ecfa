"""Who may call, and how often: trunk networks and token buckets. Pure: time is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence

from telephony.edge.settings import EdgeLimits, Trunk
from telephony.edge.uri import as_ip

__all__ = ["RateLimiter", "SourceRates", "TrunkTable"]


class TrunkTable:
    """Source address -> trunk name. What was looked up is kept, so that a call costs no walk over all networks."""

    _KEPT = 4096

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        self._networks = [(ipaddress.ip_network(text), trunk.name) for trunk in trunks for text in trunk.allow]
        self._known: OrderedDict[str, str | None] = OrderedDict()

    def trunk_of(self, ip: str) -> str | None:
        if ip in self._known:
            return self._known[ip]
        address = as_ip(ip)
        found = next(
            (name for network, name in self._networks if address is not None and address in network),
            None,
        )
        self._known[ip] = found
        if len(self._known) > self._KEPT:
            self._known.popitem(last=False)
        return found


class RateLimiter:
    """A token bucket for each source. A source that is not in the table has a full bucket; when the table is full the
    longest silent source is forgotten."""

    def __init__(self, per_second: float, burst: float, tracked: int) -> None:
        self._rate = per_second
        self._burst = burst
        self._tracked = tracked
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # ip -> (tokens, at)

    def allow(self, ip: str, now: float) -> bool:
        """Take one token; `now` in seconds."""
        tokens, at = self._buckets.get(ip, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[ip] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(ip)
        if len(self._buckets) > self._tracked:
            self._buckets.popitem(last=False)
        return allowed


class SourceRates:
    """The limits of each source: new calls, messages, and the point from which nothing is even read; and the one that
    all strangers share, since they can forge as many sources as they like."""

    def __init__(self, limits: EdgeLimits) -> None:
        tracked, hard = limits.tracked_sources, limits.hard_factor
        self.invites = RateLimiter(limits.invites_per_second, limits.invite_burst, tracked)
        self.strangers = RateLimiter(limits.strangers_per_second, limits.stranger_burst, 1)
        self.messages = RateLimiter(limits.messages_per_second, limits.message_burst, tracked)
        self.anything = RateLimiter(limits.messages_per_second * hard, limits.message_burst * hard, tracked)
