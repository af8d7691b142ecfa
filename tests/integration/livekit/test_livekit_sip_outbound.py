"""`POST /v1/calls` over a carrier of the real LiveKit SIP: outcomes, events and records as over our own trunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from outbound_calls import ask, closed_record, order, plan
from rooms import Echo
from sip_parts import CALLED, carrier, challenge, empty_rooms, sip_api, synchronise, wanted
from test_livekit_calls import agent_in, livekit_settings
from test_serve_with_worker import settings

from telephony.phone import Phone
from telephony.phone.analysis import digits_heard, onset_after, silent_after

TO = "+15557001234"


def carriers(phone: Phone, **more: Any) -> list[dict[str, Any]]:
    host, port = phone.address
    own = {"address": f"{host}:{port}", "numbers": [CALLED], "transport": "udp", "destinations": ["+1555700"], **more}
    return [{"name": "carrier", **own}]


@asynccontextmanager
async def world(
    stack: Any, folder: Path, *, agents: bool = True, sync: bool = True, sip: Any = None, **changes: Any
) -> AsyncIterator[tuple[Phone, RunningGateway]]:
    """Who is called through LiveKit SIP, and the gateway. `agents`: of ours, in the gateway."""
    await empty_rooms(stack)
    async with sip_api(stack) as api, Phone(user="callee") as phone:
        if sync:
            await synchronise(api, wanted(stack, carriers=[carrier(phone)]))
        made = settings if agents else livekit_settings
        more = made(folder, stack, outbound=carriers(phone), **changes)
        if sip is not None:
            more["sip"] = sip
        gateway = RunningGateway(folder, workers=1, **plan(folder), **more).start()
        try:
            yield phone, gateway
        finally:
            gateway.stop()


async def place(gateway: RunningGateway, **more: Any) -> str:
    status, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO, **more))
    assert (status, placed.get("direction"), placed.get("trunk")) == (202, "outbound", "carrier"), placed
    return str(placed["call_id"])


async def test_a_call_is_placed_greeted_steered_recorded_and_ended(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path) as (phone, gateway):
        call_id = await place(gateway, variables={"name": "Ada"})
        call = await phone.incoming()
        assert call.asked.message.uri_text.startswith(f"sip:{TO}@")
        await call.ring()
        path = f"/v1/calls/{call_id}"
        now = asyncio.get_running_loop().time
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
        assert (await ask(gateway, "DELETE", path))[0] == 200
        async with asyncio.timeout(10):
            await call.wait_bye()
        record = await closed_record(gateway, call_id)
        assert gateway.complaints() == []
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "system", "ended over the API")
    assert (record["direction"], record["called"], record["caller"]) == ("outbound", TO, CALLED)
    assert [turn["text"] for turn in record["turns"]] == [f"Hello Ada, outbound {TO} {CALLED}.", "One more thing."]
    assert record["recording"]["duration_ms"] > 500
    (leg,) = record["legs"]
    assert (leg["role"], leg["direction"], leg["outcome"]) == ("customer", "outbound", "answered")
    assert any(event["type"] == "ringing" for event in record["events"])


@pytest.mark.parametrize(
    ("sip_status", "phrase", "outcome"),
    [
        (486, "Busy Here", "busy"),
        (603, "Decline", "rejected"),
        (480, "Gone", "no_answer"),
        (404, "Not Found", "invalid_number"),
        (503, "Service Unavailable", "failed"),
    ],
)
async def test_each_refusal_is_an_outcome(
    livekit_stack: Any, tmp_path: Path, sip_status: int, phrase: str, outcome: str
) -> None:
    async with world(livekit_stack, tmp_path) as (phone, gateway):
        call_id = await place(gateway)
        await (await phone.incoming()).reject(sip_status, phrase)
        record = await closed_record(gateway, call_id)
        assert gateway.complaints() == []
    assert (record["outcome"], record["sip_status"], record["end_reason"]) == (outcome, sip_status, phrase)
    assert record["recording"] is None


async def test_nobody_answers_and_a_ringing_call_can_be_cancelled(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path) as (phone, gateway):
        call_id = await place(gateway, ring_timeout_s=1)
        await (await phone.incoming()).ring()
        record = await closed_record(gateway, call_id)
        assert (record["outcome"], record["ended_by"]) == ("no_answer", "system")
        assert record["end_reason"] == "nobody answered in time"
        call_id = await place(gateway)
        call = await phone.incoming()
        await call.ring()
        assert (await ask(gateway, "DELETE", f"/v1/calls/{call_id}"))[0] == 200
        async with asyncio.timeout(5):
            assert (await call.wait_bye()).status == 487
        record = await closed_record(gateway, call_id)
        assert (record["outcome"], record["ended_by"]) == ("cancelled", "system")
        assert gateway.complaints() == []


async def test_who_hangs_up_is_on_record(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path, agents=False) as (phone, gateway):
        call_id = await place(gateway)
        call = await phone.incoming()
        await call.answer()
        async with agent_in(livekit_stack, f"call-{call_id}") as (room, _):
            echo = Echo(room)
            phones = [who for who in room.participants if who.identity == f"sip_{TO}"]
            assert phones[0].attributes["sip.phoneNumber"] == TO
            call.play(b"\x00\x20" * 8000)
            await until(lambda: len(call.received.at) > 20, what="the echo")
            status, problem, _ = await ask(gateway, "POST", f"/v1/calls/{call_id}/say", {"text": "Hello."})
            assert (status, problem["type"]) == (409, "urn:trunkline:problem:not_possible")
            await call.hang_up()
            record = await closed_record(gateway, call_id)
            assert echo.heard
        assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "caller", "hung up")
        call_id = await place(gateway)
        call = await phone.incoming()
        await call.answer()
        async with agent_in(livekit_stack, f"call-{call_id}") as (room, _):
            Echo(room)
            await until(lambda: f"sip_{TO}" in room.speaking_tracks, what="the phone")
        async with asyncio.timeout(8):
            await call.wait_bye()
        record = await closed_record(gateway, call_id)
        assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "agent", "agent_left")


async def test_what_cannot_be_placed_is_refused_before_anything_rings(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path, agents=False) as (phone, gateway):
        refused = [
            ({"to": "+15558001234"}, 403, "closed_destination"),
            ({"to": TO, "trunk": "other"}, 422, "no_trunk"),
            ({"to": TO, "trunk": "carrier", "from": "+15550177"}, 403, "caller_not_allowed"),
            ({"to": "+15557", "trunk": "carrier"}, 422, "invalid_number"),
        ]
        for asked, status, kind in refused:
            found, problem, _ = await ask(gateway, "POST", "/v1/calls", {**order(TO), "trunk": "carrier", **asked})
            assert (found, problem["type"]) == (status, f"urn:trunkline:problem:{kind}"), asked
        assert gateway.calls() == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await phone.incoming()


async def test_what_stops_livekit_sip_from_calling_is_said(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path, agents=False, sync=False) as (phone, gateway):
        record = await closed_record(gateway, await place(gateway))
        assert (record["outcome"], record["ended_by"]) == ("failed", "system")
        assert record["end_reason"].startswith("SipTrunkMissing: ") and "livekit sync" in record["end_reason"]
        async with sip_api(livekit_stack) as api:
            await synchronise(api, wanted(livekit_stack, carriers=[carrier(phone)]))
            call_id = await place(gateway)
            challenge(phone, await phone.incoming())
            record = await closed_record(gateway, call_id)
            assert record["outcome"] == "failed"
            assert record["end_reason"].startswith("SipCredentialsWrong: ")
