"""The session timers of dialogs with the public side (RFC 4028). Workers know nothing of them: the edge negotiates and
refreshes them, and ends calls that nobody refreshes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping

from telephony.edge.dialogs import Dialog, DialogState
from telephony.sip.headers import Headers
from telephony.sip.session_timer import SessionDue, SessionPolicy, SessionTimer

__all__ = ["Sessions"]

_USUAL = SessionPolicy()


class Sessions:
    """`policies`: by trunk."""

    def __init__(self, policies: Mapping[str, SessionPolicy]) -> None:
        self._policies = policies
        self._heap: list[tuple[float, int, Dialog]] = []
        self._count = 0

    def begin(self, dialog: Dialog) -> None:
        """A dialog begins, or moves to its next trunk."""
        dialog.timer = SessionTimer(self._policies.get(dialog.trunk, _USUAL))

    def asks(self, dialog: Dialog) -> list[tuple[str, str]]:
        return [] if dialog.timer is None else dialog.timer.asks()

    def accepted(self, dialog: Dialog, headers: Headers, now: float) -> None:
        """Our INVITE or UPDATE got a 2xx."""
        if dialog.timer is not None:
            dialog.timer.accepted(headers, now)
            self._push(dialog, dialog.timer)

    def answers(self, dialog: Dialog, headers: Headers, now: float) -> list[tuple[str, str]]:
        """The headers of our 2xx to the peer's INVITE or UPDATE."""
        if dialog.timer is None:
            return []
        fields = dialog.timer.answers(headers, now)
        self._push(dialog, dialog.timer)
        return fields

    def too_short(self, dialog: Dialog, headers: Headers) -> bool:
        return dialog.timer is not None and dialog.timer.too_short(headers)

    def failed(self, dialog: Dialog, now: float) -> None:
        if dialog.timer is not None:
            dialog.timer.failed(now)
            self._push(dialog, dialog.timer)

    def due(self, now: float) -> Iterator[tuple[Dialog, SessionDue]]:
        while self._heap and self._heap[0][0] <= now:
            _, _, dialog = heapq.heappop(self._heap)
            if dialog.timer is None or dialog.state is not DialogState.CONFIRMED:
                continue
            due = dialog.timer.due(now)
            self._push(dialog, dialog.timer)
            if due is not None:
                yield dialog, due

    def _push(self, dialog: Dialog, timer: SessionTimer) -> None:
        """Outdated entries find nothing due, and disappear when their time comes."""
        if timer.next_at < math.inf:
            self._count += 1
            heapq.heappush(self._heap, (timer.next_at, self._count, dialog))
