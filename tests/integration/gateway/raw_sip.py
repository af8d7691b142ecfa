"""Hand-written SIP over UDP or TCP, for things that no well-behaved phone does."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SDP = (
    "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
)


def sdp(port: int = 40_000, version: int = 1, direction: str = "sendrecv") -> str:
    return SDP.format(port=port, version=version, direction=direction)


class Message:
    """What came: start line, headers by lower-case name (first of each), body."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.decode(errors="replace").partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        self.lines = lines
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers.setdefault(name.strip().lower(), value.strip())

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return "" if self.status else self.start.split()[0]

    @property
    def cseq(self) -> str:
        return self.headers.get("cseq", "")

    def all(self, name: str) -> list[str]:
        return [line.partition(":")[2].strip() for line in self.lines if line.lower().startswith(name.lower() + ":")]

    def __repr__(self) -> str:
        return f"<{self.start} | {self.cseq}>"


def rtp_address(answer: Message) -> tuple[str, int]:
    """Where a message's SDP asks for audio."""
    host, port = re.search(r"c=IN IP4 (\S+)", answer.body), re.search(r"m=audio (\d+)", answer.body)
    assert host and port, answer.body
    return host[1], int(port[1])


class RawSip:
    """One socket. `came` keeps everything; `expect` takes what fits, in order of arrival."""

    def __init__(self, transport: str, host: str, port: int) -> None:
        self.transport = transport
        self.peer = (host, port)
        self.local = ("127.0.0.1", 0)
        self.came: list[Message] = []
        self.closed = asyncio.Event()
        self._taken = 0
        self._news = asyncio.Event()
        self._udp: asyncio.DatagramTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            owner = self

            class Receiver(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                    owner._arrived(data)

            self._udp, _ = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
            self.local = self._udp.get_extra_info("sockname")
        else:
            reader, self._writer = await asyncio.open_connection(*self.peer)
            self.local = self._writer.get_extra_info("sockname")
            self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                if not head:
                    continue
                length = re.search(rb"^(?:content-length|l)\s*:\s*(\d+)", head, re.I | re.M)
                self._arrived(head + (await reader.readexactly(int(length[1])) if length else b""))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()

    def _arrived(self, data: bytes) -> None:
        if data.strip():
            self.came.append(Message(data))
            self._news.set()

    def send(self, data: str | bytes) -> None:
        raw = data.encode() if isinstance(data, str) else data
        if self._udp is not None:
            self._udp.sendto(raw, self.peer)
        else:
            assert self._writer is not None
            self._writer.write(raw)

    async def flushed(self) -> None:
        if self._writer is not None:
            await self._writer.drain()

    async def expect(self, what: int | str, cseq: str = "", seconds: float = 4.0) -> Message:
        """The next message with this status or method (and CSeq); earlier others are skipped."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    while self._taken < len(self.came):
                        message = self.came[self._taken]
                        self._taken += 1
                        if what in (message.status, message.method) and (not cseq or message.cseq == cseq):
                            return message
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} {cseq} within {seconds} s; came: {self.came}") from None

    def count(self, what: int | str, cseq: str = "") -> int:
        return sum(what in (m.status, m.method) and (not cseq or m.cseq == cseq) for m in self.came)

    def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()

    # --- one call

    def call(self, number: str, caller: str) -> RawCall:
        return RawCall(self, number, caller)


class RawCall:
    """Builds a call's requests; nothing is sent, checked or repeated by itself."""

    def __init__(self, sip: RawSip, number: str, caller: str) -> None:
        self.sip = sip
        host, port = sip.peer
        self.uri = number if ":" in number else f"sip:{number}@{host}:{port}"
        self.target = self.uri
        self.from_ = f"<sip:{caller}@127.0.0.1>;tag={secrets.token_hex(5)}"
        self.to = f"<{self.uri}>"
        self.call_id = secrets.token_hex(10)
        self.cseq = 0
        self.routes: list[str] = []
        self.branch = ""

    def request(
        self, method: str, body: str = "", *, cseq: int | None = None, branch: str = "", extra: str = "",
        content_type: str = "application/sdp",
    ) -> str:  # fmt: skip
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        branch = branch or f"z9hG4bK{secrets.token_hex(8)}"
        if method == "INVITE":
            self.branch = branch
        host, port = self.sip.local
        transport = self.sip.transport
        routes = "".join(f"Route: {route}\r\n" for route in self.routes)
        type_line = f"Content-Type: {content_type}\r\n" if body else ""
        return (
            f"{method} {self.target} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport.upper()} {host}:{port};branch={branch};rport\r\n"
            f"{routes}Max-Forwards: 70\r\nFrom: {self.from_}\r\nTo: {self.to}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:raw@{host}:{port};transport={transport}>\r\n"
            f"{extra}{type_line}Content-Length: {len(body.encode())}\r\n\r\n{body}"
        )

    def answered(self, response: Message) -> None:
        self.to = response.headers["to"]
        contact = re.search(r"<([^>]+)>", response.headers["contact"])
        assert contact is not None
        self.target = contact[1]
        self.routes = list(reversed(response.all("record-route")))

    def ack(self, body: str = "", cseq: int | None = None) -> str:
        return self.request("ACK", body, cseq=self.cseq if cseq is None else cseq)

    def ack_of_failure(self, response: Message) -> str:
        self.to = response.headers["to"]
        return self.request("ACK", cseq=self.cseq, branch=self.branch)

    async def establish(self, body: str | None = None, extra: str = "") -> Message:
        """INVITE, 200, ACK. The 200."""
        self.sip.send(self.request("INVITE", sdp() if body is None else body, extra=extra))
        response = await self.sip.expect(200, f"{self.cseq} INVITE")
        self.answered(response)
        self.sip.send(self.ack())
        return response

    async def bye(self) -> Message:
        self.sip.send(self.request("BYE"))
        return await self.sip.expect(200, f"{self.cseq} BYE")

    @staticmethod
    def ok(request: Message, body: str = "") -> str:
        """200 to a request of the gateway."""
        kept = [
            line
            for line in request.lines
            if line.partition(":")[0].lower() in ("via", "from", "to", "call-id", "cseq", "record-route")
        ]
        return "\r\n".join(["SIP/2.0 200 OK", *kept, f"Content-Length: {len(body)}", "", body])


@asynccontextmanager
async def raw_sip(port: int, transport: str = "udp", host: str = "127.0.0.1") -> AsyncIterator[RawSip]:
    sip = RawSip(transport, host, port)
    await sip.open()
    try:
        yield sip
    finally:
        sip.close()
