"""The edge's own retransmissions over UDP: its requests, and its final answers to INVITEs
that already had a 100. When each is due is what its transaction says (`telephony.sip.transactions`)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from dataclasses import dataclass, replace

from telephony.edge.hops import SendPublic, SendWorker
from telephony.sip.transactions import CLIENT_INVITE, CLIENT_OTHER, SERVER_INVITE, Came, Do, Timers, Transaction

__all__ = ["ResendTable"]


@dataclass(slots=True)
class _Resend:
    action: SendPublic | SendWorker
    transaction: Transaction
    at: float


class ResendTable:
    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: dict[Hashable, _Resend] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def request(
        self,
        key: Hashable,
        action: SendPublic | SendWorker,
        now: float,
        *,
        invite: bool = False,
        limit_s: float | None = None,
    ) -> None:
        """A request has just been sent for the first time. `limit_s`: how long to wait for its answer, if not 64 T1."""
        machine = CLIENT_INVITE if invite else CLIENT_OTHER
        timers = self._timers if limit_s is None else replace(self._timers, limit_s=limit_s)
        self._start(key, action, Transaction(machine, now, reliable=_reliable(action), timers=timers))

    def final_answer(self, key: Hashable, action: SendPublic | SendWorker, now: float) -> None:
        """An answer to an INVITE, of 300 or above, has just been sent for the first time."""
        transaction = Transaction(SERVER_INVITE, now, reliable=_reliable(action), timers=self._timers)
        transaction.came(Came.FAILURE, now)
        self._start(key, action, transaction)

    def provisional(self, key: Hashable, now: float) -> None:
        """A 1xx has come: an INVITE is not sent again."""
        if (entry := self._waiting.get(key)) is not None:
            entry.transaction.came(Came.PROVISIONAL, now)
            self._push(key, entry)

    def answered(self, key: Hashable) -> bool:
        """Stop; False when nothing was waiting."""
        return self._waiting.pop(key, None) is not None

    def due(self, now: float) -> tuple[list[SendPublic | SendWorker], list[Hashable]]:
        """The messages to send again, and the keys of those without a response in time."""
        actions: list[SendPublic | SendWorker] = []
        lost: list[Hashable] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            entry = self._waiting.get(key)
            if entry is None or entry.at != at:
                continue
            for do in entry.transaction.due(now):
                if do is Do.SEND:
                    actions.append(entry.action)
                elif do is Do.TIMED_OUT:
                    lost.append(key)
            if entry.transaction.over:
                del self._waiting[key]
            else:
                self._push(key, entry)
        return actions, lost

    def _start(self, key: Hashable, action: SendPublic | SendWorker, transaction: Transaction) -> None:
        entry = self._waiting[key] = _Resend(action, transaction, transaction.next_at)
        self._push(key, entry)

    def _push(self, key: Hashable, entry: _Resend) -> None:
        entry.at = entry.transaction.next_at
        if math.isinf(entry.at):
            return
        self._count += 1
        heapq.heappush(self._heap, (entry.at, self._count, key))


def _reliable(action: SendPublic | SendWorker) -> bool:
    return isinstance(action, SendPublic) and action.hop.stream
