"""Learns from the kernel which UDP peers are not there (ICMP port unreachable; ip(7), IP_RECVERR)."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys

__all__ = ["enable_errors", "refused_by"]

_IP_RECVERR, _IPV6_RECVERR = 11, 25


def enable_errors(sock: socket.socket) -> None:
    """From now on ICMP errors are queued for `refused_by`, and reported once by the next send or receive."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def refused_by(sock: socket.socket) -> list[tuple[str, int]]:
    """The addresses reported unreachable since the last call."""
    found: list[tuple[str, int]] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            _, control, _, address = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            # struct sock_extended_err begins with the error number, in the machine's byte order.
            codes = {int.from_bytes(data[:4], sys.byteorder) for _, _, data in control}
            if errno.ECONNREFUSED in codes:
                found.append((address[0], address[1]))
    return found
