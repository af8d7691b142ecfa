"""Between an owner and each of its processes: one Unix socket pair, framed messages.

A frame is four bytes of length, big-endian, then JSON: `{"kind": name, ...fields}`. End of file means that the other
side is gone, so a killed process is noticed at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import ClassVar, Self

__all__ = ["Channel", "ChannelError", "FrameDecoder", "Message", "Wire"]

_LENGTH = struct.Struct(">I")
_log = logging.getLogger(__name__)


class ChannelError(Exception):
    """A frame that the other side should not have sent, or that we must not send."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base class of messages. Fields are JSON values."""


class Wire:
    """What a kind of channel may carry: `kinds` of messages, frames of at most `most_bytes` of JSON."""

    def __init__(self, kinds: Iterable[type[Message]], *, most_bytes: int) -> None:
        self._kinds = {kind.__name__: kind for kind in kinds}
        self.most_bytes = most_bytes

    def encode(self, message: Message) -> bytes:
        """Raises ChannelError for values that are not JSON, or too large."""
        kind = type(message).__name__
        try:
            body = json.dumps({"kind": kind, **asdict(message)}, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise ChannelError(f"a {kind} must hold JSON values only: {error}") from error
        if len(body) > self.most_bytes:
            raise ChannelError(f"a {kind} of {len(body)} bytes is too large to send")
        return _LENGTH.pack(len(body)) + body

    def decode(self, body: bytes) -> Message:
        """One frame without its length. Raises ChannelError."""
        try:
            fields = json.loads(body)
            return self._kinds[fields.pop("kind")](**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ChannelError(f"not a control message: {body[:80]!r}") from error


class FrameDecoder:
    """Bytes in, messages out, however they are chunked. Raises ChannelError for an invalid frame."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self._wire.most_bytes:
                raise ChannelError(f"a frame of {length} bytes is announced")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(self._wire.decode(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages


class Channel(asyncio.Protocol):
    """One end on the asyncio loop. Users derive a class with their `wire`."""

    wire: ClassVar[Wire]

    def __init__(self, on_message: Callable[[Message], None], on_closed: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_closed = on_closed
        self._decoder = FrameDecoder(self.wire)
        self._transport: asyncio.WriteTransport | None = None
        self._sock: socket.socket | None = None
        self.closed = asyncio.Event()

    @classmethod
    async def open(
        cls, sock: socket.socket, on_message: Callable[[Message], None], on_closed: Callable[[], None]
    ) -> Self:
        channel = cls(on_message, on_closed)
        await channel.connect(sock)
        return channel

    async def connect(self, sock: socket.socket) -> None:
        """The channel owns `sock` from now on."""
        sock.setblocking(False)
        self._sock = sock
        await asyncio.get_running_loop().create_connection(lambda: self, sock=sock)

    def send(self, message: Message) -> None:
        """Queue a message; does nothing if the other side is gone. Raises ChannelError."""
        data = self.wire.encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def send_past_the_loop(self, message: Message) -> None:
        """Send from another thread while the loop is blocked. Lost if the other side does not read: a frame is sent
        whole or not at all."""
        transport, sock = self._transport, self._sock
        if transport is None or sock is None or transport.is_closing() or transport.get_write_buffer_size():
            return
        with suppress(OSError):
            sock.send(self.wire.encode(message), socket.MSG_DONTWAIT)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except ChannelError as error:
            _log.error("a control channel is broken: %s", error)
            self.close()
            return
        for message in messages:
            try:
                self._on_message(message)
            except Exception:  # noqa: BLE001 - one message that cannot be handled must not cost a process and its calls
                _log.exception("handling a %s failed", type(message).__name__)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._on_closed()
