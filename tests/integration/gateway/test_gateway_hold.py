"""Callers put the gateway on hold in every way that phones do, for longer than the silence ladder."""

from __future__ import annotations

import asyncio
import re

import pytest
from gateway_process import RunningGateway, until
from raw_sip import sdp

from telephony.phone import Phone
from telephony.phone.call import PhoneCall

WAYS = {
    "inactive": lambda body: body.replace("a=sendrecv", "a=inactive"),
    "sendonly": lambda body: body.replace("a=sendrecv", "a=sendonly"),
    "no address": lambda body: body.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"),
    "no address, old way": lambda body: body.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0").replace(
        "a=sendrecv\r\n", ""
    ),
    "stream put away": lambda body: re.sub(r"m=audio \d+", "m=audio 0", body),
}


async def reinvite(phone: Phone, call: PhoneCall, body: str) -> int:
    """The status that a re-INVITE with this body gets."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    invite = call.dialog.request("INVITE", body=body.encode())
    sequence = call.dialog.sequence
    transaction = phone.transact(
        invite, call.peer, lambda r: answered.done() or r.status < 200 or answered.set_result(r.status)
    )
    status = await asyncio.wait_for(answered, 4)
    phone.send(call.dialog.request("ACK", sequence=sequence), call.peer)
    await transaction.final
    return status


@pytest.mark.parametrize("way", WAYS)
async def test_held_is_held(gateway: RunningGateway, caller: str, speech: bytes, way: str) -> None:
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550111"), caller=caller)
        await until(lambda: len(call.received) > 90)
        offer = sdp(port=call.audio.port, version=7)
        assert await reinvite(phone, call, WAYS[way](offer)) == 200
        await asyncio.sleep(0.1)  # what was under way
        held = len(call.received)
        call.play(speech * 4)  # music on hold, or a phone that sends on all the same
        await asyncio.sleep(8)  # the ladder is at its end after 6 s
        assert not call.ended.done()
        assert len(call.received) - held <= 10
        assert await reinvite(phone, call, offer.replace(" 7 IN", " 8 IN")) == 200
        back = len(call.received)
        await until(lambda: len(call.received) > back + 100, what="a word of welcome")
        await call.hang_up()
        record = await gateway.record(call.call_id)
    turns = [(turn["speaker"], turn["kind"], turn["text"]) for turn in record["turns"]]
    assert turns[0] == ("agent", "greeting", "How many?")
    assert turns[1][:2] == ("system", "hold")
    assert turns[1][2].startswith("the caller put the call on hold for 8.")
    assert turns[2] == ("agent", "canned", "I'm here.")
    assert not [turn for turn in turns if turn[0] == "caller"]
    assert (record["ended_by"], record["media_alarms"]) == ("caller", [])
