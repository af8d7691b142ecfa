"""A held caller and the human whom the agent asks, both loud and pressing keys all the time: neither reaches the other
before they are joined, nor the conversation that is not theirs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_process import until
from test_gateway_further_legs import CUSTOMER_HZ, HUMAN_HZ
from test_gateway_transfers import StartGateway
from test_gateway_warm_transfers import SUMMARY_HZ, desk, loud_at

from telephony.media.tones import tone
from telephony.phone import PhoneCall
from telephony.phone.analysis import digits_heard

pytestmark = pytest.mark.usefixtures("nothing_left")

TEXT = "The caller has pressed a key."  # bench.Desk says 660 Hz for it


def keys(call: PhoneCall) -> str:
    return "".join(heard.digit for heard in digits_heard(call.received))


async def test_each_hears_only_what_is_meant_for_them(
    start_gateway: StartGateway, tmp_path: Path, speech: bytes
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await world.transfer(accept=True, accept_timeout_s=30, summary={"by": "text", "text": TEXT}, consult=True)
        human = await asyncio.wait_for(world.first.incoming(), 10)
        await human.ring()
        world.call.play(tone(CUSTOMER_HZ, 20000) + speech)
        await world.call.send_digits("12#")  # neither accepts, nor declines, nor reaches the persona
        await human.answer()
        human.play(tone(HUMAN_HZ, 20000))
        await asyncio.sleep(1)
        await world.call.send_digits("2")
        await human.send_digits("5")  # another key: asked again
        await asyncio.sleep(0.5)
        await human.send_digits("1")
        await until(lambda: loud_at(human, SUMMARY_HZ, began, loop.time()), 5, what="the summary")
        await world.call.send_digits("12")
        await asyncio.sleep(1.5)  # consulting now
        await world.call.send_digits("2")
        await human.send_digits("7")
        await asyncio.sleep(1)
        apart_until = loop.time()
        assert world.gateway.get(f"/v1/calls/{world.call_id}")["transfers"][0]["outcome"] is None
        assert not loud_at(human, CUSTOMER_HZ, began, apart_until), "the human hears nothing of the caller"
        assert not loud_at(world.call, HUMAN_HZ, began, apart_until), "nor the caller of the human"
        assert not loud_at(world.call, SUMMARY_HZ, began, apart_until)
        assert (keys(world.call), keys(human)) == ("", ""), "nor keys"

        await human.send_digits("1")
        assert await world.outcome() == "transferred"
        await until(lambda: loud_at(human, CUSTOMER_HZ, apart_until, loop.time()), 3, what="the caller")
        await until(lambda: loud_at(world.call, HUMAN_HZ, apart_until, loop.time()), 3, what="the human")
        await world.call.send_digits("4")
        await human.send_digits("6")
        await until(lambda: (keys(world.call), keys(human)) == ("6", "4"), 5, what="keys of those who are joined")
        await human.hang_up()
        await world.call.hang_up()
        record = await world.nothing_is_left()
    kinds = {event["type"] for event in record["events"]}
    assert "digit_received" not in kinds, "nothing that was pressed meanwhile reached the persona"
    assert "user_message" not in kinds
    assert not [turn for turn in record["turns"] if turn["speaker"] == "caller"]


async def test_a_held_callers_words_reach_neither_model_nor_consultation(
    start_gateway: StartGateway, tmp_path: Path, speech: bytes
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.transfer(summary={"by": "text", "text": TEXT}, consult=True)
        human = await asyncio.wait_for(world.first.incoming(), 10)
        await human.ring()
        await human.answer()
        await asyncio.sleep(1.5)
        spoken = world.call.play(speech)
        await spoken.done
        await asyncio.sleep(1)
        events = world.gateway.get(f"/v1/calls/{world.call_id}")["events"]
        assert not {"user_message", "talk_message"} & {event["type"] for event in events}
        asked = human.play(speech)
        await asked.done
        await asyncio.sleep(2)
        await human.send_digits("1")
        assert await world.outcome() == "transferred"
        await human.hang_up()
        await world.call.hang_up()
        record = await world.nothing_is_left()
    talked = [event for event in record["events"] if event["type"] == "talk_message"]
    assert [event["speaker"] for event in talked] == ["human"]
    answers = [turn for turn in record["turns"] if turn["kind"] == "to_human"]
    assert len(answers) >= 2, "the summary, and what the agent said in the consultation"
    assert "user_message" not in {event["type"] for event in record["events"]}
