"""The behaviour of real networks and broken phones: none may hurt the gateway, and each attempt is one record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from gateway_process import RunningGateway, until
from raw_sip import Message, raw_sip, rtp_address, sdp

from telephony.phone import Phone
from telephony.phone.analysis import packet_counts

both = pytest.mark.parametrize("transport", ["udp", "tcp"])


async def test_huge_headers(gateway: RunningGateway, caller: str) -> None:
    """14 KiB of headers pass over TCP; more than the parser allows is dropped, and neither hurts."""
    async with raw_sip(gateway.tcp, "tcp") as sip:
        call = sip.call("+15550101", caller)
        extra = "".join(f"X-Long-{n}: {'x' * 900}\r\n" for n in range(14)) + "X-Trunkline-Leg: forged\r\n"
        await call.establish(extra=extra)
        await call.bye()
        record = await gateway.record(call.call_id)
        assert record["outcome"] == "answered"
        too_much = sip.call("+15550101", caller)
        sip.send(too_much.request("INVITE", sdp(), extra=f"X-Long: {'y' * 20_000}\r\n"))
        sip.send(sip.call("ping", "pinger").request("OPTIONS"))  # too much to be read: dropped, and the stream goes on
        await sip.expect(200)
        assert sip.count(100) == 1
        assert gateway.attempts(too_much.call_id) == []  # not an attempt: nobody could read it
    await gateway.idle()


@both
async def test_two_invites_with_one_call_id(gateway: RunningGateway, caller: str, transport: str) -> None:
    """The same call over a second path (RFC 3261 section 8.2.2.2): 482, and the first continues."""
    async with raw_sip(gateway.udp if transport == "udp" else gateway.tcp, transport) as sip:
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE", sdp()))
        sip.send(call.request("INVITE", sdp(), cseq=1))  # another branch: no retransmission
        loop = await sip.expect(482)
        answer = await sip.expect(200, "1 INVITE") if not sip.count(200) else _answer(sip.came)
        assert "came in already" in loop.headers["reason"]
        call.answered(answer)
        sip.send(call.ack())
        await call.bye()
        await until(lambda: len(gateway.attempts(call.call_id)) == 2)
        records = await gateway.closed_records(caller, 2)
    assert sorted((one["outcome"], one["sip_status"]) for one in records) == [("answered", 200), ("refused", 482)]
    await gateway.idle()


def _answer(came: list[Message]) -> Message:
    return next(m for m in came if m.status == 200)


@both
async def test_an_invite_without_sdp(gateway: RunningGateway, caller: str, transport: str) -> None:
    """Delayed offer: the gateway offers in its 200, the caller answers in its ACK."""
    async with (
        raw_sip(gateway.udp if transport == "udp" else gateway.tcp, transport) as sip,
        Phone() as ears,
        Phone() as silent,
    ):
        other = await ears.dial(silent.uri)  # only for its RTP port
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE"))
        answer = await sip.expect(200, "1 INVITE")
        host, port = rtp_address(answer)
        assert (host, port % 2) == ("127.0.0.1", 0)
        assert "PCMU/8000" in answer.body and "telephone-event" in answer.body
        call.answered(answer)
        sip.send(call.ack(sdp(port=other.audio.port)))
        await until(lambda: len(other.received) > 50, what="the agent's voice")
        await call.bye()
        record = await gateway.record(call.call_id)
        other_ended = other.cancel()
        other_ended.close()
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    await gateway.idle()


async def test_hold_for_seconds_then_a_new_port(gateway: RunningGateway, caller: str) -> None:
    """On hold nothing is sent to us; after the re-INVITE audio goes to the new port."""
    async with Phone() as phone, Phone() as ears, Phone() as silent:
        call = await phone.call(gateway.uri("+15550101"), caller=caller)
        await until(lambda: len(call.received) > 25)
        await call.hold()
        held = len(call.received)
        await asyncio.sleep(1.5)  # the time that is to pass, not a wait for something
        assert len(call.received) - held <= 10
        await call.resume()
        before = len(call.received)
        await until(lambda: len(call.received) > before + 25, what="audio after the hold")
        moved = await ears.dial(silent.uri)
        call._sdp_version += 1
        own_port, moved_port = call.audio.port, moved.audio.port
        call.audio.begin("inactive")  # else our packets would show the gateway the old way (symmetric RTP)
        invite = call.dialog.request("INVITE", body=sdp(port=moved_port, version=9).encode())
        sequence = call.dialog.sequence
        answered = asyncio.get_running_loop().create_future()
        transaction = phone.transact(
            invite, call.peer, lambda r: answered.done() or r.status < 200 or answered.set_result(r)
        )
        response = await asyncio.wait_for(answered, 4)
        assert response.status == 200
        phone.send(call.dialog.request("ACK", sequence=sequence), call.peer)
        await transaction.final
        await until(lambda: len(moved.received) > 50, what=f"audio at {moved_port} instead of {own_port}")
        still = len(call.received)
        await until(lambda: len(moved.received) > 100)
        assert len(call.received) - still <= 2
        await call.hang_up()
        record = await gateway.record(call.call_id)
        moved.cancel().close()
    kinds = [event["type"] for event in record["events"] if event["type"].startswith("leg_")]
    assert kinds == ["leg_held", "leg_resumed"]
    assert (record["outcome"], record["media_alarms"]) == ("answered", [])
    await gateway.idle()


@pytest.mark.parametrize("uri", ["tel:+15550101", "tel:+1-555-01-01", "sip:+15550101@example.com;user=phone"])
async def test_other_uris(gateway: RunningGateway, caller: str, uri: str) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call(uri, caller)
        await call.establish()
        await call.bye()
        record = await gateway.record(call.call_id)
    assert (record["called"], record["outcome"]) == ("+15550101", "answered")


async def test_options_pings_while_calls_are_up(gateway: RunningGateway, caller: str) -> None:
    async with Phone() as phone, raw_sip(gateway.udp) as sip:
        call = await phone.call(gateway.uri("+15550101"), caller=caller)
        for _ in range(200):
            ping = sip.call("ping", "pinger")
            sip.send(ping.request("OPTIONS"))
            assert "INVITE" in (await sip.expect(200)).headers["allow"]
        await until(lambda: len(call.received) > 100)
        assert packet_counts(call.received).lost == 0
        await call.hang_up()
        await gateway.record(call.call_id)


async def test_a_tcp_connection_that_is_closed_in_the_call(gateway: RunningGateway, caller: str) -> None:
    """The call continues; the BYE uses a new connection."""
    async with raw_sip(gateway.tcp, "tcp") as first, raw_sip(gateway.tcp, "tcp") as second:
        call = first.call("+15550101", caller)
        await call.establish()
        first.close()
        await asyncio.sleep(0.2)  # the gateway sees the end of the connection
        (attempt,) = await until(lambda: gateway.attempts(call.call_id), 2, what="its record to be begun")
        assert attempt["outcome"] is None
        call.sip = second
        await call.bye()
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    await gateway.idle()


async def test_the_agent_ends_a_call_whose_tcp_connection_is_gone(
    start_gateway: Callable[..., RunningGateway], caller: str
) -> None:
    """Nobody receives the BYE, but for us the call is over within seconds. With its own gateway, as PJSIP keeps the
    slot for 32 s."""
    gateway = start_gateway(workers=1)
    async with raw_sip(gateway.tcp, "tcp") as sip:
        call = sip.call("+15550108", caller)
        await call.establish()
        sip.close()
        record = await gateway.record(call.call_id, 10)
    assert (record["outcome"], record["ended_by"]) == ("answered", "agent")
    await gateway.idle()


@pytest.mark.parametrize(
    "body",
    ["not sdp at all", sdp().replace("RTP/AVP 0 101", "RTP/AVP 97").replace("a=rtpmap:0 PCMU/8000\r\n", ""), "v=0\r\n"],
    ids=["garbage", "no codec in common", "cut off"],
)
async def test_an_sdp_that_nobody_can_use(gateway: RunningGateway, caller: str, body: str) -> None:
    """Refused by the edge: no slot is taken, and the record has the answer to the caller and the reason."""
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        sip.send(call.request("INVITE", body))
        answer = await _first_final(sip.came)
        assert 400 <= answer.status < 500
        sip.send(call.ack_of_failure(answer))
        record = await gateway.record(call.call_id, 4)
    assert (record["outcome"], record["answered_at"]) == ("refused", None)
    assert (record["sip_status"], record["ended_by"]) == (answer.status, "system")
    assert answer.headers["warning"].partition(" trunkline ")[2].strip('"') == record["refused_by"]
    await gateway.idle(2)


async def _first_final(came: list[Message]) -> Message:
    await until(lambda: any(m.status >= 200 for m in came), what=f"a final answer in {came}")
    return next(m for m in came if m.status >= 200)


async def test_a_persona_that_cannot_be_made(gateway: RunningGateway, caller: str) -> None:
    """Never a dead line: 500, and the record says why."""
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550110", caller)
        sip.send(call.request("INVITE", sdp()))
        answer = await _first_final(sip.came)
        assert answer.status == 500
        sip.send(call.ack_of_failure(answer))
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"], record["sip_status"]) == ("failed", "system", 500)
    assert "no persona today" in record["end_reason"]
    await gateway.idle()


async def test_a_persona_whose_hook_throws(gateway: RunningGateway, caller: str) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550105"), caller=caller)
        await until(lambda: len(call.received) > 60)
        assert not call.ended.done()
        await call.hang_up()
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")


async def test_bye_crosses_bye(gateway: RunningGateway, caller: str) -> None:
    """Both hang up in the same moment: each BYE is answered, and there is one record."""
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550108", caller)
        await call.establish()
        bye = await sip.expect("BYE", seconds=8)
        sip.send(call.request("BYE"))
        answer = await sip.expect(200, "2 BYE") if not sip.count(481) else None
        sip.send(call.ok(bye))
        assert answer is not None
        record = await gateway.record(call.call_id)
    assert record["outcome"] == "answered"
    await gateway.idle()


async def test_a_re_invite_that_cannot_be_used_leaves_the_call_as_it_was(gateway: RunningGateway, caller: str) -> None:
    async with Phone() as phone, raw_sip(gateway.udp) as sip:
        del phone
        call = sip.call("+15550101", caller)
        await call.establish()
        sip.send(call.request("INVITE", "v=0 garbage"))
        refused = await _refusal(sip.came, f"{call.cseq} INVITE")
        assert refused.status in (400, 415, 488)
        sip.send(call.request("ACK", cseq=call.cseq, branch=call.branch))
        await until(lambda: gateway.attempts(call.call_id))
        assert gateway.attempts(call.call_id)[0]["outcome"] is None
        await call.bye()
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")


async def _refusal(came: list[Message], cseq: str) -> Message:
    await until(lambda: any(m.status >= 300 and m.cseq == cseq for m in came), what=f"a refusal in {came}")
    return next(m for m in came if m.status >= 300 and m.cseq == cseq)


async def test_nothing_of_this_was_an_error_of_ours(gateway: RunningGateway) -> None:
    complaints = gateway.complaints("call_failed", "on_enter", "pjsip: ")
    assert complaints == []
    assert gateway.metrics().get("trunkline_edge_internal_errors_total", 0) == 0
    await gateway.idle()
