"""A raw SIP and RTP caller for tests: says exactly what it is told to, so that odd peers can be played."""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
from dataclasses import dataclass

_tags = itertools.count(1)

MULAW_SILENCE = b"\xff" * 160
RTPMAP = {"PCMU": "0 PCMU/8000", "PCMA": "8 PCMA/8000", "G722": "9 G722/8000", "GSM": "3 GSM/8000"}


@dataclass(frozen=True)
class Message:
    start: str
    headers: dict[str, str]
    body: str
    raw: str

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        return "" if self.status else self.start.split()[0]


def parse(data: bytes) -> Message:
    raw = data.decode()
    head, _, body = raw.partition("\r\n\r\n")
    lines = head.split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Message(lines[0], headers, body, raw)


@dataclass(frozen=True)
class RtpPacket:
    at: float
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    payload: bytes


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr) -> None:
        self._receive(data, addr)


class Phone:
    """One call from one phone. `answer_bye` False: a phone that is gone."""

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.tag = f"t{next(_tags)}"
        self.call_id = f"call-{self.tag}@phone"
        self.cseq = 0
        self.to_tag = ""
        self.answer_bye = True
        self.packets: list[RtpPacket] = []
        self.byes = 0
        self.media_at: tuple[str, int] | None = None
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._sequence = itertools.count(100)
        self._timestamp = 8000

    async def open(self) -> Phone:
        loop = asyncio.get_running_loop()
        self.sip, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._on_sip), ("127.0.0.1", 0))
        self.rtp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._on_rtp), ("127.0.0.1", 0))
        self.sip_port = self.sip.get_extra_info("sockname")[1]
        self.rtp_port = self.rtp.get_extra_info("sockname")[1]
        return self

    def close(self) -> None:
        self.sip.close()
        self.rtp.close()

    def sdp(self, *codecs: str, direction: str = "sendrecv", events: bool = True) -> str:
        numbers = [RTPMAP[codec].split()[0] for codec in codecs] + (["101"] if events else [])
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
            f"m=audio {self.rtp_port} RTP/AVP {' '.join(numbers)}",
            *(f"a=rtpmap:{RTPMAP[codec]}" for codec in codecs),
            *(["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] if events else []),
            "a=ptime:20", f"a={direction}",
        ]  # fmt: skip
        return "\r\n".join(lines) + "\r\n"

    def send(
        self, method: str, body: str = "", *, content: str = "application/sdp", extra: tuple[str, ...] = ()
    ) -> None:
        if method not in ("ACK", "CANCEL"):
            self.cseq += 1
        branch = f"z9hG4bK{self.tag}{self.cseq}" + ("a" if method == "ACK" and self.to_tag else "")
        lines = [
            f"{method} sip:+15550100@127.0.0.1:{self.target[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.sip_port};rport;branch={branch}",
            "Max-Forwards: 70",
            f'From: "Ann \\"A\\" Bee" <sip:+15550123@127.0.0.1:{self.sip_port}>;tag={self.tag}',
            f"To: <sip:+15550100@127.0.0.1>{self.to_tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            f"Contact: <sip:ann@127.0.0.1:{self.sip_port}>",
            *extra,
            *([f"Content-Type: {content}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self.sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self.target)

    async def response(self, *statuses: int) -> Message:
        """The next response with one of these statuses (any final one if none is given)."""
        async with asyncio.timeout(5):
            while True:
                message = await self._inbox.get()
                if message.status in statuses or (not statuses and message.status >= 200):
                    return message

    async def request(self, method: str) -> Message:
        async with asyncio.timeout(5):
            while (message := await self._inbox.get()).method != method:
                pass
            return message

    async def call(self, *codecs: str, extra: tuple[str, ...] = ()) -> Message:
        """INVITE, final response, ACK."""
        self.send("INVITE", self.sdp(*(codecs or ("PCMU",))), extra=extra)
        return await self.established()

    async def established(self, answer: str = "") -> Message:
        final = await self.response()
        self.learn(final)
        if final.status == 200:
            self.send("ACK", answer)
        return final

    def learn(self, final: Message) -> None:
        to = final.headers["to"]
        self.to_tag = to[to.index(";tag") :] if ";tag" in to else ""
        for line in final.body.split("\r\n"):
            if line.startswith("m=audio "):
                self.media_at = ("127.0.0.1", int(line.split()[1]))

    async def hang_up(self, extra: tuple[str, ...] = ()) -> Message:
        self.send("BYE", extra=extra)
        return await self.response()

    def send_rtp(self, payload: bytes = MULAW_SILENCE, payload_type: int = 0) -> None:
        self._timestamp += 160
        self._packet(payload, payload_type, self._timestamp)

    async def talk(self, seconds: float, payload: bytes = MULAW_SILENCE, payload_type: int = 0) -> None:
        due = time.monotonic()
        for _ in range(round(seconds * 50)):
            self.send_rtp(payload, payload_type)
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def press(self, key: str, *, packets: int = 5, order: tuple[int, ...] = ()) -> None:
        """An RFC 4733 event: `packets` updates and three ends. `order` lists updates to send again, late."""
        event = "0123456789*#ABCD".index(key)
        self._timestamp += 160
        start = self._timestamp
        plan = [(160 * (index + 1), False) for index in range(packets)] + [(160 * packets, True)] * 3
        plan += [(160 * (index + 1), False) for index in order]
        for duration, end in plan:
            self._packet(struct.pack("!BBH", event, 0x80 | 10 if end else 10, duration), 101, start)
            await asyncio.sleep(0.005)
        self._timestamp += 160 * packets

    def _packet(self, payload: bytes, payload_type: int, timestamp: int) -> None:
        header = struct.pack("!BBHII", 0x80, payload_type, next(self._sequence) & 0xFFFF, timestamp, 4711)
        self.rtp.sendto(header + payload, self.media_at)

    def _on_sip(self, data: bytes, addr) -> None:
        if data[0] & 0xC0 == 0x80:
            return  # RTCP for another phone: its port is the one after an RTP port
        message = parse(data)
        if message.method == "BYE":
            self.byes += 1
            if self.answer_bye:
                self._respond(message, addr)
        elif message.method in ("OPTIONS", "UPDATE"):
            self._respond(message, addr)
        self._inbox.put_nowait(message)

    def accept(self, request: Message, body: str) -> None:
        """200 with an answer, to a request of the worker's."""
        self._respond(request, self.target, body)

    def _respond(self, request: Message, addr, body: str = "") -> None:
        kept = [
            line for line in request.raw.split("\r\n\r\n")[0].split("\r\n")[1:]
            if line.lower().startswith(("via:", "from:", "to:", "call-id:", "cseq:"))
        ]  # fmt: skip
        if body:
            kept += [f"Contact: <sip:ann@127.0.0.1:{self.sip_port}>", "Content-Type: application/sdp"]
        lines = ["SIP/2.0 200 OK", *kept, f"Content-Length: {len(body)}"]
        self.sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), addr)

    def _on_rtp(self, data: bytes, addr) -> None:
        if 200 <= data[1] <= 207:
            return  # RTCP, as above
        _, second, sequence, timestamp, _ = struct.unpack("!BBHII", data[:12])
        packet = RtpPacket(time.monotonic(), second & 0x7F, bool(second & 0x80), sequence, timestamp, data[12:])
        self.packets.append(packet)
