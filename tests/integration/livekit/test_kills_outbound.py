"""Parts are killed while a call that `POST /v1/calls` has placed over LiveKit SIP rings or talks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.error
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from kills import RECORD_S
from outbound_calls import closed_record
from test_livekit_sip_outbound import place, world

from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import onset_after


async def talking(phone: Phone, gateway: RunningGateway) -> tuple[str, PhoneCall]:
    call_id = await place(gateway)
    call = await phone.incoming()
    await call.answer()
    answered_at = asyncio.get_running_loop().time()
    await until(lambda: onset_after(call.received, answered_at), what="the greeting")
    return call_id, call


async def record_of(gateway: RunningGateway, call_id: str, since: float) -> dict[str, Any]:
    async with asyncio.timeout(RECORD_S):
        record = await closed_record(gateway, call_id)
    print(f"on record after {time.monotonic() - since:.1f} s: {record['end_reason']}")
    return record


async def test_livekit_sip_dies(own_whole_stack: Any, tmp_path: Path) -> None:
    async with world(own_whole_stack, tmp_path) as (phone, gateway):
        call_id, call = await talking(phone, gateway)
        own_whole_stack.kill_part("sip")
        record = await record_of(gateway, call_id, time.monotonic())
        call.abandon()  # with LiveKit SIP has gone who could send a BYE
        assert (record["outcome"], record["ended_by"]) == ("answered", "system")
        assert record["end_reason"].startswith("livekit_sip_lost: ")

        record = await record_of(gateway, await place(gateway), time.monotonic())
        assert (record["outcome"], record["ended_by"]) == ("failed", "system")
        assert record["end_reason"].startswith("SipDown: ") and "no LiveKit SIP" in record["end_reason"]

        own_whole_stack.start_part("sip")
        call_id = await place(gateway)
        call = await phone.incoming()
        await call.ring()
        # A sign of life of who dials: until there was one, none is missed.
        await until(lambda: any(each["type"] == "ringing" for each in events(gateway, call_id)), what="the ringing")
        await asyncio.sleep(2)
        own_whole_stack.kill_part("sip")
        record = await record_of(gateway, call_id, time.monotonic())
        call.abandon()
        assert (record["outcome"], record["ended_by"]) == ("failed", "system")
        assert record["end_reason"] == "SipDown: LiveKit SIP has stopped, or lost its Redis, during the call"


def events(gateway: RunningGateway, call_id: str) -> list[dict[str, Any]]:
    try:
        return list(gateway.get(f"/v1/calls/{call_id}")["events"])
    except urllib.error.HTTPError:  # it is being written
        return []


async def test_livekit_server_dies(own_whole_stack: Any, tmp_path: Path) -> None:
    async with world(own_whole_stack, tmp_path) as (phone, gateway):
        call_id, call = await talking(phone, gateway)
        own_whole_stack.kill_part("server")
        record = await record_of(gateway, call_id, time.monotonic())
        assert (record["outcome"], record["ended_by"]) == ("answered", "system")
        assert record["end_reason"].startswith("livekit_lost: ")
        record = await record_of(gateway, await place(gateway), time.monotonic())
        assert (record["outcome"], record["ended_by"]) == ("failed", "system")
        assert record["end_reason"].startswith("LiveKitUnreachable: ")
        own_whole_stack.start_part("server")  # LiveKit SIP has kept the phone on the line
        async with asyncio.timeout(20):
            await call.wait_bye()


async def test_the_call_worker_dies(livekit_stack: Any, tmp_path: Path) -> None:
    async with world(livekit_stack, tmp_path) as (phone, gateway):
        call_id, call = await talking(phone, gateway)
        os.kill(next(iter(gateway.worker_pids().values())), signal.SIGKILL)
        async with asyncio.timeout(10):
            await call.wait_bye()
        record = await closed_record(gateway, call_id)
        assert (record["outcome"], record["ended_by"]) == ("worker_lost", "system")
