"""The TCP shell: connections, their limits and timeouts. What messages mean is decided in core."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

from telephony.edge.admission import TrunkTable
from telephony.edge.budget import ConnectionPlaces
from telephony.edge.counters import EdgeCounters
from telephony.edge.hops import Hop
from telephony.edge.settings import EdgeLimits
from telephony.sip.framing import KEEPALIVE, FramingError, StreamFramer

__all__ = ["TcpConnections"]

_PONG = b"\r\n"
_WAITING = 512  # connections that the system holds until they are accepted
_ACCEPTED_AT_ONCE = 16
_SERVED_AT_ONCE = 16  # messages of one connection in a turn of the loop
_STRANGER_BYTES = 65_536  # that a stranger may send over one connection


class TcpConnections:
    """All TCP connections of the edge, accepted and made, by number."""

    def __init__(
        self,
        limits: EdgeLimits,
        counters: EdgeCounters,
        on_message: Callable[[bytes, Hop], None],
        trunks: TrunkTable,
        carries_a_call: Callable[[int], bool],
        on_not_connected: Callable[[str, int], None],
    ) -> None:
        """`carries_a_call` says of a connection's number whether a caller is reached over it: such a one is never idle,
        since a caller behind a NAT can be reached no other way."""
        self.limits = limits
        self.counters = counters
        self.on_message = on_message
        self.trunks = trunks
        self.carries_a_call = carries_a_call
        self.on_not_connected = on_not_connected
        self._places = ConnectionPlaces(limits, len(trunks))
        self._connections: dict[int, _Connection] = {}
        self._last = 0
        self._dialing: dict[tuple[str, int], tuple[asyncio.Task[None], list[bytes]]] = {}
        self._made: dict[tuple[str, int], _Connection] = {}  # connections that we made, by where to

    def __len__(self) -> int:
        return len(self._connections)

    async def listen(self, host: str, port: int, listener: int) -> tuple[asyncio.Server, tuple[str, int]]:
        """Accept on an address; also returns the bound address. Raises OSError if unavailable."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has listeners of its own
            sock.setblocking(False)
            sock.bind((host, port))
            # asyncio accepts so many in one turn of the loop, during which no call is served
            server = await asyncio.get_running_loop().create_server(
                lambda: _Connection(self, listener), sock=sock, backlog=_ACCEPTED_AT_ONCE
            )
            sock.listen(_WAITING)
        except BaseException:
            sock.close()
            raise
        name = sock.getsockname()
        return server, (name[0], name[1])

    def send(self, hop: Hop, data: bytes) -> None:
        """On the hop's connection if it lives, else on a new one to its address. Never waits."""
        key = (hop.ip, hop.port)
        connection = self._connections.get(hop.connection) or self._made.get(key)
        if connection is not None:
            connection.send(data)
            return
        trunk = self.trunks.trunk_of(hop.ip)
        if trunk is None and not hop.chosen:  # no other connections are made, whatever a Via or Contact says
            self.counters.add("tcp.not_connected")
            return
        if key not in self._dialing:
            if not self._places.free(trunk, len(self._dialing)):
                self.counters.add("tcp.refused")
                return
            self._dialing[key] = (asyncio.get_running_loop().create_task(self._dial(hop)), [])
        queue = self._dialing[key][1]
        if sum(map(len, queue)) + len(data) > self.limits.tcp_write_buffer_bytes:
            self.counters.add("tcp.overrun")
            return
        queue.append(data)

    async def _dial(self, hop: Hop) -> None:
        loop, key = asyncio.get_running_loop(), (hop.ip, hop.port)
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self.limits.tcp_connect_s):
                _, connection = await loop.create_connection(lambda: _Connection(self, hop.listener), *key)
            if connection.number:
                self._made[key] = connection
        except OSError:  # TimeoutError is one
            self.counters.add("tcp.connect_failed")
            connection = self._connections.get(hop.fallback)
            if connection is None:
                self.on_not_connected(*key)
        finally:
            _, queue = self._dialing.pop(key)
        if connection is not None:
            for data in queue:
                connection.send(data)

    def admit(self, connection: _Connection) -> int:
        """A number for a new connection; 0 when there are too many."""
        if not self._places.take(connection.trunk, connection.ip):
            self.counters.add("tcp.refused")
            return 0
        self._last += 1
        self._connections[self._last] = connection
        self.counters.add("tcp.opened")
        return self._last

    def forget(self, connection: _Connection) -> None:
        if self._connections.pop(connection.number, None) is not None:
            self._places.give_back(connection.trunk, connection.ip)
        if self._made.get(connection.peer) is connection:
            del self._made[connection.peer]

    def close(self) -> list[asyncio.Task[None]]:
        """Cut all connections; the returned tasks have been cancelled and are to be awaited."""
        for connection in list(self._connections.values()):
            connection.cut("closed")
        tasks = [task for task, _ in self._dialing.values()]
        for task in tasks:
            task.cancel()
        return tasks


class _Connection(asyncio.Protocol):
    def __init__(self, connections: TcpConnections, listener: int) -> None:
        self._all = connections
        self._listener = listener
        self._framer = StreamFramer(connections.limits.message_bytes)
        self._idle_s = connections.limits.tcp_idle_s
        self._half_message_s = connections.limits.tcp_half_message_s
        self._frames: Iterator[bytes] = iter(())
        self._stranger_bytes = _STRANGER_BYTES
        self.trunk: str | None = None
        self._transport: asyncio.Transport | None = None
        self.number = 0
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._partial_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.ip = ""
        self._port = 0

    @property
    def peer(self) -> tuple[str, int]:
        return self.ip, self._port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer is None:  # gone already
            transport.abort()
            return
        self.ip, self._port = peer[0], peer[1]
        self.trunk = self._all.trunks.trunk_of(self.ip)
        if self.trunk is None:
            self._as_stranger(self._all.limits)
        self.number = self._all.admit(self)
        if not self.number:
            transport.abort()
            return
        self._watch()

    def _as_stranger(self, limits: EdgeLimits) -> None:
        self._framer = StreamFramer(limits.stranger_message_bytes)
        self._idle_s = limits.stranger_tcp_idle_s
        self._half_message_s = limits.stranger_tcp_half_message_s

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._all.forget(self)

    def data_received(self, data: bytes) -> None:
        if not self.number:
            return
        if self.trunk is not None:
            self._heard_at = self._loop.time()
        else:
            self._stranger_bytes -= len(data)
            if self._stranger_bytes < 0:
                self.cut("stranger")
                return
        self._frames = self._framer.feed(data)
        self._serve()

    def _serve(self) -> None:
        """Some messages, and the others in the next turn of the loop: what one peer sends at once delays no other."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        hop = Hop("tcp", self.ip, self._port, self._listener, self.number)
        try:
            for _ in range(_SERVED_AT_ONCE):
                frame = next(self._frames, None)
                if frame is None:
                    self._all_served(transport)
                    return
                if frame == KEEPALIVE:
                    self._all.counters.add("keepalives")
                    self.send(_PONG)
                    continue
                self._all.on_message(frame, hop)
                self._partial_since = None
                self._heard_at = self._loop.time()  # a stranger's pings and halves don't keep its place
        except FramingError as error:
            self._all.counters.add(f"malformed.{error.kind}")
            self.cut("framing")
            return
        transport.pause_reading()
        self._loop.call_soon(self._serve)

    def _all_served(self, transport: asyncio.Transport) -> None:
        transport.resume_reading()
        if not self._framer.partial:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self._loop.time()
            self._watch()

    def send(self, data: bytes) -> None:
        """Queue without waiting; a peer that does not read is cut off, since others must not pay for it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._all.limits.tcp_write_buffer_bytes:
            self.cut("overrun")

    def cut(self, why: str) -> None:
        self._all.counters.add(f"tcp.{why}")
        if self._transport is not None:
            self._transport.abort()

    def _watch(self) -> None:
        """One timer a connection: the nearer of idle and half-message timeout."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._loop.time()
        if now >= self._heard_at + self._idle_s and self._all.carries_a_call(self.number):
            self._heard_at = now
        due = self._heard_at + self._idle_s
        if self._partial_since is not None:
            due = min(due, self._partial_since + self._half_message_s)
        if now >= due:
            self.cut("half_message" if self._partial_since is not None else "idle")
            return
        self._timer = self._loop.call_at(due, self._watch)
