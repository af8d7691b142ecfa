"""One TCP or TLS connection: its messages, timeouts and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from telephony.edge.admission import TrunkTable
from telephony.edge.counters import EdgeCounters
from telephony.edge.hops import Hop
from telephony.edge.settings import EdgeLimits
from telephony.edge.tls import TlsFailed, TlsLayer
from telephony.sip.framing import KEEPALIVE, FramingError, StreamFramer

__all__ = ["Connection", "Connections"]

_PONG = b"\r\n"
_SERVED_AT_ONCE = 16  # messages of one connection in a turn of the loop
_STRANGER_BYTES = 65_536  # most that a stranger may send over one connection
_BROKEN = TlsFailed("closed", "the peer closed the connection during the handshake")
_REFUSED = TlsFailed(  # with TLS 1.3 a server looks at our certificate when we are done, and not all send an alert
    "closed", "the peer closed the connection after the handshake: it may require another certificate from us, or any"
)


class Connections(Protocol):
    """The owner of connections (`tcp.TcpConnections`)."""

    limits: EdgeLimits
    counters: EdgeCounters
    trunks: TrunkTable
    on_message: Callable[[bytes, Hop], None]
    carries_a_call: Callable[[int], bool]

    def admit(self, connection: Connection) -> int: ...

    def layer(self, connection: Connection) -> TlsLayer | None: ...

    def established(self, connection: Connection, names: frozenset[str]) -> None: ...

    def failed(self, connection: Connection, error: TlsFailed) -> None: ...

    def forget(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """`to`: the destination if we made it; None: the peer made it. `ready`: its handshake, if any, is complete."""

    def __init__(self, connections: Connections, listener: int, *, secure: bool, to: Hop | None = None) -> None:
        self._all = connections
        self._listener = listener
        self.secure = secure
        self.to = to
        limits = connections.limits
        self._framer = StreamFramer(limits.message_bytes)
        self._idle_s = limits.tcp_idle_s
        self._half_message_s = limits.tcp_half_message_s
        self._handshake_s = limits.tls_handshake_s
        self._frames: Iterator[bytes] = iter(())
        self._stranger_bytes = _STRANGER_BYTES
        self.trunk: str | None = None
        self._certified = "" if to is None else to.trunk
        self._transport: asyncio.Transport | None = None
        self._layer: TlsLayer | None = None
        self.number = 0
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.handshaking = False
        self._silent = True  # nothing has come
        self._unheard = True  # no message has come
        self._over = False  # for us
        self._heard_at = self._began_at = self._loop.time()
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
        self.trunk = self._all.trunks.trunk_of(self.ip) if self.to is None else self.to.trunk or self._owner(self.to)
        if self.trunk is None:
            self._as_stranger(self._all.limits)
        self.number = self._all.admit(self)
        if not self.number:
            transport.abort()
            return
        if self.secure:
            self._begin_handshake(transport)
        self._watch()

    def _owner(self, to: Hop) -> str | None:
        return self._all.trunks.trunk_of(to.ip)

    def _begin_handshake(self, transport: asyncio.Transport) -> None:
        self._layer = self._all.layer(self)
        if self._layer is None:
            self.cut("no_certificate")
            return
        if self.to is not None:
            self.handshaking = True
            self._layer.start()
            transport.write(self._layer.outgoing())

    def _as_stranger(self, limits: EdgeLimits) -> None:
        self._framer = StreamFramer(limits.stranger_message_bytes)
        self._idle_s = limits.stranger_tcp_idle_s
        self._half_message_s = limits.stranger_tcp_half_message_s
        self._handshake_s = limits.stranger_tls_handshake_s

    def belongs_to(self, trunk: str) -> None:
        """Its certificate has identified its trunk; nothing has been read before."""
        limits = self._all.limits
        self.trunk = self._certified = trunk
        self._framer = StreamFramer(limits.message_bytes)
        self._idle_s = limits.tcp_idle_s
        self._half_message_s = limits.tcp_half_message_s
        self._watch()

    def taken_by(self, trunk: str) -> None:
        """A phone of the trunk has registered over it. What has been read of the next message stays."""
        limits = self._all.limits
        self.trunk = trunk
        self._framer.limit = limits.message_bytes
        self._idle_s = limits.tcp_idle_s
        self._half_message_s = limits.tcp_half_message_s
        self._heard_at = self._loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ready.done() and self.to is not None:
            self.ready.set_exception(_BROKEN)
            self.ready.exception()  # nobody may be waiting any longer
        elif self.handshaking and not (self._over or self._silent):
            self._all.failed(self, _BROKEN)
        elif self.secure and self.to is not None and self._unheard and not self._over:
            self._all.failed(self, _REFUSED)
        self._all.forget(self)

    def data_received(self, data: bytes) -> None:
        if not self.number:
            return
        self._silent = False
        if self.trunk is not None:
            self._heard_at = self._loop.time()
        else:
            self._stranger_bytes -= len(data)
            if self._stranger_bytes < 0:
                self.cut("stranger")
                return
        if self._layer is not None:
            data = self._decrypted(self._layer, data)
            if not data:
                return
        self._frames = self._framer.feed(data)
        self._serve()

    def _decrypted(self, layer: TlsLayer, data: bytes) -> bytes:
        try:
            plain = layer.receive(data)
        except TlsFailed as error:
            self._write(layer.outgoing())  # the alert
            self._all.failed(self, error)
            if not self.ready.done():
                self.ready.set_exception(error)
                self.ready.exception()
            self._close()
            return b""
        self._write(layer.outgoing())
        if layer.established and not self.ready.done():
            self.ready.set_result(None)
            self._all.established(self, layer.peer_names if self.to is None else frozenset())
            self._watch()
        if layer.closed and not plain:
            self._close()
        return plain

    def _serve(self) -> None:
        """Handle some messages, and the rest in the next turn of the loop, so that one peer's burst does not delay
        others."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        hop = Hop(
            "tls" if self.secure else "tcp", self.ip, self._port, self._listener, self.number, trunk=self._certified,
            name="" if self.to is None else self.to.name,
        )  # fmt: skip
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
                self._unheard = False
                self._partial_since = None
                self._heard_at = self._loop.time()  # a stranger's pings and partial messages don't keep its place
        except FramingError as error:
            self._all.counters.add(f"malformed.{error.kind}")
            self.cut("framing")
            return
        transport.pause_reading()
        self._loop.call_soon(self._serve)

    def _all_served(self, transport: asyncio.Transport) -> None:
        transport.resume_reading()
        if self._layer is not None and self._layer.closed:
            self._close()
        elif not self._framer.partial:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self._loop.time()
            self._watch()

    def send(self, data: bytes) -> None:
        """Queue without waiting; a peer that does not read is cut off, so that others do not pay for it."""
        transport, layer = self._transport, self._layer
        if transport is None or transport.is_closing():
            return
        if layer is not None:
            layer.send(data)
            data = layer.outgoing()
        self._write(data)
        waiting = transport.get_write_buffer_size() + (0 if layer is None else layer.waiting)
        if waiting > self._all.limits.tcp_write_buffer_bytes:
            self.cut("overrun")

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def cut(self, why: str) -> None:
        self._all.counters.add(f"{'tls' if self.secure else 'tcp'}.{why}")
        self.abort()

    def abort(self) -> None:
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        """Close after pending data has been sent."""
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def _watch(self) -> None:
        """One timer per connection: the nearest of handshake, idle and partial-message timeout."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._loop.time()
        if now >= self._heard_at + self._idle_s and self._all.carries_a_call(self.number):
            self._heard_at = now
        due = self._heard_at + self._idle_s
        why = "idle"
        if self._partial_since is not None:
            due, why = min(due, self._partial_since + self._half_message_s), "half_message"
        if self.handshaking and self.to is None:
            due, why = self._began_at + self._handshake_s, "handshake_timeout"
        if now >= due:
            if why == "handshake_timeout":
                self._all.failed(self, TlsFailed(why, f"no handshake in {self._handshake_s:g} s"))
                self.abort()
            else:
                self.cut(why)
            return
        self._timer = self._loop.call_at(due, self._watch)
