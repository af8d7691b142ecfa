"""Limits of the API's connections: their number, and how long they may stay idle or incomplete.

aiohttp waits forever for the rest of a request; a few hundred connections that never finish would use up all that
the API has. So each connection is timed here, before aiohttp sees it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.problems import ProblemError

__all__ = ["ConnectionLimits", "Connections", "LimitedSite"]

log = structlog.get_logger(__name__)

_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    connections: int = 256
    connections_per_address: int = 128  # a proxy in front of us counts as one address
    head_s: float = 5.0  # from the connection, or the first byte of a later request, to the whole head
    body_s: float = 5.0  # from the head to the whole body
    unread_s: float = 30.0  # a response that the client does not read


class Connections:
    """The open connections. `timely` is the outermost middleware, `whole_body` the innermost."""

    def __init__(self, limits: ConnectionLimits | None = None) -> None:
        self.limits = limits or ConnectionLimits()
        self._open: dict[asyncio.BaseTransport, _Connection] = {}  # those that count against the limits
        self._of_address: Counter[str] = Counter()
        self.waiting: dict[_Connection, None] = {}  # waiting for a request, the longest first
        self.closed: Counter[str] = Counter()  # closed by us: reason -> count

    def __len__(self) -> int:
        return self._of_address.total()

    def protocol(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """`inner` with timeouts."""
        return _Connection(self, inner)

    def admit(self, connection: _Connection, transport: asyncio.BaseTransport, address: str) -> bool:
        """Admit a connection. If there are too many, the one waiting longest for a request is closed, so that idle
        connections lock nobody out."""
        limits = self.limits
        if self._of_address[address] >= limits.connections_per_address and not self._make_room(address):
            return False
        if len(self) >= limits.connections and not self._make_room(None):
            return False
        self._open[transport] = connection
        self._of_address[address] += 1
        return True

    def _make_room(self, address: str | None) -> bool:
        """Close the one that has waited longest, of one address or of all."""
        self.closed["too_many"] += 1
        for connection in self.waiting:
            if address is None or connection.address == address:
                connection.cut("too_many")
                return True
        return False

    def forget(self, transport: asyncio.BaseTransport | None, address: str) -> None:
        if transport is not None:
            self._open.pop(transport, None)
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    @web.middleware
    async def timely(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The head is complete: stop its timer."""
        connection = self._open.get(request.transport) if request.transport is not None else None
        if connection is None:
            return await handler(request)
        connection.serving(True)
        try:
            return await handler(request)
        finally:
            connection.serving(False)

    @web.middleware
    async def whole_body(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reads the whole body before the handler runs."""
        if request.can_read_body:
            try:
                async with asyncio.timeout(self.limits.body_s):
                    await request.read()
            except TimeoutError:
                self.closed["body"] += 1
                raise ProblemError(
                    HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.", {"Connection": "close"}
                ) from None
        return await handler(request)


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._all = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self.address = ""
        self._admitted = False
        self._begun = False
        self._serving = False
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._admitted = self._all.admit(self, transport, self.address)
        if not self._admitted:
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._begun = True
        self._inner.connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        if not self._serving and self._head is None:
            self._await_head()
        self._inner.data_received(data)

    def serving(self, serving: bool) -> None:
        self._serving = serving
        self._stop_head()
        if not serving and self._admitted:
            self._all.waiting[self] = None  # for its next request, if there is one

    def _await_head(self) -> None:
        self._head = self._cut_after(self._all.limits.head_s, "head")
        self._all.waiting[self] = None

    def _stop_head(self) -> None:
        self._all.waiting.pop(self, None)
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._admitted else None

    def pause_writing(self) -> None:
        self._stop_unread()
        self._unread = self._cut_after(self._all.limits.unread_s, "unread")
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._stop_unread()
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._begun:
            self._inner.connection_lost(exc)

    def _leave(self) -> None:
        self._stop_head()
        self._stop_unread()
        if self._admitted:
            self._admitted = False
            self._all.forget(self._transport, self.address)

    def _cut_after(self, seconds: float, why: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.cut, why)

    def cut(self, why: str) -> None:
        """Frees its place at once."""
        if why != "too_many":
            self._all.closed[why] += 1
        log.info("http_connection_closed", reason=why, address=self.address)
        self._leave()
        if self._transport is not None:
            self._transport.abort()


class LimitedSite(web.BaseSite):
    """A listening socket whose connections have timeouts."""

    __slots__ = ("_connections", "_host", "_port")

    def __init__(self, runner: web.AppRunner, host: str, port: int, connections: Connections) -> None:
        super().__init__(runner)
        self._host, self._port, self._connections = host, port, connections

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None
        make: Callable[[], asyncio.Protocol] = server
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connections.protocol(make()), self._host, self._port, backlog=self._backlog
        )
