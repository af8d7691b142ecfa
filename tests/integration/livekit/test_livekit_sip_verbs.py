"""Hold, mute and transfers of a phone that LiveKit SIP has dialled for `POST /v1/calls`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from gateway_process import until
from outbound_calls import ask, closed_record
from sip_parts import notify, referred, refuse_refer
from test_gateway_further_legs import AGENT_HZ, CUSTOMER_HZ, HUMAN_HZ, trunks
from test_kills_outbound import talking
from test_livekit_further_legs import hears, now
from test_livekit_sip_outbound import world
from test_livekit_verbs import MUSIC_HZ, says, tell

from telephony.media.tones import tone
from telephony.phone import Phone
from telephony.phone.analysis import onset_after, silent_after

TARGET = "+15557009999"


async def test_hold_and_mute(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path) as (phone, gateway):
        call_id, call = await talking(phone, gateway)
        path = f"/v1/calls/{call_id}"
        await until(lambda: silent_after(call.received, now() - 0.5), what="the end of the greeting")
        await tell(gateway, path, "hold")
        await hears(call, MUSIC_HZ, "hold music")
        resumed_at = now()
        await tell(gateway, path, "resume")
        await hears(call, AGENT_HZ, "the agent, who welcomes the customer back")
        await until(lambda: silent_after(call.received, resumed_at + 1), what="its end")
        await tell(gateway, path, "mute", {"who": "agent"})
        said_at = await says(gateway, path)
        await asyncio.sleep(1)
        assert onset_after(call.received, said_at) is None, "the customer does not hear the agent"
        await tell(gateway, path, "unmute", {"who": "agent"})
        await hears(call, AGENT_HZ, "the agent again")
        assert gateway.complaints() == []


@pytest.mark.parametrize(
    ("status", "phrase", "outcome"),
    [(200, "OK", "transferred"), (486, "Busy Here", "busy"), (603, "Decline", "declined")],
)
async def test_a_cold_transfer_by_refer(
    livekit_stack: Any, tmp_path: Path, status: int, phrase: str, outcome: str
) -> None:
    async with world(livekit_stack, tmp_path) as (phone, gateway):
        call_id, call = await talking(phone, gateway)
        path = f"/v1/calls/{call_id}"
        await until(lambda: silent_after(call.received, now() - 0.5), what="the end of the greeting")
        asking = asyncio.create_task(tell(gateway, path, "transfer", {"to": TARGET, "refer": "only"}))
        assert await referred(call) == f"tel:{TARGET}"
        await asking
        await hears(call, MUSIC_HZ, "hold music")
        await notify(phone, call, status, phrase)
        if status == 200:
            async with asyncio.timeout(5):
                await call.wait_bye()
        else:
            await hears(call, AGENT_HZ, "the agent, who says that it did not work")
            assert (await ask(gateway, "DELETE", path))[0] == 200
        record = await closed_record(gateway, call_id)
        assert gateway.complaints() == []
    (transfer,) = record["transfers"]
    assert (transfer["kind"], transfer["outcome"], transfer["sip_status"]) == ("cold", outcome, status)
    ended = ("answered", "system", "transferred" if status == 200 else "ended over the API")
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ended


async def test_a_phone_that_refuses_refer_is_joined_with_a_leg_over_a_trunk_of_ours(
    livekit_stack: Any, tmp_path: Path
) -> None:
    async with Phone() as target:
        sip = trunks(target)
        sip["trunks"][0]["outbound"]["destinations"] = ["+1555700999"]
        async with world(livekit_stack, tmp_path, sip=sip) as (phone, gateway):
            call_id, call = await talking(phone, gateway)
            refuse_refer(phone, call, 405, "Method Not Allowed")
            path = f"/v1/calls/{call_id}"
            await tell(gateway, path, "transfer", {"to": TARGET})
            human = await target.incoming()
            await human.answer()
            call.play(tone(CUSTOMER_HZ, 20_000))
            human.play(tone(HUMAN_HZ, 20_000))
            await hears(call, HUMAN_HZ, "the human at the customer's")
            await hears(human, CUSTOMER_HZ, "the customer at the human's")
            await human.hang_up()
            async with asyncio.timeout(5):
                await call.wait_bye()
            record = await closed_record(gateway, call_id)
            assert gateway.complaints() == []
    (transfer,) = record["transfers"]
    assert (transfer["kind"], transfer["outcome"]) == ("cold", "transferred")
    assert [(leg["role"], leg["trunk"]) for leg in record["legs"]] == [("customer", "carrier"), ("human", "local")]
