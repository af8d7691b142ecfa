"""Calls that the gateway places over its own trunks, in rooms of the real LiveKit server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from outbound_calls import ask, closed_record, order, plan
from rooms import Echo, access_of
from test_gateway_further_legs import AGENT_HZ, strength, trunks
from test_livekit_calls import agent_in, livekit_settings
from test_serve_with_worker import settings

from telephony.livekit.api import LiveKitApi
from telephony.livekit.errors import RpcFailed
from telephony.phone import Phone
from telephony.phone.analysis import digits_heard, on_time_axis, onset_after, silent_after

TO = "+15557001234"
Start = Callable[..., RunningGateway]


@pytest.fixture
def start(livekit_stack: Any, tmp_path: Path) -> Iterator[Start]:
    """`agents`: of ours, in the gateway; else whoever comes into the room."""
    started: list[RunningGateway] = []

    def begin(phone: Phone, *, agents: bool = True, **changes: Any) -> RunningGateway:
        made = settings if agents else livekit_settings
        gateway = RunningGateway(
            tmp_path, workers=1, sip=trunks(phone), **plan(tmp_path), **made(tmp_path, livekit_stack, **changes)
        )
        started.append(gateway)
        return gateway.start()

    yield begin
    for gateway in started:
        gateway.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_call_is_placed_into_a_room_greeted_steered_and_ended(start: Start) -> None:
    async with Phone() as phone:
        gateway = start(phone)
        status, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO, variables={"name": "Ada"}))
        assert status == 202
        path = f"/v1/calls/{placed['call_id']}"
        call = await phone.incoming()
        await call.ring()
        assert (await ask(gateway, "POST", path + "/say", {"text": "Too early."}))[0] == 409
        await asyncio.sleep(0.5)
        answered_at = now()
        await call.answer()
        greeted_at = await until(lambda: onset_after(call.received, answered_at), what="the greeting")
        print("answer -> greeting:", round((greeted_at - answered_at) * 1000), "ms")
        await until(lambda: silent_after(call.received, greeted_at + 0.2), what="its end")
        said_at = now()
        assert (await ask(gateway, "POST", path + "/say", {"text": "One more thing."}))[0] == 200
        await until(lambda: onset_after(call.received, said_at), what="what the API has said")
        await until(lambda: silent_after(call.received, said_at + 1), what="its end")
        assert (await ask(gateway, "POST", path + "/digits", {"digits": "1"}))[0] == 200
        await until(lambda: [each.digit for each in digits_heard(call.received)] == ["1"], what="the key")
        assert (await ask(gateway, "DELETE", path + "?goodbye=true"))[0] == 200
        async with asyncio.timeout(10):
            await call.wait_bye()
        record = await closed_record(gateway, placed["call_id"])
        assert gateway.complaints() == []
    pcm = on_time_axis(call.received, greeted_at, greeted_at + 0.3)
    assert strength(pcm, AGENT_HZ) > 0.9
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "system", "ended over the API")
    assert (record["direction"], record["called"], record["caller"]) == ("outbound", TO, "+15550120")
    assert [turn["text"] for turn in record["turns"]][:2] == [
        f"Hello Ada, outbound {TO} +15550120.",
        "One more thing.",
    ]
    (leg,) = record["legs"]
    assert (leg["role"], leg["direction"], leg["outcome"]) == ("customer", "outbound", "answered")
    assert any(event["type"] == "ringing" for event in record["events"])


async def test_an_agent_of_another_program_takes_no_commands_and_the_phone_is_who_was_called(
    start: Start, livekit_stack: Any
) -> None:
    async with Phone() as phone:
        gateway = start(phone, agents=False)
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO))
        path = f"/v1/calls/{placed['call_id']}"
        call = await phone.incoming()
        await call.ring()
        async with agent_in(livekit_stack, f"call-{placed['call_id']}") as (room, _):
            echo = Echo(room)
            (who,) = room.participants
            assert (who.identity, who.attributes["sip.callStatus"]) == (f"sip_{TO}", "ringing")
            assert who.attributes["sip.phoneNumber"] == TO
            assert who.attributes["sip.trunkPhoneNumber"] == "+15550120"
            await call.answer()
            await until(lambda: room.participants[0].attributes["sip.callStatus"] == "active", what="the answer")
            status, problem, _ = await ask(gateway, "POST", path + "/say", {"text": "Hello."})
            assert (status, problem["type"]) == (409, "urn:trunkline:problem:not_possible")
            assert "another program's" in problem["detail"]
            assert echo.place is not None
            assert (await ask(gateway, "DELETE", path))[0] == 200
            await call.wait_bye()
        record = await closed_record(gateway, placed["call_id"])
    assert (record["outcome"], record["end_reason"]) == ("answered", "ended over the API")


@pytest.mark.parametrize(
    ("sip_status", "outcome"), [(486, "busy"), (603, "rejected"), (480, "no_answer"), (404, "invalid_number")]
)
async def test_each_refusal_is_an_outcome(start: Start, sip_status: int, outcome: str) -> None:
    async with Phone() as phone:
        gateway = start(phone)
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO))
        await (await phone.incoming()).reject(sip_status)
        record = await closed_record(gateway, placed["call_id"])
        assert gateway.complaints() == []
    assert (record["outcome"], record["sip_status"], record["recording"]) == (outcome, sip_status, None)


async def test_nobody_answers_and_a_ringing_call_can_be_cancelled(start: Start) -> None:
    async with Phone() as phone:
        gateway = start(phone)
        _, rings, _ = await ask(gateway, "POST", "/v1/calls", order(TO, ring_timeout_s=1))
        await (await phone.incoming()).ring()
        assert (await closed_record(gateway, rings["call_id"]))["outcome"] == "no_answer"
        _, cancelled, _ = await ask(gateway, "POST", "/v1/calls", order(TO))
        call = await phone.incoming()
        await call.ring()
        assert (await ask(gateway, "DELETE", f"/v1/calls/{cancelled['call_id']}"))[0] == 200
        assert (await call.wait_bye()).status == 487
        record = await closed_record(gateway, cancelled["call_id"])
        assert (record["outcome"], record["ended_by"]) == ("cancelled", "system")
        assert gateway.complaints() == []


async def test_an_agent_that_ends_it_before_the_answer_stops_the_ringing(start: Start, livekit_stack: Any) -> None:
    async with Phone() as phone:
        gateway = start(phone, agents=False)
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO))
        call = await phone.incoming()
        await call.ring()
        async with agent_in(livekit_stack, f"call-{placed['call_id']}") as (room, _):
            with pytest.raises(RpcFailed):
                await room.call(f"sip_{TO}", "nobody.serves", "")  # it is known there
            api = LiveKitApi(access_of(livekit_stack))
            await api.delete_room(room.name)
            await api.close()
        assert (await call.wait_bye()).status == 487
        record = await closed_record(gateway, placed["call_id"])
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("cancelled", "agent", "room_deleted")


async def test_without_livekit_server_nothing_rings(own_livekit_stack: Any, tmp_path: Path) -> None:
    async with Phone() as phone:
        made = livekit_settings(tmp_path, own_livekit_stack, join_timeout_s=1.0)
        gateway = RunningGateway(tmp_path, workers=1, sip=trunks(phone), **plan(tmp_path), **made).start()
        try:
            own_livekit_stack.kill_part("server")
            status, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO))
            assert status == 202
            record = await closed_record(gateway, placed["call_id"])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await phone.incoming()
        finally:
            gateway.stop()
    assert (record["outcome"], record["ended_by"]) == ("failed", "system")
    assert record["end_reason"].startswith("LiveKitUnreachable: ")
