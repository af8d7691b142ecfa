"""Sockets of calls: which ports are next, and how many may be closing at once."""

from __future__ import annotations

import secrets
import socket
from collections import deque
from collections.abc import Callable

__all__ = ["ClosingSockets", "free_pair"]

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


def free_pair(first: int, pairs: int, host: str) -> int:
    """The place of a port pair that is free now, at random among those of the range; any when none is."""
    begin = secrets.randbelow(pairs)
    for offset in range(pairs):
        place = (begin + offset) % pairs
        if _free(host, first + 2 * place) and _free(host, first + 2 * place + 1):
            return place
    return begin


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
