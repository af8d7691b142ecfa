"""A leg in another process joined to a room in this one: 20 ms frames both ways over a Unix socket.

The room's process offers places (`RemotePlaces.offer`) and passes a ticket on by any means. The leg's process takes the
place (`take_place`) and gets a `LegAudio` to join its leg to. The leg's clock drives both: each frame that it pushes is
answered with the frame that it will hear. Messages (`send`, `on_message`) use a separate socket, so that a ringing or
held leg can be reached. If either socket closes, the other process counts as gone; this is reported once.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from telephony.errors import TelephonyError
from telephony.media.frames import FRAME_BYTES, SILENCE
from telephony.rooms.mixing import FrameQueue
from telephony.rooms.protocol import LegAudio

__all__ = ["PlaceLost", "RemoteLink", "RemotePlaces", "Ticket", "take_place"]

OFFER_LIMIT_S = 5.0  # time for the other process to connect
_HELLO_LIMIT_S = 1.0
_MESSAGE_BYTES = 64 * 1024
_TOKEN_BYTES = 24
_AUDIO = ".audio"  # suffix of the path of a place's second socket
_CATCH_UP_EVERY = 8  # pulls
_BURST = 4  # frames read at once: more than a room keeps anyway

Messages = Callable[[Mapping[str, Any]], None]
log = logging.getLogger(__name__)


class PlaceLost(TelephonyError):
    """The place is not available: it is not offered (any more), or the other process is gone."""

    retryable = True
    sip_status = 503


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is needed to take a place. The token is a secret between the two processes."""

    path: str
    token: str


class RemoteLink:
    """The messages between a place and its leg. `on_gone` is called once, on the loop, unless we closed."""

    def __init__(self, on_message: Messages, on_gone: Callable[[], None]) -> None:
        self.on_message = on_message
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._end_audio: Callable[[], None] = lambda: None
        self._ended = False

    def use(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end_audio: Callable[[], None] | None = None
    ) -> None:
        """`end_audio` is called when the link is closed, by either side."""
        self._writer = writer
        self._end_audio = end_audio or self._end_audio
        self._reading = self._loop.create_task(self._read(reader), name="remote leg")

    def send(self, message: Mapping[str, Any]) -> None:
        """Send JSON values. Does nothing if the other side is gone."""
        if self._writer is not None and not self._ended:
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def gone(self) -> None:
        """The other process, or its audio, has ended."""
        if not self._ended:
            self.close()
            self._on_gone()

    def close(self) -> None:
        """Idempotent. The other side notices as its sockets close."""
        self._ended = True
        if self._writer is not None:
            self._writer.close()
        self._end_audio()
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(line)
        except (OSError, ValueError) as error:  # a line that is too long is a ValueError
            log.error("invalid message from a remote leg: %s", error)
        self.gone()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if isinstance(message, dict):
                self.on_message(message)
        except Exception:
            log.exception("handling a message from a remote leg failed")


# --- where the leg is ---------------------------------------------------------------------------------------------


class _PlaceAudio:
    """Implements `LegAudio` over the audio socket; on the leg's media thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()  # the descriptor must not be reused during a call on it
        self._heard = FrameQueue()
        self._pulls = 0

    def push(self, pcm: bytes, at: float) -> None:
        with self._lock:
            try:
                self._sock.send(pcm)
            except OSError:
                pass  # full, or the other process is gone, which the link reports

    def pull(self, at: float) -> bytes:
        """Each pushed frame is answered with one, so one read per pull is enough; occasionally the backlog is read, and
        the queue limits it. (A read that finds nothing costs as much as one that does.)"""
        self._pulls += 1
        with self._lock:
            try:
                for _ in range(1 if self._pulls % _CATCH_UP_EVERY else _BURST):
                    frame = self._sock.recv(FRAME_BYTES)
                    if len(frame) != FRAME_BYTES:
                        break
                    self._heard.push(frame)
            except OSError:
                pass  # nothing is left to read
        return self._heard.pop() or SILENCE

    def close(self) -> None:
        with self._lock:
            self._sock.close()


async def take_place(ticket: Ticket, on_message: Messages, on_gone: Callable[[], None]) -> tuple[LegAudio, RemoteLink]:
    """Raises PlaceLost."""
    try:
        async with asyncio.timeout(OFFER_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(ticket.path, limit=_MESSAGE_BYTES)
    except (OSError, TimeoutError) as error:
        raise PlaceLost(f"taking the place failed: {error!r}") from error
    audio = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    audio.setblocking(False)
    try:
        async with asyncio.timeout(OFFER_LIMIT_S):
            writer.write(ticket.token.encode() + b"\n")
            if (await reader.readline()).strip() != b"welcome":
                raise PlaceLost("the place is taken or no longer offered")
            await asyncio.get_running_loop().sock_connect(audio, ticket.path + _AUDIO)
            audio.send(ticket.token.encode())
    except BaseException as error:
        audio.close()
        writer.close()
        if isinstance(error, OSError | TimeoutError):
            raise PlaceLost(f"taking the place failed: {error!r}") from error
        raise
    place, link = _PlaceAudio(audio), RemoteLink(on_message, on_gone)
    link.use(reader, writer, place.close)
    return place, link


# --- where the room is --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Offer:
    audio: LegAudio
    link: RemoteLink
    taken: asyncio.Future[None]
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None


class RemotePlaces:
    """Places in this process's rooms for legs in other processes. One thread serves the audio of all places."""

    def __init__(self, folder: Path) -> None:
        """`folder`: private to us (0700)."""
        self._path = str(folder / f"legs-{secrets.token_hex(6)}")
        self._offers: dict[str, _Offer] = {}
        self._server: asyncio.Server | None = None
        self._pump = _AudioPump()
        self._listening: socket.socket | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._welcome, self._path, limit=_MESSAGE_BYTES)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(self._path + _AUDIO)
        listening.listen(16)
        listening.setblocking(False)
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening, self._audio_comes)

    async def close(self) -> None:
        """Close all places. Idempotent."""
        loop = asyncio.get_running_loop()
        for offer in self._offers.values():
            offer.link.close()
        self._offers.clear()
        if self._listening is not None:
            loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        if self._server is not None:
            self._server.close()
            self._server = None
        self._pump.close()
        for path in (self._path, self._path + _AUDIO):
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108

    def offer(
        self, audio: LegAudio, on_message: Messages, on_gone: Callable[[], None]
    ) -> tuple[Ticket, RemoteLink, asyncio.Future[None]]:
        """A place whose leg joins `audio`. The future completes when the place is taken, and fails with PlaceLost when
        nobody takes it in time."""
        loop = asyncio.get_running_loop()
        token = secrets.token_hex(_TOKEN_BYTES)
        offer = _Offer(audio, RemoteLink(on_message, on_gone), loop.create_future())
        offer.taken.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._offers[token] = offer
        loop.call_later(OFFER_LIMIT_S, self._withdraw, token)
        return Ticket(self._path, token), offer.link, offer.taken

    def withdraw(self, ticket: Ticket) -> None:
        """Withdraw the offer. The leg's place in the room stays."""
        offer = self._offers.pop(ticket.token, None)
        if offer is not None:
            offer.taken.cancel()
            offer.link.close()

    def _withdraw(self, token: str) -> None:
        offer = self._offers.pop(token, None)
        if offer is not None and not offer.taken.done():
            offer.taken.set_exception(PlaceLost("no process took the leg's place in time"))
            if offer.streams is not None:
                offer.streams[1].close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HELLO_LIMIT_S):
                said = (await reader.readline()).strip().decode("ascii", "replace")
        except (OSError, ValueError, TimeoutError):
            writer.close()
            return
        offer = self._offer_of(said)
        if offer is None or offer.streams is not None:
            writer.close()
            return
        offer.streams = (reader, writer)
        writer.write(b"welcome\n")

    def _offer_of(self, said: str) -> _Offer | None:
        found = [token for token in self._offers if hmac.compare_digest(token.encode(), said.encode())]
        return self._offers[found[0]] if found else None

    def _audio_comes(self) -> None:
        """Accept the second socket of a process that has been welcomed; the socket sends the token."""
        if self._listening is None:
            return
        try:
            sock, _ = self._listening.accept()
        except OSError:
            return
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        task = loop.create_task(self._pair(sock), name="remote audio")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _pair(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_HELLO_LIMIT_S):
                said = (await loop.sock_recv(sock, 2 * _TOKEN_BYTES)).decode("ascii", "replace")
        except (OSError, TimeoutError):
            sock.close()
            return
        offer = self._offer_of(said)
        if offer is None or offer.streams is None:
            sock.close()
            return
        del self._offers[said]
        offer.link.use(*offer.streams)
        self._pump.add(sock, offer.audio, lambda: _on_loop(loop, offer.link.gone))
        if not offer.taken.done():
            offer.taken.set_result(None)


def _on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
        loop.call_soon_threadsafe(callback)


class _AudioPump:
    """Pushes each frame that arrives into the room and sends back what the leg is to hear. The thread runs while there
    are places."""

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        self._thread: threading.Thread | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._closing = False

    def add(self, sock: socket.socket, audio: LegAudio, on_end: Callable[[], None]) -> None:
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._wake = socket.socketpair()
            self._selector.register(self._wake[0], selectors.EVENT_READ, None)
            self._thread = threading.Thread(target=self._run, args=(self._selector,), name="remote legs", daemon=True)
            self._thread.start()
        self._selector.register(sock, selectors.EVENT_READ, (audio, on_end))

    def close(self) -> None:
        self._closing = True
        if self._wake is not None and self._thread is not None:
            self._wake[1].send(b"x")
            self._thread.join()
            for end in self._wake:
                end.close()
        self._wake = self._thread = self._selector = None

    def _run(self, selector: selectors.BaseSelector) -> None:
        while not self._closing:
            for key, _ in selector.select():
                if key.data is not None:
                    self._serve(selector, key)
        for key in list(selector.get_map().values()):
            if key.data is not None and isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        selector.close()

    def _serve(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        sock, (audio, on_end) = key.fileobj, key.data
        assert isinstance(sock, socket.socket)
        try:
            frame = sock.recv(FRAME_BYTES)
        except BlockingIOError:
            return
        except OSError:
            frame = b""
        if len(frame) != FRAME_BYTES:
            selector.unregister(sock)
            sock.close()
            on_end()
            return
        at = monotonic()
        try:
            audio.push(frame, at)
            heard = audio.pull(at)
        except Exception:
            log.exception("a room failed with a remote leg's frame")
            heard = SILENCE
        try:
            sock.send(heard)
        except OSError:
            pass  # it does not read its frames, or is closing
