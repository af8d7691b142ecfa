"""The audio of one phone call: plays clips, presses keys, keeps what arrives."""

from __future__ import annotations

import asyncio
import secrets
import time
from array import array
from collections.abc import Callable, Sequence

from telephony.errors import TelephonyMisuse
from telephony.media.frames import FRAME_BYTES, FRAME_SAMPLES
from telephony.phone.errors import BadPeerMessage
from telephony.phone.media_thread import MediaStream, media_thread
from telephony.phone.rtp import Clip, Digit, ReceivedPackets, RtpSender
from telephony.phone.sdp import CODECS, Codec, CodecName, MediaDirection, RemoteMedia

__all__ = ["CallAudio", "PlayHandle"]


class PlayHandle:
    """A clip being sent. Times are seconds of the loop clock.

    `done` becomes True when its last packet has been sent, False if it was stopped or the call ended first.
    """

    def __init__(self, sender: RtpSender, payloads: list[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender = sender
        self._clip = Clip(payloads, self._on_sent)
        self.started_at = self._loop.time()
        self.first_sent_at: float | None = None
        self.last_sent_at: float | None = None
        self.done: asyncio.Future[bool] = self._loop.create_future()
        if payloads:
            sender.clips.append(self._clip)
        else:
            self.done.set_result(True)

    def stop(self) -> None:
        """Stop sending it. Idempotent."""
        try:
            self._sender.clips.remove(self._clip)
        except ValueError:
            pass
        self._finish(False)

    def _on_sent(self, first: bool, last: bool) -> None:  # on the media thread
        now = time.monotonic()
        if first:
            self.first_sent_at = now
        self.last_sent_at = now
        if last:
            try:
                self._loop.call_soon_threadsafe(self._finish, True)
            except RuntimeError:  # the loop is closed: nobody is waiting
                pass

    def _finish(self, complete: bool) -> None:
        if not self.done.done():
            self.done.set_result(complete)


class CallAudio:
    """RTP of one call. Listens at once, sends from `begin` on. Raises OSError when no port is free."""

    def __init__(self, host: str, codecs: Sequence[CodecName], *, dtx: bool) -> None:
        self.codec: Codec = CODECS[codecs[0]]
        self._sender = RtpSender(
            self.codec.payload_type,
            bytes([self.codec.silence]) * FRAME_SAMPLES,
            secrets.randbits(32),
            secrets.randbits(15),
            secrets.randbits(31),
            dtx,
        )
        self._stream = MediaStream(host, self._sender)
        self._handles: list[PlayHandle] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._takes_events = False
        self.remote: RemoteMedia | None = None
        media_thread().start(self._stream)

    @property
    def port(self) -> int:
        return self._stream.port

    @property
    def received(self) -> ReceivedPackets:
        return self._stream.received

    @property
    def sent_at(self) -> array[float]:
        """When each packet was sent."""
        return self._stream.sent_at

    @property
    def sent(self) -> list[bytes]:
        """The packets themselves; see `analysis.sent_packets`."""
        return self._stream.sent

    @property
    def late_ms_max(self) -> float:
        """The worst delay of a sent packet: this instrument's own possible error."""
        return self._stream.late_ms_max

    def use(self, remote: RemoteMedia) -> None:
        """Apply a negotiation, first or later. Raises BadPeerMessage for an address that cannot be resolved."""
        try:
            self._stream.send_to(remote.host, remote.port)
        except OSError as error:
            raise BadPeerMessage(f"cannot resolve the SDP's address {remote.host}: {error.strerror}") from error
        self.remote = remote
        self.codec = remote.codec
        self._sender.payload_type = remote.codec.payload_type
        self._sender.silence = bytes([remote.codec.silence]) * FRAME_SAMPLES
        self._takes_events = remote.event_payload_type is not None
        if remote.event_payload_type is not None:
            self._sender.event_payload_type = remote.event_payload_type

    def begin(self, ours: MediaDirection = "sendrecv") -> None:
        """Send if both sides' directions allow it."""
        allowed = self.remote is not None and self.remote.direction in ("sendrecv", "recvonly")
        sending = allowed and ours in ("sendrecv", "sendonly")
        if sending and not self._stream.sending:
            self._stream.sending = True
            media_thread().start(self._stream)  # the first packet leaves now, not at the next listening tick
        self._stream.sending = sending

    def play(self, pcm: bytes) -> PlayHandle:
        """Queue 8 kHz 16-bit audio after what is playing; the last packet is padded with silence."""
        padded = pcm + bytes(-len(pcm) % FRAME_BYTES)
        encoded = self.codec.encode(padded)
        payloads = [encoded[offset : offset + FRAME_SAMPLES] for offset in range(0, len(encoded), FRAME_SAMPLES)]
        handle = PlayHandle(self._sender, payloads)
        self._handles = [other for other in self._handles if not other.done.done()]
        self._handles.append(handle)
        return handle

    async def send_digits(self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80) -> None:
        """Press keys (RFC 4733); `w` waits 500 ms. Returns when the last has been sent.

        Raises TelephonyMisuse for other characters, or if the peer does not accept events.
        """
        if not self._takes_events:
            raise TelephonyMisuse("the peer does not accept RFC 4733 events")
        if not digits:
            return
        try:
            keys = [
                key
                for digit in digits
                for key in (
                    [Digit.pause(500)] if digit == "w" else [Digit.press(digit, duration_ms), Digit.pause(gap_ms)]
                )
            ]
        except ValueError:
            raise TelephonyMisuse(f"{digits!r} has characters that are not DTMF keys") from None
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[None] = loop.create_future()
        self._waiting.append(sent)

        def release() -> None:
            if not sent.done():
                sent.set_result(None)

        keys[-1].on_sent = lambda: _on_loop(loop, release)
        self._sender.digits.extend(keys)
        await sent
        self._waiting.remove(sent)

    async def close(self) -> None:
        """Read what has arrived and release the port."""
        self._stream.sending = False
        for handle in self._handles:
            handle.stop()
        for sent in self._waiting:
            if not sent.done():
                sent.set_result(None)
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        media_thread().stop(self._stream, lambda: _on_loop(loop, stopped.set))
        await stopped.wait()


def _on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # the loop is closed
        pass
