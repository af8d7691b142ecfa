"""The real sipp calls a running gateway: built-in and own scenarios, UDP and TCP."""

from __future__ import annotations

import asyncio
import socket
import struct
from itertools import count
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from raw_sip import RawSip, raw_sip, rtp_address, sdp
from sipp_runner import TRANSPORTS, sipp

from tests.free_ports import free_port

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
async def test_twenty_calls_at_once(gateway: RunningGateway, transport: str, caller: str) -> None:
    """The built-in uac: INVITE, ACK, pause, BYE, without media."""
    port = free_port()
    await gateway.slots_free(24)  # callers of other tests may have vanished
    before = {call["call_id"] for call in gateway.calls(called="+15550102")}
    await sipp(
        gateway, transport, "uac", "-s", "+15550102", "-m", "20", "-l", "20", "-r", "200", "-d", "1500", "-p", str(port)
    )  # fmt: skip
    await gateway.idle()

    def closed() -> list[dict[str, Any]]:
        new = [call for call in gateway.calls(called="+15550102") if call["call_id"] not in before]
        return new if all(call["outcome"] for call in new) else []

    records = await until(closed, what="20 closed records")
    assert len(records) == 20
    assert {(call["outcome"], call["ended_by"], call["sip_status"]) for call in records} == {
        ("answered", "caller", 200)
    }
    assert len({call["worker"] for call in records}) == 6  # spread over all workers
    for call in records:
        assert 1400 <= call["duration_ms"] <= 2600
        assert call["media"]["packets_received"] == 0


@both
async def test_cancel_while_it_rings(gateway: RunningGateway, transport: str, caller: str) -> None:
    await sipp(gateway, transport, "uac_cancels.xml", "-s", "+15550109", "-key", "caller", caller, "-m", "2", "-r", "5")
    records = await gateway.closed_records(caller, 2)
    assert [(call["outcome"], call["ended_by"], call["sip_status"]) for call in records] == [
        ("cancelled", "caller", 487)
    ] * 2
    assert all(call["answered_at"] is None and call["duration_ms"] == 0 for call in records)
    assert all(call["recording"] is None for call in records)
    await gateway.idle()


@both
async def test_bye_from_the_agent(gateway: RunningGateway, transport: str, caller: str) -> None:
    await sipp(gateway, transport, "uac_waits_for_bye.xml", "-s", "+15550108", "-key", "caller", caller, "-m", "3")
    records = await gateway.closed_records(caller, 3)
    for call in records:
        assert (call["outcome"], call["ended_by"], call["sip_status"]) == ("answered", "agent", 200)
        detail = gateway.get(f"/v1/calls/{call['call_id']}")
        assert [turn["text"] for turn in detail["turns"] if turn["speaker"] == "agent"] == ["Goodbye now."]
        assert detail["turns"][0]["tool_calls"][0]["name"] == "end_call"
    await gateway.idle()


@both
async def test_hold_and_resume(gateway: RunningGateway, transport: str, caller: str) -> None:
    await sipp(gateway, transport, "uac_holds.xml", "-s", "+15550101", "-key", "caller", caller, "-m", "1")
    (call,) = await gateway.closed_records(caller, 1)
    assert (call["outcome"], call["ended_by"]) == ("answered", "caller")
    events = gateway.get(f"/v1/calls/{call['call_id']}")["events"]
    held, resumed = (next(e["t_ms"] for e in events if e["type"] == name) for name in ("leg_held", "leg_resumed"))
    assert 900 <= resumed - held <= 1600


@both
async def test_cancel_at_once(gateway: RunningGateway, transport: str, caller: str) -> None:
    """INVITE and CANCEL at once: either outcome may win, but it is one of the two, and the record says which."""
    async with raw_sip(gateway.udp if transport == "udp" else gateway.tcp, transport) as sip:
        for _ in range(5):
            call = sip.call("+15550101", caller)
            sip.send(call.request("INVITE", sdp()))
            await sip.expect(100)
            sip.send(call.request("CANCEL", cseq=call.cseq, branch=call.branch))
            answer = await _final(sip, call.call_id)
            if answer == 200:
                call.answered(next(m for m in reversed(sip.came) if m.status == 200 and m.cseq == "1 INVITE"))
                sip.send(call.ack())
                await call.bye()
            else:
                assert answer == 487
                failure = next(m for m in reversed(sip.came) if m.status == 487)
                sip.send(call.ack_of_failure(failure))
            record = await gateway.record(call.call_id)
            assert (record["outcome"], record["ended_by"]) == (
                ("answered", "caller") if answer == 200 else ("cancelled", "caller")
            )
            assert record["sip_status"] == answer
    await gateway.idle()


async def _final(sip: RawSip, call_id: str) -> int:
    async with asyncio.timeout(4):
        while True:
            finals = [
                m.status
                for m in sip.came
                if m.status >= 200 and m.cseq == "1 INVITE" and m.headers.get("call-id") == call_id
            ]
            if finals:
                return finals[0]
            await asyncio.sleep(0.01)


async def test_a_repeated_invite_and_a_repeated_bye_are_one_call(gateway: RunningGateway, caller: str) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        invite = call.request("INVITE", sdp())
        for _ in range(3):
            sip.send(invite)
        answer = await sip.expect(200, "1 INVITE")
        call.answered(answer)
        sip.send(invite)  # late, after the answer: the answer comes again
        sip.send(call.ack())
        bye = call.request("BYE")
        sip.send(bye)
        await sip.expect(200, "2 BYE")
        sip.send(bye)
        await sip.expect(200, "2 BYE")
        assert {m.headers["to"] for m in sip.came if m.status == 200} == {answer.headers["to"]}
        record = await gateway.record(call.call_id)
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    await gateway.idle()


@pytest.mark.timeout(60)
async def test_a_lost_ack_ends_the_call_after_32_seconds(gateway: RunningGateway, caller: str) -> None:
    """RFC 3261 section 13.3.1.4: the 200 is repeated, then the call is given up with a BYE."""
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE", sdp()))
        answer = await sip.expect(200, "1 INVITE")
        audio = asyncio.create_task(_some_packets(rtp_address(answer)))  # so that only the ACK is missing
        bye = await sip.expect("BYE", seconds=40)
        audio.cancel()
        sip.send(call.ok(bye))
        assert sip.count(200, "1 INVITE") >= 8
        record = await gateway.record(call.call_id)
        assert (record["outcome"], record["ended_by"], record["sip_status"]) == ("answered", "system", 408)
        assert record["end_reason"] not in ("", "unknown")
    await gateway.idle()


async def _some_packets(to: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for sequence in count():
            sock.sendto(struct.pack("!BBHII", 0x80, 0, sequence, 160 * sequence, 7) + b"\xff" * 160, to)
            await asyncio.sleep(1)


async def test_no_complaints_so_far(gateway: RunningGateway) -> None:
    """Nothing that callers did so far caused an error of ours; PJSIP's lines are about callers' messages."""
    assert gateway.complaints("call_failed", "on_enter", "pjsip: ") == []
    assert gateway.metrics().get("trunkline_edge_internal_errors_total", 0) == 0
