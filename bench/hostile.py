"""Hostile traffic, limited and on loopback only: what strangers send to a gateway whose trunk is 127.0.0.1.

Run it with bench/soak.py (`--hostile`), or alone against your own gateway:

    .venv/bin/python bench/hostile.py --target 127.0.0.1:5080 --tcp-target 127.0.0.1:5080 \\
        --http http://127.0.0.1:8090 --pid PID

The strangers are 127.9.0.0/24; 127.0.1.9 is a trunk that exceeds its rate (bench/hostile.yaml allows it).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import secrets
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

STRANGERS = tuple(f"127.9.0.{n}" for n in range(1, 17))
FLOODER = "127.0.1.9"
STEP_S = 0.02
HELD_AT_MOST = 150  # half-open connections at a time, of each kind
HELD_S = 8.0
PORTS_SEEN_S = 1.0  # how often the open RTP ports are looked up

OPTIONS = (
    "OPTIONS sip:a@b SIP/2.0\r\n{via}From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\n"
)
INVITE = (
    "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\n{via}From: <sip:+1555{caller}@127.0.0.1>;tag={id}\r\n"
    "To: <sip:{number}@127.0.0.1>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.9.0.1:9>\r\n"
    "Record-Route: <sip:127.9.0.2:9;lr>\r\nMax-Forwards: 70\r\n"
)
SDP = "v=0\r\no=- 1 1 IN IP4 127.9.0.1\r\ns=-\r\nc=IN IP4 127.9.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


@dataclass(frozen=True, slots=True)
class Dialog:
    """Somebody else's live call, as seen on the path. `local` and `remote` are From and To with tags."""

    call_id: str
    local: str
    remote: str


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, for each kind."""

    strangers_options: float = 300.0  # 15 kB each
    strangers_invites: float = 300.0
    trunk_invites: float = 300.0  # from a trunk, ten times its limit
    malformed: float = 100.0
    in_dialog: float = 50.0  # BYE, ACK, CANCEL, re-INVITE, UPDATE with tags of live calls, valid and odd
    stray_rtp: float = 300.0
    half_sip: float = 20.0  # connections
    half_http: float = 5.0


@dataclass
class Hostile:
    """`target`, `tcp_target`: host:port of SIP; `http`: a URL; `pid`: the gateway, whose workers' RTP ports are found.
    Whoever has calls fills `dialogs`. Sends until `stop`."""

    target: str
    tcp_target: str = ""
    http: str = ""
    pid: int = 0
    rates: Rates = field(default_factory=Rates)
    dialogs: deque[Dialog] = field(default_factory=lambda: deque(maxlen=50))
    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    chooser: random.Random = field(default_factory=lambda: random.Random(11))
    _sockets: dict[str, socket.socket] = field(default_factory=dict)
    _held: deque[tuple[float, socket.socket]] = field(default_factory=deque)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _rtp_ports: list[int] = field(default_factory=list)
    _ports_seen_at: float = 0.0

    def start(self) -> None:
        for host in (*STRANGERS, FLOODER):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((host, 0))
            self._sockets[host] = sock
        for name, one in self._kinds().items():
            self._tasks.append(asyncio.create_task(self._send_on(name, getattr(self.rates, name), one), name=name))
        self._tasks.append(asyncio.create_task(self._read_on(), name="answers"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in (*self._sockets.values(), *(sock for _, sock in self._held)):
            sock.close()
        self._held.clear()

    def summary(self) -> str:
        return f"hostile: sent {dict(self.sent)}; answered {dict(self.answered)}"

    def _kinds(self) -> dict[str, Callable[[], None]]:
        kinds: dict[str, Callable[[], None]] = {
            "strangers_options": self._strangers_options,
            "strangers_invites": lambda: self._to_sip(self._stranger(), self._invite("+15550199")),
            "trunk_invites": lambda: self._to_sip(FLOODER, self._invite("+15559999")),
            "malformed": self._malformed,
            "in_dialog": self._in_dialog,
        }
        if self.pid:
            kinds["stray_rtp"] = self._stray_rtp
        if self.tcp_target:
            kinds["half_sip"] = lambda: self._half(_address(self.tcp_target), b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2")
        if self.http:
            address = _address(urlsplit(self.http).netloc)
            kinds["half_http"] = lambda: self._half(address, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        return kinds

    async def _send_on(self, name: str, per_second: float, one: Callable[[], None]) -> None:
        """This many per second, without catching up."""
        owed = 0.0
        while True:
            owed = min(owed + per_second * STEP_S, per_second)
            while owed >= 1.0:
                owed -= 1.0
                with contextlib.suppress(OSError):  # a full buffer, or a port that has just closed
                    one()
                    self.sent[name] += 1
            await asyncio.sleep(STEP_S)

    async def _read_on(self) -> None:
        while True:
            for host, sock in self._sockets.items():
                with contextlib.suppress(OSError):
                    while data := sock.recv(65_535):
                        kind = "trunk" if host == FLOODER else "stranger"
                        self.answered[f"{kind} {_status(data)}"] += 1
            while self._held and (time.monotonic() - self._held[0][0] > HELD_S or len(self._held) > 2 * HELD_AT_MOST):
                self._held.popleft()[1].close()
            await asyncio.sleep(STEP_S)

    # --- what is sent

    def _stranger(self) -> str:
        return self.chooser.choice(STRANGERS)

    def _to_sip(self, host: str, data: bytes) -> None:
        self._sockets[host].sendto(data, _address(self.target))

    def _via(self, more: str = "") -> str:
        return f"Via: SIP/2.0/UDP 127.9.0.1:5060;rport;branch=z9hG4bK{secrets.token_hex(6)}{more}\r\n"

    def _strangers_options(self) -> None:
        """15 kB of folds, parameters or commas."""
        more = self.chooser.choice(("\r\n ;a" * 3000, ";a" * 7000, ",SIP/2.0/UDP a:1" * 900))
        text = OPTIONS.format(via=self._via(more), id=secrets.token_hex(6)) + "Content-Length: 0\r\n\r\n"
        self._to_sip(self._stranger(), text.encode())

    def _invite(self, number: str) -> bytes:
        caller = self.chooser.randrange(1_000_000, 9_999_999)
        head = INVITE.format(via=self._via(), number=number, caller=caller, id=secrets.token_hex(8))
        return f"{head}Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}".encode()

    def _malformed(self) -> None:
        """A complete message with a few octets changed; from the trunk, whose messages are parsed, and from
        strangers."""
        data = bytearray(
            self._invite("+15559999")
        )  # a number without a route, so that an intact message does not become a call
        for _ in range(self.chooser.randint(1, 6)):
            data[self.chooser.randrange(len(data))] = self.chooser.choice(b'\0\r\n";<>@:,\x80\xff%9')
        if self.chooser.random() < 0.3:
            del data[self.chooser.randrange(len(data)) :]
        self._to_sip(self.chooser.choice((FLOODER, self._stranger())), bytes(data))

    def _in_dialog(self) -> None:
        """Requests in other calls: with their tags from a stranger, with odd tags from anybody."""
        if not self.dialogs:
            return
        dialog = self.chooser.choice(self.dialogs)
        method = self.chooser.choice(("BYE", "ACK", "CANCEL", "INVITE", "UPDATE", "INFO"))
        host = self.chooser.choice((FLOODER, self._stranger()))
        local, remote = dialog.local, dialog.remote
        if host == FLOODER or self.chooser.random() < 0.3:
            remote = f"<sip:x@127.0.0.1>;tag={secrets.token_hex(4)}"
        body = SDP if method in ("INVITE", "UPDATE") else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} sip:127.0.0.1 SIP/2.0\r\n{self._via()}From: {local}\r\nTo: {remote}\r\n"
            f"Call-ID: {dialog.call_id}\r\nCSeq: {self.chooser.randint(1, 90)} {method}\r\n"
            f"Contact: <sip:x@{host}:9>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._to_sip(host, text.encode())

    def _stray_rtp(self) -> None:
        now = time.monotonic()
        if now - self._ports_seen_at > PORTS_SEEN_S:
            self._ports_seen_at, self._rtp_ports = now, _udp_ports(self.pid)
        if self._rtp_ports:
            packet = b"\x80\x00" + secrets.token_bytes(10) + b"\x55" * 160
            self._sockets[self._stranger()].sendto(packet, ("127.0.0.1", self.chooser.choice(self._rtp_ports)))

    def _half(self, address: tuple[str, int], data: bytes) -> None:
        """Connect, send half a message or nothing, and stay connected."""
        if len(self._held) >= 2 * HELD_AT_MOST:
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind((self._stranger(), 0))
        sock.settimeout(0.2)
        try:
            sock.connect(address)
            sock.setblocking(False)
            if self.chooser.random() < 0.7:
                sock.send(data)
        except OSError:
            sock.close()
            raise
        self._held.append((time.monotonic(), sock))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _status(data: bytes) -> str:
    """The status of an answer, or the method of a request."""
    if data.startswith(b"SIP/2.0 "):
        return data[8:11].decode("latin-1")
    return data.partition(b" ")[0].decode("latin-1") if data[:3].isalpha() else "packet"


def _udp_ports(pid: int) -> list[int]:
    """The gateway's workers' RTP ports during calls, and their SIP ports."""
    ports: list[int] = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                ports += [connection.laddr.port for connection in process.net_connections("udp4")]
    return ports


async def _main(args: argparse.Namespace) -> None:
    hostile = Hostile(args.target, args.tcp_target, args.http, args.pid)
    hostile.start()
    try:
        await asyncio.sleep(args.minutes * 60)
    finally:
        await hostile.stop()
        print(hostile.summary())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True, metavar="HOST:PORT", help="SIP over UDP")
    parser.add_argument("--tcp-target", default="", metavar="HOST:PORT", help="SIP over TCP")
    parser.add_argument("--http", default="", help="URL of the API")
    parser.add_argument("--pid", type=int, default=0, help="the gateway's pid, to find its workers' ports")
    parser.add_argument("--minutes", type=float, default=1.0)
    sys.exit(asyncio.run(_main(parser.parse_args())))
