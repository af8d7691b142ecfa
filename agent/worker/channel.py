"""Between the worker's main process and each job process: one Unix socket pair, framed messages.

A frame is four bytes of length, big-endian, then JSON: `{"kind": name, ...fields}`. End of file means that the other
side is gone, which is how a killed process is noticed at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "Beat",
    "Channel",
    "ChannelError",
    "EndJob",
    "JobEnded",
    "JobSays",
    "JobState",
    "Message",
    "ProcessReady",
    "RunJob",
    "Stop",
    "decode",
    "encode",
]

MAX_FRAME_BYTES = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_log = logging.getLogger(__name__)


class ChannelError(Exception):
    """A frame that the other side should never have sent."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of what travels. Fields are JSON values."""


@dataclass(frozen=True, slots=True)
class RunJob(Message):
    """To a process: run this. `job` is a serialized livekit.Job, as hexadecimal digits. `attempt` above 1: the process
    that had it was lost; `state` is then what the job had stored last, or None."""

    job_id: str
    job: str
    url: str
    token: str
    identity: str
    worker_id: str
    attempt: int = 1
    state: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EndJob(Message):
    """To a process: end this job; `politely`: let it say goodbye."""

    job_id: str
    politely: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """To a process: end what runs, and exit."""


@dataclass(frozen=True, slots=True)
class ProcessReady(Message):
    """From a process: jobs may come."""

    pid: int


@dataclass(frozen=True, slots=True)
class JobState(Message):
    """From a process: what is needed to go on with this job in another process."""

    job_id: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobSays(Message):
    """From a process: something for the application's part in the main process."""

    job_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobEnded(Message):
    """From a process: this job is over; `error` is empty unless it failed."""

    job_id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Beat(Message):
    """From a process, once a second."""

    jobs: list[str]
    loop_lag_ms: float


_KINDS: dict[str, type[Message]] = {
    cls.__name__: cls for cls in (RunJob, EndJob, Stop, ProcessReady, JobState, JobSays, JobEnded, Beat)
}


def encode(message: Message) -> bytes:
    """Raises ChannelError for what is no JSON, or too large."""
    try:
        body = json.dumps({"kind": type(message).__name__, **asdict(message)}, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ChannelError(f"a {type(message).__name__} must hold JSON values only: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise ChannelError(f"a {type(message).__name__} of {len(body)} bytes is too large to send")
    return _LENGTH.pack(len(body)) + body


def decode(buffer: bytearray) -> list[Message]:
    """Take all whole frames out of `buffer`. Raises ChannelError for a frame that cannot be ours."""
    messages: list[Message] = []
    while len(buffer) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer)
        if length > MAX_FRAME_BYTES:
            raise ChannelError(f"a frame of {length} bytes is announced")
        end = _LENGTH.size + length
        if len(buffer) < end:
            break
        messages.append(_message(bytes(buffer[_LENGTH.size : end])))
        del buffer[:end]
    return messages


def _message(body: bytes) -> Message:
    try:
        fields = json.loads(body)
        return _KINDS[fields.pop("kind")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChannelError(f"not a control message: {body[:80]!r}") from error


class Channel(asyncio.Protocol):
    """One end on the asyncio loop."""

    def __init__(self, on_message: Callable[[Message], None], on_closed: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_closed = on_closed
        self._buffer = bytearray()
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
        """Queue a message; nothing happens when the other side is gone. Raises ChannelError."""
        data = encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for message in decode(self._buffer):
                self._on_message(message)
        except ChannelError as error:
            _log.error("a job process's channel is broken: %s", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._on_closed()
