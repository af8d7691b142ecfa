"""Calls in which something other than silence ends the caller's turns: a recogniser without a VAD, or a key."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway_process import RunningGateway, until

from telephony.phone import Phone


def of(record: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in record["events"] if event["type"] == kind]


async def test_a_recogniser_ends_turns_without_a_vad(gateway: RunningGateway, caller: str, speech: bytes) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550131"), caller=caller)
        await until(lambda: len(call.received) > 60, what="the greeting")
        call.play(speech)  # over the greeting, which lasts five seconds
        await asyncio.sleep(4)
        await call.hang_up()
        record = await gateway.record(call.call_id)
    [ended] = of(record, "user_turn_ended")
    assert (ended["reason"], ended["why"]) == ("end_of_turn", "the recogniser ended the turn (1.00)")
    greeting, reply = of(record, "agent_message")
    assert greeting["interrupted"]
    assert reply["kind"] == "reply"
    latency = of(record, "turn_latency")[0]
    assert latency["first_packet_at"] - latency["decided_at"] < 0.3


async def test_the_application_ends_turns(gateway: RunningGateway, caller: str, speech: bytes) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550132"), caller=caller)
        await asyncio.sleep(0.5)
        call.play(speech)
        await asyncio.sleep(3)
        heard = len(call.received)
        await call.send_digits("#")
        await asyncio.sleep(2)
        await call.hang_up()
        record = await gateway.record(call.call_id)
    assert heard > 0
    [ended] = of(record, "user_turn_ended")
    assert (ended["reason"], ended["why"]) == ("committed", "committed by the application")
    [pressed] = of(record, "digit_received")
    assert 0 <= ended["at"] - pressed["at"] < 0.5
    assert [message["source"] for message in of(record, "user_message")] == ["speech"]
    assert of(record, "agent_message")[-1]["kind"] == "reply"
