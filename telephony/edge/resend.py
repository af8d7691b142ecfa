"""What the edge itself has to repeat over UDP until it is answered: its BYE (timer E, RFC 3261 section 17.1.2.1) and
its final answer to an INVITE that already had a 100 (timer G, section 17.2.1). Both double from T1 to T2 for 64 T1."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass

from telephony.edge.hops import SendPublic, SendWorker

__all__ = ["ResendTable"]

T1 = 0.5
T2 = 4.0


@dataclass(slots=True)
class _Resend:
    action: SendPublic | SendWorker
    at: float
    interval: float
    until: float
    reliable: bool  # TCP: sent once


class ResendTable:
    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Resend] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def start(self, key: Hashable, action: SendPublic | SendWorker, now: float) -> None:
        """`action` has just been done for the first time."""
        reliable = isinstance(action, SendPublic) and action.hop.transport == "tcp"
        self._waiting[key] = _Resend(action, now + T1, T1, now + 64 * T1, reliable)
        self._push(key, now + T1)

    def answered(self, key: Hashable) -> bool:
        """Stop; False when nothing was waiting."""
        return self._waiting.pop(key, None) is not None

    def due(self, now: float) -> list[SendPublic | SendWorker]:
        """What is to be sent again."""
        actions: list[SendPublic | SendWorker] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            entry = self._waiting.get(key)
            if entry is None or entry.at != at:
                continue
            if now >= entry.until:
                del self._waiting[key]
                continue
            if not entry.reliable:
                actions.append(entry.action)
            entry.interval = min(2 * entry.interval, T2)
            entry.at = min(now + entry.interval, max(entry.until, now + T1))
            self._push(key, entry.at)
        return actions

    def _push(self, key: Hashable, at: float) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
