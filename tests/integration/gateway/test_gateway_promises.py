"""What SIP promises, kept by the whole program: announced extensions work, refusals are recorded with their status, and
one caller's messages never affect another."""

from __future__ import annotations

import asyncio

import pytest
from gateway_process import RunningGateway
from raw_sip import Message, RawSip, raw_sip, sdp

DTLS = (
    sdp().replace("RTP/AVP", "UDP/TLS/RTP/SAVPF") + "a=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\na=rtcp-mux\r\n"
)
G729 = sdp().replace("0 101", "18").replace("a=rtpmap:0 PCMU/8000\r\n", "")


async def final(sip: RawSip, cseq: str, seconds: float = 3.0) -> Message:
    async with asyncio.timeout(seconds):
        while not (found := [m for m in sip.came if m.status >= 200 and m.cseq == cseq]):
            await asyncio.sleep(0.02)
    return found[0]


@pytest.mark.parametrize(
    ("body", "extra", "status", "why"),
    [
        (DTLS, "", 488, "UDP/TLS/RTP/SAVPF is not supported"),
        (G729, "", 488, "no codec in common"),
        (sdp().replace("c=IN IP4 127.0.0.1", "c=IN IP4 media.example"), "", 488, "does not name an IP address"),
        (sdp().replace("c=IN IP4 127.0.0.1", "c=IN IP4 " + "9" * 300), "", 488, "does not name an IP address"),
        (sdp().replace("c=IN IP4 127.0.0.1\r\n", ""), "", 400, "no c= line"),
        (sdp(), "Require: precondition\r\n", 420, "unsupported extension precondition"),
        (sdp(), "Supported: timer\r\nSession-Expires: 10\r\n", 422, "Session Interval Too Small"),
    ],
)
async def test_what_is_refused_is_on_record_with_its_status(
    gateway: RunningGateway, caller: str, body: str, extra: str, status: int, why: str
) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE", body, extra=extra))
        answer = await final(sip, "1 INVITE")
        assert answer.status == status
        sip.send(call.ack_of_failure(answer))
        record = await gateway.record(call.call_id, 5)
    assert record["sip_status"] == status
    assert why in record["end_reason"] + record["refused_by"]
    await gateway.idle()


async def test_reliable_provisional_answers_are_done_as_supported_says(gateway: RunningGateway, caller: str) -> None:
    """RFC 3262: what `Supported: 100rel` promises."""
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE", sdp(), extra="Require: 100rel\r\n"))
        ringing = await sip.expect(180)
        number = ringing.headers["rseq"]
        call.answered(ringing)
        call.cseq += 1
        sip.send(call.request("PRACK", cseq=call.cseq, extra=f"RAck: {number} 1 INVITE\r\n"))
        assert (await final(sip, "2 PRACK")).status == 200
        answer = await final(sip, "1 INVITE")
        assert answer.status == 200
        assert "100rel" in answer.headers["supported"]
        sip.send(call.request("ACK", cseq=1))
        await call.bye()
        await gateway.record(call.call_id)


async def test_a_session_timer_is_agreed_to_and_kept_by_a_refresh(gateway: RunningGateway, caller: str) -> None:
    """RFC 4028: what `Supported: timer` promises."""
    timer = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n"
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE", sdp(), extra=timer))
        answer = await final(sip, "1 INVITE")
        call.answered(answer)
        sip.send(call.request("ACK", cseq=1))
        call.cseq += 1
        sip.send(call.request("UPDATE", cseq=call.cseq, extra=timer))
        for agreed in (answer, await final(sip, "2 UPDATE")):
            assert (agreed.status, agreed.headers["session-expires"]) == (200, "120;refresher=uac")
            assert agreed.headers["require"] == "timer"
        await call.bye()
        await gateway.record(call.call_id)


@pytest.mark.parametrize("kind", ["application/dtmf-relay", "application/dtmf"])
@pytest.mark.parametrize("body", ["Signal=9", "9", "Signal=9 \r\nDuration=\r\n"])
async def test_keys_by_info_however_they_are_written(
    gateway: RunningGateway, caller: str, kind: str, body: str
) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550104", caller)
        await call.establish()
        for _ in range(3):
            sip.send(call.request("INFO", body, content_type=kind))
            assert (await final(sip, f"{call.cseq} INFO")).status == 200
        bye = await sip.expect("BYE", seconds=8)
        sip.send(call.ok(bye))
        record = await gateway.record(call.call_id)
    assert [event["digit"] for event in record["events"] if event["type"] == "digit_received"] == list("999")


async def test_a_re_invite_without_a_common_codec_is_refused_and_the_call_goes_on(
    gateway: RunningGateway, caller: str
) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        await call.establish()
        sip.send(call.request("INVITE", G729))
        answer = await final(sip, "2 INVITE")
        assert answer.status == 488 and answer.headers["warning"].startswith("305 ")
        sip.send(call.request("ACK", cseq=2, branch=call.branch))
        sip.send(call.request("INVITE", sdp(version=3)))
        assert (await final(sip, "3 INVITE")).status == 200
        sip.send(call.request("ACK", cseq=3))
        await call.bye()
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
