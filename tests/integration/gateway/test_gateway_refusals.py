"""Refused calls, calls without media, keyed digits: what the caller gets and what is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from raw_sip import raw_sip, sdp

from telephony.phone import CallFailed, Phone
from telephony.phone.analysis import loud_spans, onset_after

StartGateway = Callable[..., RunningGateway]


async def _refused(gateway: RunningGateway, number: str, caller: str) -> CallFailed:
    async with Phone() as phone:
        with pytest.raises(CallFailed) as failed:
            await phone.call(gateway.uri(number), caller=caller)
    return failed.value


async def test_no_route(gateway: RunningGateway, caller: str) -> None:
    failed = await _refused(gateway, "+15559999999", caller)
    assert failed.status == 404
    assert "+15559999999" in failed.reason_header and failed.reason_header.startswith("SIP;cause=404;text=")
    (record,) = await gateway.closed_records(caller, 1)
    assert (record["outcome"], record["sip_status"], record["ended_by"]) == ("refused", 404, "system")
    assert record["called"] == "+15559999999"
    assert record["refused_by"] and record["refused_by"] in failed.reason_header


async def test_the_dialplan_refuses(gateway: RunningGateway) -> None:
    failed = await _refused(gateway, "+15550106", "+15551110000")
    assert (failed.status, failed.reason) == (603, "not you")
    assert 'text="not you (dialplan.yaml:10)"' in failed.reason_header  # the rule, but no folder of this machine
    (record,) = await gateway.closed_records("+15551110000", 1)
    assert (record["outcome"], record["sip_status"]) == ("refused", 603)
    failed = await _refused(gateway, "+15550106", "anonymous")
    assert failed.status == 433

    def withheld_calls() -> list[dict[str, Any]]:
        return [call for call in gateway.calls(called="+15550106") if call["caller"] is None]

    withheld = await until(withheld_calls, what="the record of the withheld call")
    assert [(call["outcome"], call["sip_status"]) for call in withheld] == [("refused", 433)]


async def test_a_wrong_source(start_gateway: StartGateway) -> None:
    gateway = start_gateway(
        workers=1,
        sip={"trunks": [{"name": "carrier", "allow": ["127.0.0.9/32", "192.0.2.0/24"]}]},
    )
    failed = await _refused(gateway, "+15550101", "+15552103001")
    assert failed.status == 403
    assert "127.0.0.1" in failed.reason_header
    (record,) = await gateway.closed_records("+15552103001", 1)
    assert (record["outcome"], record["sip_status"], record["trunk"]) == ("refused", 403, "")
    async with Phone("127.0.0.9") as phone:  # and the right one may
        call = await phone.call(gateway.uri("+15550101"), caller="+15552103002")
        await call.hang_up()
    (record,) = await gateway.closed_records("+15552103002", 1)
    assert (record["outcome"], record["trunk"]) == ("answered", "carrier")


async def test_full(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=1)
    async with Phone() as phone, raw_sip(gateway.udp) as sip:
        calls = [await phone.call(gateway.uri("+15550101"), caller="+15552104001") for _ in range(4)]
        failed = await _refused(gateway, "+15550101", "+15552104002")
        assert failed.status == 503
        assert failed.retry_after and failed.retry_after > 0
        assert "4 call slots are taken" in failed.reason_header
        (record,) = await gateway.closed_records("+15552104002", 1)
        assert (record["outcome"], record["sip_status"]) == ("refused", 503)
        assert "slots are taken" in record["refused_by"]
        ping = sip.call("ping", "pinger")
        sip.send(ping.request("OPTIONS"))
        assert "full" in (await sip.expect(503)).headers["reason"]
        await calls[0].hang_up()  # a slot is free as soon as a call is over
        await until(lambda: gateway.figures()["slots_free"] == 1, 2)
        fifth = await phone.call(gateway.uri("+15550101"), caller="+15552104003")
        await asyncio.gather(*(call.hang_up() for call in (*calls, fifth)))
    await gateway.idle()
    assert gateway.complaints() == []


async def test_media_never_comes(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=1, calls={"media_alarm_s": 1.0, "first_media_s": 3.0, "media_timeout_s": 3.0})
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", "+15552105001")
        await call.establish(sdp(port=40_009))
        bye = await sip.expect("BYE", seconds=6)
        sip.send(call.ok(bye))
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "system")
    assert "no RTP packet has arrived" in record["end_reason"]
    assert "no RTP packet has arrived" in bye.headers["reason"]
    assert [alarm["kind"] for alarm in record["media_alarms"]] == ["no_rtp", "no_rtp"]
    assert 900 <= record["media_alarms"][0]["t_ms"] <= 2200
    assert 2800 <= record["duration_ms"] <= 4500
    assert record["first_rtp_ms"] is None

    async with Phone(dtx=True) as phone:  # media comes, then stops: this phone sends nothing but what it says
        talking = await phone.call(gateway.uri("+15550101"), caller="+15552105002")
        await talking.play(bytes(16000)).done
        ended = await asyncio.wait_for(talking.wait_bye(), 7)
        assert "have been missing" in ended.reason
        record = await gateway.record(talking.call_id)
        assert (record["ended_by"], record["outcome"]) == ("system", "answered")
        assert record["first_rtp_ms"] is not None
    await gateway.idle()


async def test_the_caller_hangs_up_in_the_middle_of_a_sentence(
    gateway: RunningGateway, caller: str, speech: bytes
) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550102"), caller=caller)
        handle = call.play(speech * 3)
        await until(lambda: handle.first_sent_at and len(call.received) > 40)
        await call.hang_up()
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"], record["sip_status"]) == ("answered", "caller", 200)
    closing = [event for event in record["events"] if event["type"] == "session_closed"]
    assert [event["reason"] for event in closing] == ["leg_ended"]
    assert record["recording"]["duration_ms"] >= 600
    await gateway.idle()


async def test_the_agent_answers_ends_and_hangs_up(gateway: RunningGateway, caller: str, speech: bytes) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550103"), caller=caller)
        said = call.play(speech)
        await said.done
        ended = await asyncio.wait_for(call.wait_bye(), 10)
        assert ended.by == "peer"
        assert said.last_sent_at is not None
        heard_at = onset_after(call.received, said.last_sent_at)
        assert heard_at is not None
        last_sound = loud_spans(call.received)[-1][1]
        assert 0 < ended.at - last_sound < 1.0  # the last word was played out, and then it ended
        record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "agent")
    assert [(turn["speaker"], turn["text"]) for turn in record["turns"]] == [
        ("caller", "This is what the caller said."),
        ("agent", "Goodbye now."),
    ]
    assert record["turns"][1]["latency"]["first_packet_ms"] < 1500
    await gateway.idle()


async def test_digits_by_rtp(gateway: RunningGateway, caller: str) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550104"), caller=caller)
        await until(lambda: len(call.received) > 25)
        await call.send_digits("123")
        await until(lambda: loud_spans(call.received), 5, what="an answer to the digits")
        await until(lambda: len(call.received) and call.received.at[-1] - loud_spans(call.received)[-1][1] > 0.6)
        await call.send_digits("999")
        await asyncio.wait_for(call.wait_bye(), 8)
        record = await gateway.record(call.call_id)
    typed = [turn["text"].replace(" ", "") for turn in record["turns"] if turn["source"] == "dtmf"]
    assert typed == ["123", "999"]
    assert [event["digit"] for event in record["events"] if event["type"] == "digit_received"] == list("123999")
    assert record["ended_by"] == "agent"
    log = gateway.log_text()
    assert "123999" not in log and '"digit"' not in log.replace('"digit": "•••"', "")


async def test_digits_by_info(gateway: RunningGateway, caller: str) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550104", caller)
        await call.establish()
        for digit in "999":
            body = f"Signal={digit}\r\nDuration=160\r\n"
            sip.send(call.request("INFO", body, content_type="application/dtmf-relay"))
            await sip.expect(200, f"{call.cseq} INFO")
        bye = await sip.expect("BYE", seconds=8)
        sip.send(call.ok(bye))
        record = await gateway.record(call.call_id)
    assert [event["digit"] for event in record["events"] if event["type"] == "digit_received"] == list("999")
    assert record["ended_by"] == "agent"
    await gateway.idle()


@pytest.mark.parametrize("number", ["5550101", "15550101", "01115550101", "%2B15550101", "+15550101;npdi"])
async def test_numbers_in_other_forms(gateway: RunningGateway, caller: str, number: str) -> None:
    async with raw_sip(gateway.udp) as sip:
        call = sip.call(number, caller.removeprefix("+"))
        await call.establish()
        await call.bye()
        record = await gateway.record(call.call_id)
    assert (record["called"], record["caller"], record["outcome"]) == ("+15550101", caller, "answered")
