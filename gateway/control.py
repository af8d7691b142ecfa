"""The control channel between the gateway and each call worker: one Unix socket pair, framed messages.

A frame is four bytes of length, big-endian, then JSON: `{"kind": name, ...fields}`. End of file means that the
other side is gone, which is how a killed worker is noticed at once.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

__all__ = [
    "CALL_HEADER",
    "MAX_FRAME_BYTES",
    "Channel",
    "ChannelError",
    "Drain",
    "EndCall",
    "FrameDecoder",
    "Heartbeat",
    "Message",
    "Prepare",
    "Ready",
    "Record",
    "Stop",
    "encode",
]

CALL_HEADER = "X-Trunkline-Call"  # of the INVITE on loopback: which prepared call it is
MAX_FRAME_BYTES = 4 * 1024 * 1024
_LENGTH = struct.Struct(">I")
log = structlog.get_logger(__name__)


class ChannelError(Exception):
    """A frame that the other side should never have sent."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of what travels. Fields are JSON values."""


@dataclass(frozen=True, slots=True)
class Prepare(Message):
    """Gateway to worker: an INVITE with this call's id is on its way; get its persona ready.

    `call` is a CallInfo as a mapping; `persona_file` and `persona_class` name the persona; `recording` is a path, or
    empty for none; `session` and `speech` are the route's overrides of the settings.
    """

    call: Mapping[str, Any]
    persona_file: str
    persona_class: str
    rule: str
    recording: str = ""
    session: Mapping[str, Any] = field(default_factory=dict)
    speech: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndCall(Message):
    """Gateway to worker: end this call; `politely` lets the agent say goodbye first."""

    call_id: str
    politely: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Gateway to worker: every call ends with a goodbye now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Gateway to worker: hang up whatever is left, and exit."""


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Worker to gateway: SIP is up. `slots`: calls that it can hold at once, as probed."""

    pid: int
    sip_port: int
    slots: int


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """Worker to gateway, once a second and at the end of each call. `calls`: ids of those it holds, prepared ones
    included. `lingering`: slots of calls that are over for us, but whose peer has not answered our BYE (32 s at most).
    """

    calls: list[str]
    loop_lag_ms: float
    lingering: int = 0


@dataclass(frozen=True, slots=True)
class Record(Message):
    """Worker to gateway: something for a call's record; `body` is a message of `gateway.record`."""

    body: Mapping[str, Any]


_KINDS: dict[str, type[Message]] = {
    cls.__name__: cls for cls in (Prepare, EndCall, Drain, Stop, Ready, Heartbeat, Record)
}


def encode(message: Message) -> bytes:
    body = json.dumps({"kind": type(message).__name__, **asdict(message)}, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise ChannelError(f"a {type(message).__name__} of {len(body)} bytes is too large to send")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Bytes in, messages out, whatever the pieces. Raises ChannelError for a frame that cannot be ours."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ChannelError(f"a frame of {length} bytes is announced")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_decode(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages


def _decode(body: bytes) -> Message:
    try:
        fields = json.loads(body)
        kind = fields.pop("kind")
        return _KINDS[kind](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChannelError(f"not a control message: {body[:80]!r}") from error


class Channel(asyncio.Protocol):
    """One end of a control channel on the asyncio loop."""

    def __init__(self, on_message: Callable[[Message], None], on_closed: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_closed = on_closed
        self._decoder = FrameDecoder()
        self._transport: asyncio.WriteTransport | None = None
        self.closed = asyncio.Event()

    @classmethod
    async def open(
        cls, sock: socket.socket, on_message: Callable[[Message], None], on_closed: Callable[[], None]
    ) -> Channel:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(lambda: cls(on_message, on_closed), sock=sock)
        return channel

    def send(self, message: Message) -> None:
        """Queue a message; nothing happens when the other side is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(message))

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
            log.error("control_channel_broken", error=str(error))
            self.close()
            return
        for message in messages:
            try:
                self._on_message(message)
            except Exception as error:
                # One message that can't be dealt with must not cost a worker and all its calls.
                log.error("control_message_failed", kind=type(message).__name__, error=repr(error), exc_info=error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._on_closed()
