"""One thread for the audio of all phones of a process: packets leave on absolute 20 ms deadlines.

It is independent of the asyncio loop, so a busy loop does not distort measurements. Arrival times are the kernel's
(SO_TIMESTAMPNS), so packets need not be read on arrival: each phone's socket is drained at its own tick.
"""

from __future__ import annotations

import heapq
import math
import os
import socket
import sys
import threading
import time
from array import array
from collections.abc import Callable
from queue import Empty, SimpleQueue

from telephony.media.frames import FRAME_MS
from telephony.phone.datagrams import DatagramReceiver, enable_timestamps, send_datagram, socket_address
from telephony.phone.rtp import ReceivedPackets, RtpPacket, RtpSender, parse_rtp

__all__ = ["MediaStream", "MediaThread", "media_thread"]

_TICK_S = FRAME_MS / 1000
_GIVEN_UP_S = 1.0  # after a longer stall, skip the missed packets instead of sending a burst
_SWITCH_INTERVAL_S = 0.0002
_PHASES_S = 0.0025  # ticks of all phones fall on this grid, as each wake-up may have to wait for the GIL


class MediaStream:
    """The RTP socket of one call. Created on the loop; ticked by the media thread from `start` to `stop`."""

    def __init__(self, host: str, sender: RtpSender) -> None:
        self.socket, self._rtcp = _rtp_and_rtcp(host)
        self.sender = sender
        self.received = ReceivedPackets()
        self.sent: list[bytes] = []
        self.sent_at = array("d")  # when each of them was passed to the kernel
        self.late_ms_max = 0.0  # the worst delay of a tick
        self._fd = self.socket.fileno()
        self._remote: bytes | None = None
        self.sending = False
        self.generation = 0  # generation in the media thread's schedule; older entries are stale
        self.stopped = False

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    def close(self) -> None:
        self.socket.close()
        self._rtcp.close()

    def send_to(self, host: str, port: int) -> None:
        """Set where packets go. Raises OSError for a name that cannot be resolved."""
        self._remote = socket_address(host, port)

    def tick(self, deadline: float, receiver: DatagramReceiver) -> None:
        """On the media thread, at (just after) `deadline`."""
        if self.sending and self._remote is not None:
            packet, told = self.sender.next_packet()
            now = time.monotonic()
            self.late_ms_max = max(self.late_ms_max, (now - deadline) * 1000)
            if packet is not None:
                send_datagram(self._fd, packet, self._remote)  # if refused, the SIP side will report why
                self.sent.append(packet)
                self.sent_at.append(now)
            if told is not None:
                told()
        self.drain(receiver)

    def drain(self, receiver: DatagramReceiver) -> None:
        """Read everything that has arrived."""
        now = time.monotonic()
        realtime_ahead = time.time() - now
        while (came := receiver.receive(self._fd)) is not None:
            data, realtime = came
            parsed = parse_rtp(data)
            if parsed is not None:
                at = now if realtime is None else realtime - realtime_ahead
                self.received.append(RtpPacket(at, *parsed))


def _rtp_and_rtcp(host: str) -> tuple[socket.socket, socket.socket]:
    """An even port, and the odd one above it (RFC 3550 section 11). Nothing reads the odd one, but RTCP from a peer
    must not reach another program. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        rtp = socket.socket(family, socket.SOCK_DGRAM)
        rtcp = socket.socket(family, socket.SOCK_DGRAM)
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                rtp.setblocking(False)
                rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                enable_timestamps(rtp)
                return rtp, rtcp
        except OSError:
            pass  # the odd port is taken
        rtp.close()
        rtcp.close()
    raise OSError("no free pair of UDP ports")


class MediaThread:
    """Ticks all streams. Runs while there are any; meanwhile Python switches threads after 0.2 ms instead of 5."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: SimpleQueue[tuple[MediaStream, Callable[[], None] | None]] = SimpleQueue()
        self._streams = 0
        self._running = False
        self._receiver = DatagramReceiver()
        self._heap: list[tuple[float, int, int, MediaStream]] = []

    def start(self, stream: MediaStream) -> None:
        """Tick `stream` from now on; calling it again restarts the rhythm now."""
        with self._lock:
            self._orders.put((stream, None))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="phone-media", daemon=True).start()

    def stop(self, stream: MediaStream, done: Callable[[], None]) -> None:
        """Read what has arrived, close the socket, then call `done` (on the media thread)."""
        with self._lock:
            self._orders.put((stream, done))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="phone-media", daemon=True).start()

    def _run(self) -> None:
        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            while self._step():
                pass
        finally:
            sys.setswitchinterval(before)

    def _step(self) -> bool:
        wait = max(0.0, self._heap[0][0] - time.monotonic()) if self._heap else 0.0
        try:
            # a single wait for the next deadline (to the microsecond) and commands from the loop
            self._obey(*(self._orders.get(timeout=wait) if wait > 0 else self._orders.get_nowait()))
            return True
        except Empty:
            pass
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            deadline, generation, identity, stream = heapq.heappop(self._heap)
            if generation != stream.generation or stream.stopped:
                continue
            stream.tick(deadline, self._receiver)
            following = deadline + _TICK_S
            if now - following > _GIVEN_UP_S:
                following = math.ceil(now / _PHASES_S) * _PHASES_S
            heapq.heappush(self._heap, (following, generation, identity, stream))
        with self._lock:
            self._running = bool(self._heap) or not self._orders.empty()
            return self._running

    def _obey(self, stream: MediaStream, done: Callable[[], None] | None) -> None:
        stream.generation += 1
        if done is None:
            deadline = math.ceil(time.monotonic() / _PHASES_S) * _PHASES_S
            heapq.heappush(self._heap, (deadline, stream.generation, id(stream), stream))
        elif not stream.stopped:
            stream.drain(self._receiver)
            stream.stopped = True
            stream.close()
            done()


_thread = MediaThread()


def media_thread() -> MediaThread:
    """The process's media thread."""
    return _thread


def _forked() -> None:
    global _thread
    _thread = MediaThread()


os.register_at_fork(after_in_child=_forked)
