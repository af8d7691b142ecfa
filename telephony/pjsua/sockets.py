"""Call sockets: which ports come next, and how many may be closing at once."""

from __future__ import annotations

import secrets
import socket
from collections import deque
from collections.abc import Callable

__all__ = ["ClosingSockets", "free_pair"]

_LINGER_S = 0.6  # PJ_IOQUEUE_KEY_FREE_DELAY is 0.5 s
_MOST = 14  # of the 32 calls that PJSIP's 64 handles allow; one poll of its socket can bring ten more


class ClosingSockets:
    """Counts the calls whose two RTP sockets PJSIP has closed but not yet freed.

    It frees handles half a second after they were closed, and running out of them ends the process with an assertion.
    So an endpoint that has just ended too many calls leaves SIP messages in the socket for a moment.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._closed: deque[float] = deque()

    def closed(self) -> None:
        """A call's sockets were closed."""
        self._closed.append(self._now())

    def too_many(self) -> bool:
        """Whether new calls must wait for now."""
        while self._closed and self._now() - self._closed[0] >= _LINGER_S:
            self._closed.popleft()
        return len(self._closed) >= _MOST


def free_pair(first: int, pairs: int, host: str) -> int:
    """Index of a port pair that is free now, at random; any index when none is free."""
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
