"""Keeps a storm of short calls from running PJSIP out of socket handles. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["ClosingSockets"]

_LINGER_S = 0.6  # PJ_IOQUEUE_KEY_FREE_DELAY is 0.5 s
_MOST = 14  # of 32 calls that PJSIP's 64 handles serve; one poll of its socket can bring ten more


class ClosingSockets:
    """Counts the calls whose two RTP sockets PJSIP has closed but not yet given back.

    It gives handles back half a second after they were closed, and when it runs out of them an assertion ends the
    process. So an endpoint that has ended too many calls in that time lets SIP wait in its socket for a moment.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._closed: deque[float] = deque()

    def closed(self) -> None:
        """A call's sockets were closed."""
        self._closed.append(self._now())

    def too_many(self) -> bool:
        """Whether no further call may be let in at this moment."""
        while self._closed and self._now() - self._closed[0] >= _LINGER_S:
            self._closed.popleft()
        return len(self._closed) >= _MOST
