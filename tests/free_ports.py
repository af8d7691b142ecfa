"""Ports for programs that tests start. None is of the range from which the system itself chooses (32768 and up on
Linux), where a socket of another test might take it before its program binds it, or while that is stopped; and each
lane of pytest-xdist has its own."""

from __future__ import annotations

import os
import random
import socket

__all__ = ["bindable", "free_port"]

_FIRST, _LAST = 2_000, 9_999  # below the RTP ports of gateway_process
_given: set[int] = set()


def free_port(*kinds: int) -> int:
    """Free for these (`socket.SOCK_…`); none given: for UDP and TCP. No port is given twice to one process."""
    lanes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (_LAST + 1 - _FIRST) // lanes
    for _ in range(2000):
        port = _FIRST + lane * size + random.randrange(size)
        if port in _given or not all(bindable(port, kind) for kind in kinds or (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            continue
        _given.add(port)
        return port
    raise RuntimeError("no free port")


def bindable(port: int, kind: int = socket.SOCK_DGRAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
