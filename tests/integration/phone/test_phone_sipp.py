"""The phone against sipp: third-party signalling, and an echo for timing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.media.tones import silence, tone
from telephony.phone import CallFailed, Phone, analysis
from tests.free_ports import free_port


@asynccontextmanager
async def sipp(tmp_path: Path, *arguments: str, transport: str = "u1") -> AsyncIterator[int]:
    """A sipp that takes calls; yields its SIP port."""
    port = free_port(socket.SOCK_STREAM if transport == "t1" else socket.SOCK_DGRAM)
    process = await asyncio.create_subprocess_exec(
        "sipp", "-i", "127.0.0.1", "-p", str(port), "-mi", "127.0.0.1", "-mp", str(free_port()),
        "-t", transport, "-nostdin", *arguments,
        cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(5):
            while not is_taken(port, transport):
                await asyncio.sleep(0.02)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def is_taken(port: int, transport: str) -> bool:
    """Looked up, not tried: a trial socket could take the port from under sipp."""
    rows = Path("/proc/net/tcp" if transport == "t1" else "/proc/net/udp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") for row in rows)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_with_an_echo(tmp_path: Path, transport: str) -> None:
    async with (
        sipp(tmp_path, "-sn", "uas", "-rtp_echo", transport=transport[0] + "1") as port,
        Phone(transport="tcp" if transport == "tcp" else "udp") as phone,
    ):
        call = await phone.call(f"sip:+15550100@127.0.0.1:{port}", caller="+15551234567")
        assert call.setup_ms is not None and call.setup_ms < 500
        assert [status for status, _ in call.provisionals] == [180]
        assert call.invited_at <= (call.ringing_at or 0) <= (call.answered_at or 0)
        clip = call.play(silence(200) + tone(440, 400) + silence(200))
        assert await clip.done
        ended = await call.hang_up()
        assert (ended.by, ended.status) == ("us", 200)
    assert clip.first_sent_at is not None and clip.last_sent_at is not None
    assert clip.last_sent_at - clip.first_sent_at == pytest.approx(0.78, abs=0.08)  # 2 ms on a machine at rest
    sent = analysis.sent_packets(call.audio.sent, call.audio.sent_at)
    said, came_back = analysis.onset_after(sent, 0), analysis.onset_after(call.received, 0)
    assert said is not None and came_back is not None
    assert said - clip.first_sent_at == pytest.approx(0.2, abs=0.08)
    assert 0 <= came_back - said < 0.1  # sipp echoes at once
    quiet = analysis.silent_after(call.received, came_back, min_silence_ms=150)
    assert quiet is not None and quiet - came_back == pytest.approx(0.4, abs=0.08)
    counts = analysis.packet_counts(call.received)
    assert (counts.lost, counts.late, counts.double) == (0, 0, 0)
    assert counts.received >= 39


REFUSAL = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="full">
  <recv request="INVITE"/>
  <send><![CDATA[
SIP/2.0 503 Service Unavailable
[last_Via:]
[last_From:]
[last_To:];tag=t
[last_Call-ID:]
[last_CSeq:]
Reason: SIP;cause=503;text="all slots are taken"
Retry-After: 7
Content-Length: 0

]]></send>
  <recv request="ACK"/>
</scenario>
"""


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    (tmp_path / "full.xml").write_text(REFUSAL)
    async with sipp(tmp_path, "-sf", "full.xml") as port, Phone() as phone:
        with pytest.raises(CallFailed) as failed:
            await phone.call(f"sip:+15550100@127.0.0.1:{port}")
    assert (failed.value.status, failed.value.reason, failed.value.retry_after) == (503, "Service Unavailable", 7)
    assert "all slots are taken" in failed.value.reason_header
    assert failed.value.retryable
