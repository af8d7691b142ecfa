"""Human queues with phones of ours as callers and members: what each hears and when, and that nothing is left."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from test_gateway_further_legs import CUSTOMER_HZ, HUMAN_HZ, hears_the_agent, legs_of, strength, trunks
from test_gateway_transfers import StartGateway
from test_gateway_warm_transfers import BENCH, DESK, MOST_CANCEL_MS, MOST_JOIN_MS, loud_at

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis

MUSIC_HZ = 300


class World:
    """A caller in a queue, and its member."""

    def __init__(self, gateway: RunningGateway, caller: Phone, call: PhoneCall, member: Phone) -> None:
        self.gateway = gateway
        self.caller = caller
        self.call = call
        self.member = member

    @property
    def call_id(self) -> str:
        return str(self.gateway.attempts(self.call.call_id)[0]["call_id"])

    async def nothing_is_left(self) -> dict[str, Any]:
        record = await self.gateway.record(self.call.call_id)
        await self.gateway.idle()
        await self.gateway.slots_free(self.gateway.figures()["slots"], 5)
        assert self.gateway.complaints() == []
        assert all(leg["outcome"] for leg in legs_of(self.gateway, self.call))
        return record

    def events(self, record: dict[str, Any]) -> list[str]:
        whole = self.gateway.get(f"/v1/calls/{record['call_id']}")
        return [event["type"] for event in whole["events"] if event["type"].startswith("queue_")]


@asynccontextmanager
async def world(start_gateway: StartGateway, folder: Path, **queue: Any) -> AsyncIterator[World]:
    async with Phone() as caller, Phone() as member:
        for name in ("bench.py", "phones_plan.yaml", "bench_personas.py"):
            shutil.copy(BENCH / name, folder)
        settings = {"name": "desk", "members": ["anna"], "ring_s": 5, "retry_s": 1, "detect": False} | queue
        settings.setdefault("hold_music", {"source": str(BENCH / "hold_300hz.wav")})
        gateway = start_gateway(
            sip=trunks(member), dialplans=[str(folder / "phones_plan.yaml")],
            queues=[settings], queue_members=[{"name": "anna", "target": f"sip:member@127.0.0.1:{member.address[1]}"}],
        )  # fmt: skip
        call = await caller.call(gateway.uri(DESK))
        await until(lambda: len(call.received) > 20, what="audio")
        await until(lambda: gateway.attempts(call.call_id), what="an open record")
        yield World(gateway, caller, call, member)


async def test_a_caller_hears_music_and_then_the_member(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with world(start_gateway, tmp_path) as desk:
        loop = asyncio.get_running_loop()
        pressed_at = loop.time()
        await desk.call.send_digits("3")
        member = await asyncio.wait_for(desk.member.incoming(), 10)
        print(f"key -> the member's phone rings: {(loop.time() - pressed_at) * 1000:.0f} ms")
        await member.ring()
        await asyncio.sleep(1)
        waits = on_time_axis(desk.call.received, loop.time() - 0.6, loop.time() - 0.1)
        assert strength(waits, MUSIC_HZ) > 0.9, "the queue's own music"
        desk.call.play(tone(CUSTOMER_HZ, 5000))
        await member.answer()
        answered_at = loop.time()
        member.play(tone(HUMAN_HZ, 5000))
        await asyncio.sleep(1.5)
        there, back = (loud_at(member, CUSTOMER_HZ, answered_at - 0.5, loop.time())[0],
                       loud_at(desk.call, HUMAN_HZ, answered_at - 0.5, loop.time())[0])  # fmt: skip
        joined_ms = (max(there, back) - answered_at) * 1000
        print(f"member accepts -> both hear each other: {joined_ms:.0f} ms")
        assert joined_ms <= MOST_JOIN_MS + 60, "and what the audio takes from mouth to ear"
        await member.hang_up()
        assert (await desk.call.wait_bye()).by == "peer"
        record = await desk.nothing_is_left()
        assert sorted(desk.events(record)) == ["queue_answered", "queue_joined", "queue_offered", "queue_stay_over"]
    (transfer,) = record["transfers"]
    assert (transfer["target"], transfer["outcome"]) == ("queue:desk", "transferred")


async def test_a_caller_who_hangs_up_stops_the_ringing_at_once(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with world(start_gateway, tmp_path) as desk:
        await desk.call.send_digits("3")
        member = await asyncio.wait_for(desk.member.incoming(), 10)
        await member.ring()
        await asyncio.sleep(0.3)
        hung_up_at = asyncio.get_running_loop().time()
        await desk.call.hang_up()
        ended = await asyncio.wait_for(member.ended, 2)
        assert (ended.at - hung_up_at) * 1000 < MOST_CANCEL_MS
        record = await desk.nothing_is_left()
        assert "queue_abandoned" in desk.events(record)
    assert record["transfers"][0]["outcome"] == "cancelled"


async def test_who_declines_is_rung_again_and_who_waits_too_long_has_the_agent_back(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with world(start_gateway, tmp_path, most_wait_s=4.0) as desk:
        await desk.call.send_digits("3")
        for _ in range(2):
            member = await asyncio.wait_for(desk.member.incoming(), 10)
            await member.reject(486)
        since = asyncio.get_running_loop().time()
        later: asyncio.Task[None] = asyncio.create_task(decline_all(desk.member))
        await hears_the_agent(desk.call, since)
        later.cancel()
        await desk.call.hang_up()
        record = await desk.nothing_is_left()
    words = [turn["full_text"] for turn in record["turns"] if turn["speaker"] == "agent"]
    assert words[-1] == "Nobody took the call: too_long."


async def decline_all(phone: Phone) -> None:
    while True:
        await (await phone.incoming()).reject(486)
