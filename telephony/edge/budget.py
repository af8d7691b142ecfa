"""The shared budget of strangers, charged before parsing; and limits of TCP
connections. Pure: time is an argument."""

from __future__ import annotations

import re
from collections import Counter

from telephony.edge.admission import Bucket
from telephony.edge.settings import EdgeLimits

__all__ = ["ConnectionPlaces", "StrangerBudget", "begins_something"]

_RESERVED = 16  # connections reserved for every trunk
_TO_TAG = re.compile(rb"\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)


class StrangerBudget:
    """Messages and bytes a second for all strangers together: sources can be forged, so shares per source would have no
    limit."""

    def __init__(self, limits: EdgeLimits) -> None:
        self._largest = limits.stranger_message_bytes
        self._messages = Bucket(limits.stranger_messages_per_second, limits.stranger_message_burst)
        self._bytes = Bucket(limits.stranger_bytes_per_second, limits.stranger_byte_burst)

    def allow(self, size: int, now: float) -> bool:
        """Spend one message of `size` bytes; `now` in seconds."""
        if size > self._largest or not self._messages.has(1.0, now) or not self._bytes.has(size, now):
            return False
        self._messages.spend(1.0)
        self._bytes.spend(size)
        return True


def begins_something(data: bytes) -> bool:
    """Whether a message is a request outside a dialog, judging by its raw bytes. ACK and CANCEL belong to
    existing transactions."""
    if data.startswith((b"SIP/2.0 ", b"ACK ", b"CANCEL ")):
        return False
    return _TO_TAG.search(data, 0, 16_384) is None


class ConnectionPlaces:
    """TCP connections: strangers share a small pool, and no trunk can take the places reserved for another."""

    def __init__(self, limits: EdgeLimits, trunks: int) -> None:
        self._limits = limits
        self._trunks = trunks
        self._reserved = min(_RESERVED, limits.tcp_connections // (2 * trunks)) if trunks else 0
        self._of_trunk: Counter[str | None] = Counter()
        self._of_source: Counter[str] = Counter()

    def take(self, trunk: str | None, ip: str) -> bool:
        """A place for one more connection; `trunk` is None for a stranger."""
        limits = self._limits
        per_source = limits.tcp_connections_per_source if trunk is not None else limits.stranger_tcp_per_source
        if self._of_source[ip] >= per_source or not self.free(trunk):
            return False
        self._of_trunk[trunk] += 1
        self._of_source[ip] += 1
        return True

    def free(self, trunk: str | None, waiting: int = 0) -> bool:
        """Whether there is room besides open connections and the `waiting` ones of trunks."""
        if trunk is None:
            return self._of_trunk[None] < self._limits.stranger_tcp_connections
        taken = self._of_trunk.total() - self._of_trunk[None] + waiting
        others = sum(
            max(0, self._reserved - count) for name, count in self._of_trunk.items() if name not in (None, trunk)
        )
        unseen = self._trunks - len(self._of_trunk.keys() - {None} | {trunk})
        return taken + others + unseen * self._reserved < self._limits.tcp_connections

    def give_back(self, trunk: str | None, ip: str) -> None:
        self._of_trunk[trunk] -= 1
        self._of_source[ip] -= 1
        if not self._of_source[ip]:
            del self._of_source[ip]
