"""SIP over UDP, TCP and TLS for the phone. Messages are parsed here; unparsable ones are dropped and counted."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Literal, Protocol

from telephony.phone.unreachable import enable_errors, refused_by
from telephony.sip.framing import KEEPALIVE, FramingError, StreamFramer
from telephony.sip.parse import Malformed, Request, Response, parse

__all__ = ["Address", "SipTransport", "TcpTransport", "TransportName", "UdpTransport", "open_transport"]

Address = tuple[str, int]
TransportName = Literal["udp", "tcp", "tls"]
OnMessage = Callable[[Request | Response, Address], None]
OnRefused = Callable[[Address], None]
_CHUNK = 65_536
_LONGEST = 65_536  # of one message
_log = logging.getLogger(__name__)


class SipTransport(Protocol):
    reliable: bool
    local: Address

    async def connect(self, to: Address) -> Address:
        """Make sure that `send` to the returned address works, which is `to` with its host resolved where that is
        needed. Raises OSError."""

    def send(self, data: bytes, to: Address) -> None: ...

    async def close(self) -> None: ...


def _parsed(data: bytes) -> Request | Response | None:
    if not data.strip(b"\r\n\0 "):  # keep-alives
        return None
    try:
        return parse(data)
    except Malformed as error:
        _log.warning("not a SIP message: %s", error)
        return None


class UdpTransport(asyncio.DatagramProtocol):
    reliable = False

    def __init__(self, on_message: OnMessage, on_refused: OnRefused) -> None:
        self._on_message = on_message
        self._on_refused = on_refused
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self.local: Address = ("", 0)

    async def open(self, host: str, port: int) -> None:
        """Raises OSError."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((host, port))
            enable_errors(sock)
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        self.local = sock.getsockname()[:2]

    async def connect(self, to: Address) -> Address:
        family = socket.AF_INET6 if ":" in self.local[0] else socket.AF_INET
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(*to, family=family, type=socket.SOCK_DGRAM)
        address = found[0][4]
        return str(address[0]), int(address[1])

    def send(self, data: bytes, to: Address) -> None:
        """Past asyncio, which would drop the message when the kernel reports what became of an earlier one."""
        if self._socket is None:
            return
        for _ in range(3):
            try:
                self._socket.sendto(data, to)
                return
            except BlockingIOError:
                return  # no room: as good as lost on the way
            except OSError as error:
                self.error_received(error)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._socket = None
            await asyncio.sleep(0)  # the socket is closed in the loop's next iteration

    def datagram_received(self, data: bytes, addr: Address) -> None:
        message = _parsed(data)
        if message is not None:
            self._on_message(message, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        _log.info("SIP peer: %s", exc)
        for address in refused_by(self._socket) if self._socket is not None else ():
            self._on_refused(address)


class TcpTransport:
    """Also TLS. One persistent connection per peer, reopened after a loss; the peer's requests come over it or to the
    listening port."""

    reliable = True

    def __init__(self, on_message: OnMessage, tls: ssl.SSLContext | None) -> None:
        self._on_message = on_message
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: dict[Address, asyncio.StreamWriter] = {}
        self._opening: dict[Address, asyncio.Task[None]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self.local: Address = ("", 0)

    async def open(self, host: str, port: int) -> None:
        """Listens for TCP only; TLS would need a certificate, and gateways reuse the connection."""
        self._server = await asyncio.start_server(self._accepted, host, port)
        self.local = self._server.sockets[0].getsockname()[:2]

    async def connect(self, to: Address) -> Address:
        if to in self._writers:
            return to
        opening = self._opening.get(to)
        if opening is None:  # calls that begin together share a connection: an idle second one would be cut off
            opening = self._opening[to] = asyncio.create_task(self._open(to))
            opening.add_done_callback(lambda _: self._opening.pop(to, None))
        await asyncio.shield(opening)
        return to

    async def _open(self, to: Address) -> None:
        reader, writer = await asyncio.open_connection(*to, ssl=self._tls, local_addr=(self.local[0], 0))
        self._writers[to] = writer
        task = asyncio.create_task(self._read(reader, writer, to))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    def send(self, data: bytes, to: Address) -> None:
        """Send on the connection to this peer, or on a new one (RFC 3261 section 18.1.1). If none can be opened, the
        message is dropped and the transaction times out."""
        writer = self._writers.get(to)
        if writer is not None:
            writer.write(data)
            return
        task = asyncio.create_task(self._send_anew(data, to))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_anew(self, data: bytes, to: Address) -> None:
        try:
            await self.connect(to)
        except OSError as error:
            _log.info("SIP peer: %s", error)
            return
        if (writer := self._writers.get(to)) is not None:
            writer.write(data)

    async def close(self) -> None:
        tasks = (*self._sending, *self._opening.values(), *self._readers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writers = list(self._writers.values())
        for writer in writers:
            writer.close()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        peer = writer.get_extra_info("peername")[:2]
        self._writers[peer] = writer
        try:
            await self._read(reader, writer, peer)
        except asyncio.CancelledError:
            pass  # closing; asyncio would log a cancelled connection handler

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Address) -> None:
        framer = StreamFramer(_LONGEST)
        try:
            while data := await reader.read(_CHUNK):
                for frame in framer.feed(data):
                    message = None if frame == KEEPALIVE else _parsed(frame)
                    if message is not None:
                        self._on_message(message, peer)
        except (FramingError, ConnectionError):
            pass  # closed, or not SIP: either way the connection is useless now
        finally:
            if self._writers.get(peer) is writer:
                del self._writers[peer]
            writer.close()


async def open_transport(
    name: TransportName,
    host: str,
    port: int,
    on_message: OnMessage,
    tls: ssl.SSLContext | None = None,
    *,
    on_refused: OnRefused = lambda address: None,
) -> SipTransport:
    """`on_refused` is called, over UDP, when what was sent to an address found nobody listening. Raises OSError."""
    if name == "udp":
        udp = UdpTransport(on_message, on_refused)
        await udp.open(host, port)
        return udp
    tcp = TcpTransport(on_message, tls if name == "tls" else None)
    await tcp.open(host, port)
    return tcp
