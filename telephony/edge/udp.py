"""The UDP shell: one socket, sent to without waiting."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from telephony.edge.counters import EdgeCounters

__all__ = ["UdpPort"]

_BUFFER_BYTES = 4 * 1024 * 1024  # asked for; the system may give less


class UdpPort(asyncio.DatagramProtocol):
    """asyncio receives; sending uses the socket directly, because asyncio queues datagrams that the system rejects,
    and a late datagram is useless to SIP, which retransmits."""

    def __init__(
        self, sock: socket.socket, on_datagram: Callable[[bytes, tuple[str, int]], None], counters: EdgeCounters
    ) -> None:
        self._socket = sock
        self._on_datagram = on_datagram
        self._counters = counters
        self._transport: asyncio.BaseTransport | None = None
        name = sock.getsockname()
        self.bound: tuple[str, int] = (name[0], name[1])

    @classmethod
    async def open(
        cls, host: str, port: int, on_datagram: Callable[[bytes, tuple[str, int]], None], counters: EdgeCounters
    ) -> UdpPort:
        """Raises OSError if the address is unavailable."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has listeners of its own
            sock.bind((host, port))
            made = cls(sock, on_datagram, counters)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, sock=sock)
        except BaseException:
            sock.close()
            raise
        return made

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        try:
            self._socket.sendto(data, to)
        except BlockingIOError:
            self._counters.add("udp.overrun")
        except OSError:  # unreachable, too long, or closed: SIP's own timers deal with it
            self._counters.add("udp.errors")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        """ICMP says that someone is not there."""
        self._counters.add("udp.errors")
