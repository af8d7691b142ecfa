"""Phones that suppress silence are alive without audio; a line without any packets is dead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

from gateway_process import RunningGateway
from raw_sip import raw_sip, rtp_address, sdp

StartGateway = Callable[..., RunningGateway]

TIMEOUT_S = 3.0
SSRC = 0x1234


class Sender:
    """An RTP and an RTCP socket side by side."""

    def __init__(self) -> None:
        while True:
            self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            self.rtp.bind(("127.0.0.1", 0))
            self.port = int(self.rtp.getsockname()[1])
            with contextlib.suppress(OSError):
                if self.port % 2 == 0:
                    self.rtcp.bind(("127.0.0.1", self.port + 1))
                    break
            self.close()
        self.sequence = 0
        self.to = ("", 0)

    def packet(self, payload_type: int, payload: bytes) -> None:
        self.sequence += 1
        self.rtp.sendto(
            struct.pack("!BBHII", 0x80, payload_type, self.sequence, self.sequence * 160, SSRC) + payload, self.to
        )

    def report(self) -> None:
        """A sender report without blocks (RFC 3550 section 6.4.1)."""
        self.rtcp.sendto(struct.pack("!BBHIIIIII", 0x80, 200, 6, SSRC, 0, 0, 0, 1, 160), (self.to[0], self.to[1] + 1))

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


async def quiet_call(gateway: RunningGateway, caller: str, *, says: str = "", sign: str = "") -> tuple[bool, dict]:
    """A call that sends audio for half a second and then `sign` alone; whether it lived, and its record."""
    sender = Sender()
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550102", caller)
        offer = sdp(port=sender.port) + ("a=silenceSupp:on - - - -\r\n" if says == "silenceSupp" else "")
        if says == "CN":
            offer = offer.replace("RTP/AVP 0 101", "RTP/AVP 0 13 101")
        sender.to = rtp_address(await call.establish(offer))
        for _ in range(25):
            sender.packet(0, b"\xff" * 160)
            await asyncio.sleep(0.02)
        for half_second in range(12):
            if sign == "rtcp":
                sender.report()
            elif sign == "noise" and half_second == 0:  # once for all of the silence
                sender.packet(13, b"\x40")
            await asyncio.sleep(0.5)  # twice the limit in all
        lived = not sip.count("BYE")
        if lived:
            await call.bye()
        else:
            sip.send(call.ok(await sip.expect("BYE")))
        record = await gateway.record(call.call_id)
    sender.close()
    return lived, record


async def test_signs_of_life(start_gateway: StartGateway) -> None:
    limits = {"media_alarm_s": 1.0, "first_media_s": TIMEOUT_S, "media_timeout_s": TIMEOUT_S}
    gateway = start_gateway(workers=2, calls=limits, session={"away_ms": 60_000})
    ways = [
        {"sign": "rtcp"}, {"sign": "noise"}, {"says": "silenceSupp"}, {"says": "CN"},
        {"says": "silenceSupp", "sign": "rtcp"}, {},
    ]  # fmt: skip
    calls = [quiet_call(gateway, f"+1555210800{n}", **way) for n, way in enumerate(ways)]
    *alive, (dead_lived, dead) = await asyncio.gather(*calls)
    for way, (lived, record) in zip(ways, alive, strict=False):
        assert lived, way
        assert record["media_alarms"] == [], way
        assert [event["type"] for event in record["events"]].count("silence_suppressed") == 1, way
    for _, record in (*alive, (dead_lived, dead)):
        told = [line["event"] for line in gateway.log() if line.get("call_id") == record["call_id"]]
        assert (told.count("call_admitted"), told.count("call_ended")) == (1, 1), told
        assert not [event for event in told if "admitted" in event and event != "call_admitted"]
    assert not dead_lived
    assert (dead["ended_by"], [alarm["kind"] for alarm in dead["media_alarms"]]) == ("system", ["no_rtp", "no_rtp"])
    assert dead["end_reason"].startswith("RTP packets have been missing for 3 s")
