"""The TCP and TLS shell: connections, accepted and made, and their limits. What messages mean is decided in core."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from telephony.edge.admission import Bucket, TrunkTable
from telephony.edge.budget import ConnectionPlaces
from telephony.edge.certificates import Certificates
from telephony.edge.counters import EdgeCounters
from telephony.edge.hops import Hop, NotConnected
from telephony.edge.protocol import Transport
from telephony.edge.settings import EdgeLimits
from telephony.edge.tcp_connection import Connection
from telephony.edge.tls import TlsFailed, TlsLayer

__all__ = ["TcpConnections"]

log = structlog.get_logger(__name__)

_WAITING = 512  # connections that the system holds until they are accepted
_ACCEPTED_AT_ONCE = 16

_Place = tuple[str, str, int, str, str]


@dataclass(slots=True)
class _Dialing:
    task: asyncio.Task[None]
    queue: list[bytes] = field(default_factory=list)


class TcpConnections:
    """All connections of the edge, by number. Implements `tcp_connection.Connections`."""

    def __init__(
        self,
        limits: EdgeLimits,
        counters: EdgeCounters,
        on_message: Callable[[bytes, Hop], None],
        trunks: TrunkTable,
        carries_a_call: Callable[[int], bool],
        on_not_connected: Callable[[NotConnected], None],
        on_tls_failed: Callable[[str, str, int, str], None],
        certificates: Certificates,
        on_closed: Callable[[int], None],
    ) -> None:
        """`carries_a_call`: whether a caller is reached over the connection of this number; such connections never
        count as idle, since a caller behind a NAT cannot be reached otherwise. `on_tls_failed(trunk, ip, port, why)`:
        the trunk is empty for a stranger, and the port 0 for a connection that was made to us. `on_closed`: the
        number of a connection that is no more."""
        self.limits = limits
        self.counters = counters
        self.on_message = on_message
        self.trunks = trunks
        self.carries_a_call = carries_a_call
        self.on_not_connected = on_not_connected
        self.on_tls_failed = on_tls_failed
        self._certificates = certificates
        self._on_closed = on_closed
        self._places = ConnectionPlaces(limits, len(trunks))
        self._connections: dict[int, Connection] = {}
        self._last = 0
        self._dialing: dict[_Place, _Dialing] = {}
        self._made: dict[_Place, Connection] = {}  # connections that we made, by destination
        self._handshakes: Counter[str] = Counter()  # begun by others, by source
        self._strangers = Bucket(limits.stranger_handshakes_per_second, limits.stranger_handshake_burst)

    def __len__(self) -> int:
        return len(self._connections)

    async def listen(
        self, transport: Transport, host: str, port: int, listener: int
    ) -> tuple[asyncio.Server, tuple[str, int]]:
        """Accept on an address; also returns the bound address. Raises OSError if unavailable."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has listeners of its own
            sock.setblocking(False)
            sock.bind((host, port))
            # asyncio accepts this many in one turn of the loop, during which no call is served
            server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self, listener, secure=transport == "tls"), sock=sock, backlog=_ACCEPTED_AT_ONCE
            )
            sock.listen(_WAITING)
        except BaseException:
            sock.close()
            raise
        name = sock.getsockname()
        return server, (name[0], name[1])

    def send(self, hop: Hop, data: bytes) -> None:
        """On the hop's connection if it lives, else on a new one to its address. Never waits."""
        place = hop.place
        connection = self._connections.get(hop.connection) or self._made.get(place)
        if connection is not None:
            connection.send(data)
            return
        trunk = hop.trunk or self.trunks.trunk_of(hop.ip)
        if hop.transport == "tls" and trunk is not None and not hop.trunk:
            hop = replace(hop, trunk=trunk)  # an answer, whose connection is gone
            place = hop.place
        if trunk is None and not hop.chosen:  # no other connections are made, whatever a Via or Contact says
            self.counters.add("tcp.not_connected")
            return
        if place not in self._dialing:
            if not self._places.free(trunk, len(self._dialing)):
                self.counters.add("tcp.refused")
                return
            self._dialing[place] = _Dialing(asyncio.get_running_loop().create_task(self._dial(hop)))
        queue = self._dialing[place].queue
        if sum(map(len, queue)) + len(data) > self.limits.tcp_write_buffer_bytes:
            self.counters.add("tcp.overrun")
            return
        queue.append(data)

    async def _dial(self, hop: Hop) -> None:
        connection: Connection | None = None
        failed: NotConnected | None = None
        try:
            connection = await self._connect(hop)
            if connection.number:
                self._made[hop.place] = connection
        except TlsFailed as error:
            failed = NotConnected(hop, str(error))
            self._failed(hop.ip, hop.port, hop.trunk, error)
        except OSError:  # TimeoutError is one
            self.counters.add("tcp.connect_failed")
            failed = NotConnected(hop)
        finally:
            queue = self._dialing.pop(hop.place).queue
        if failed is not None:
            connection = self._connections.get(hop.fallback)
            if connection is None:
                self.on_not_connected(failed)
        if connection is not None:
            for data in queue:
                connection.send(data)

    async def _connect(self, hop: Hop) -> Connection:
        """Raises OSError, TlsFailed."""
        loop = asyncio.get_running_loop()
        secure = hop.transport == "tls"
        async with asyncio.timeout(self.limits.tcp_connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(self, hop.listener, secure=secure, to=hop), hop.ip, hop.port
            )
        if not secure:
            return connection
        try:
            async with asyncio.timeout(self.limits.tls_handshake_s):
                await connection.ready
        except TimeoutError:
            connection.abort()
            raise TlsFailed("handshake_timeout", f"no handshake in {self.limits.tls_handshake_s:g} s") from None
        return connection

    # What connections ask for

    def admit(self, connection: Connection) -> int:
        """A number for a new connection; 0 if there are too many."""
        accepted_tls = connection.secure and connection.to is None
        if accepted_tls and not self._may_begin_a_handshake(connection):
            self.counters.add("tls.refused")
            return 0
        if not self._places.take(connection.trunk, connection.ip):
            self.counters.add("tcp.refused")
            return 0
        if accepted_tls:
            connection.handshaking = True
            self._handshakes[connection.ip] += 1
        self._last += 1
        self._connections[self._last] = connection
        self.counters.add("tls.opened" if connection.secure else "tcp.opened")
        return self._last

    def _may_begin_a_handshake(self, connection: Connection) -> bool:
        if self._handshakes[connection.ip] >= self.limits.tls_handshakes_per_source:
            return False
        if connection.trunk is None:
            if not self._strangers.has(1.0, asyncio.get_running_loop().time()):
                return False
            self._strangers.spend(1.0)
        return True

    def layer(self, connection: Connection) -> TlsLayer | None:
        """None: there is no certificate."""
        to = connection.to
        if to is None:
            context = self._certificates.server
            return None if context is None else TlsLayer(context, server_side=True)
        context = self._certificates.client(to.trunk)
        host = to.name or self.trunks.host_name(to.trunk, to.ip)
        name = self._certificates.name_for(to.trunk, host) or to.ip
        return None if context is None else TlsLayer(context, server_side=False, name=name)

    def established(self, connection: Connection, names: frozenset[str]) -> None:
        """A handshake is complete. A caller's verified certificate may identify its trunk."""
        self._handshake_over(connection)
        self.counters.add("tls.established")
        owner = self.trunks.trunk_with_certificate(names)
        if connection.to is None and owner is not None:
            if owner != connection.trunk:
                self._places.give_back(connection.trunk, connection.ip)
                if not self._places.take(owner, connection.ip):
                    self._places.take(None, connection.ip)
                    connection.cut("refused")
                    return
            connection.belongs_to(owner)

    def give_to(self, number: int, trunk: str) -> None:
        """A phone of this trunk has registered over the connection, so that it is not a stranger's any more."""
        connection = self._connections.get(number)
        if connection is None or connection.trunk is not None:
            return
        self._places.give_back(None, connection.ip)
        if not self._places.take(trunk, connection.ip):
            self._places.take(None, connection.ip)
            connection.cut("refused")
            return
        connection.taken_by(trunk)

    def _handshake_over(self, connection: Connection) -> None:
        if not connection.handshaking:
            return
        connection.handshaking = False
        if connection.to is None:
            self._handshakes[connection.ip] -= 1
            if self._handshakes[connection.ip] <= 0:
                del self._handshakes[connection.ip]

    def failed(self, connection: Connection, error: TlsFailed) -> None:
        """Its TLS has failed and it is about to be cut. `_dial` reports failures of our own connections that are not
        ready yet."""
        to = connection.to
        if to is None:
            self._failed(connection.ip, 0, connection.trunk or "", error)
        elif connection.ready.done():
            self._failed(to.ip, to.port, to.trunk, error)
            self.on_not_connected(NotConnected(to, str(error)))

    def _failed(self, ip: str, port: int, trunk: str, error: TlsFailed) -> None:
        self.counters.add(f"tls.{error.kind}")
        self.on_tls_failed(trunk, ip, port, str(error))

    def forget(self, connection: Connection) -> None:
        self._handshake_over(connection)
        if self._connections.pop(connection.number, None) is not None:
            self._places.give_back(connection.trunk, connection.ip)
            self._on_closed(connection.number)
        if connection.to is not None and self._made.get(connection.to.place) is connection:
            del self._made[connection.to.place]

    def close(self) -> list[asyncio.Task[None]]:
        """Cut all connections; await the returned tasks, which have been cancelled."""
        for connection in list(self._connections.values()):
            connection.cut("closed")
        tasks = [dialing.task for dialing in self._dialing.values()]
        for task in tasks:
            task.cancel()
        return tasks
