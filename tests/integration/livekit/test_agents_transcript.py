"""The record of a call that an agent of livekit-agents served: who said what comes from what it transcribes."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from sip_parts import empty_rooms
from test_interop import agent_speaks_in, gateway_on, hears, livekit_agent, says

from telephony.phone import Phone
from telephony.phone.analysis import silent_after


@pytest.fixture(autouse=True)
async def no_rooms_left(livekit_stack: Any) -> AsyncIterator[None]:
    yield
    await empty_rooms(livekit_stack)


def transcript(gateway: RunningGateway, call_id: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{gateway.http}/v1/calls/{call_id}/transcript", timeout=5) as answer:
        return json.load(answer)["turns"]


@pytest.mark.timeout(300)  # the first time, livekit-agents is installed
async def test_both_sides_are_in_the_record(livekit_stack: Any, tmp_path: Path, caller: str) -> None:
    agent_name = f"agent-{uuid.uuid4().hex[:6]}"
    async with livekit_agent(tmp_path, livekit_stack, agent_name):
        with gateway_on(tmp_path / "gateway", livekit_stack, agent_name) as gateway:
            async with Phone() as phone:
                call = await phone.call(gateway.uri("+15550101"), caller=caller)
                await agent_speaks_in(livekit_stack, gateway, call)
                began_at = await says(call)
                answered_at = await hears(call, began_at, "the agent's answer")
                await until(
                    lambda: silent_after(call.received, answered_at, min_silence_ms=400), 12, what="the answer's end"
                )
                began_at = await says(call)
                await hears(call, began_at, "the second answer")
                await asyncio.sleep(2.0)  # of the 5 that the answer takes
                await call.hang_up()
                record = await gateway.record(call.call_id)
            turns = transcript(gateway, record["call_id"])
    print(json.dumps(turns, indent=1))
    said = {(turn["speaker"], turn["text"]) for turn in turns}
    assert said == {("caller", "I would like an appointment"), ("agent", "Certainly.")}
    speakers = [turn["speaker"] for turn in turns]
    assert speakers[0] == "caller" and speakers.count("agent") == 2, "the second answer was under way at the end"
    times = [turn["start_ms"] for turn in turns]
    assert times == sorted(times) and times[0] > 0 and times[-1] <= record["duration_ms"]
