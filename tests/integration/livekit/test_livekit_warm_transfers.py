"""Warm transfers of calls in rooms of the real LiveKit server, where the agent is a job of ours: what the human and the
caller hear, who has answered, and that nothing is left; and an agent of somebody else's, which is refused plainly."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_process import RunningGateway, until
from outbound_calls import closed_record
from test_gateway_further_legs import AGENT_HZ, CUSTOMER_HZ, HUMAN_HZ, strength, trunks
from test_gateway_outbound import ask
from test_gateway_warm_transfers import loud_at
from test_livekit_calls import live_call, livekit_settings
from test_livekit_further_legs import hears, now, rung
from test_serve_with_worker import settings

from agent.clock import ThreadOffload
from agent.providers.espeak import EspeakTTS
from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis

NUMBER, HUMAN = "+15550120", "+15557001234"
SUMMARY_HZ = 660
SUMMARY = "Somebody asks about an invoice."
PERSONA = f"""
from agent import Agent
from telephony.media.tones import tone

class Desk(Agent):
    async def tts_node(self, ctx, text):
        if text == {SUMMARY!r}:
            yield tone({SUMMARY_HZ}, 1500)
            return
        async for audio in super().tts_node(ctx, text):
            yield audio
"""


@pytest.fixture(scope="module")
def speech() -> bytes:
    async def speak() -> bytes:
        tts = EspeakTTS(ThreadOffload())
        return b"".join([a.pcm async for a in tts.synthesize("Hello, this is Ada", voice="en-us", language="en")])

    return asyncio.run(speak())


class World:
    def __init__(self, gateway: RunningGateway, customer: PhoneCall, called: Phone, call_id: str) -> None:
        self.gateway = gateway
        self.customer = customer
        self.called = called
        self.call_id = call_id

    async def asked(self, **warm: Any) -> tuple[int, Any]:
        body = {"to": HUMAN, "afterwards": "agent", "ring_timeout_s": 8, "warm": {"detect": False, **warm}}
        status, answer, _ = await ask(self.gateway, "POST", f"/v1/calls/{self.call_id}/transfer", body)
        return status, answer

    async def human(self, **warm: Any) -> PhoneCall:
        """Who rings."""
        status, answer = await self.asked(**warm)
        assert status == 202, answer
        human = await rung(self.gateway, self.called)
        await human.ring()
        return human

    async def outcome(self, seconds: float = 12) -> str:
        def ended() -> str:
            transfers = self.gateway.get(f"/v1/calls/{self.call_id}")["transfers"]
            return (transfers[-1]["outcome"] or "") if transfers else ""

        return await until(ended, seconds, what="the transfer's outcome")

    async def nothing_is_left(self) -> dict[str, Any]:
        record = await closed_record(self.gateway, self.call_id)
        await self.gateway.leaves_nothing()
        assert self.gateway.complaints() == [], self.gateway.complaints()
        return record


@asynccontextmanager
async def desk(stack: Any, folder: Path, *, ours: bool = True) -> AsyncIterator[World]:
    folder.mkdir(exist_ok=True)
    (folder / "desk.py").write_text(PERSONA)
    (folder / "plan.yaml").write_text(f'numbers: {{"{NUMBER}": desk.Desk}}\n')
    async with Phone() as caller, Phone() as called:
        more = settings(folder, stack) if ours else livekit_settings(folder, stack)
        gateway = RunningGateway(
            folder, workers=1, sip=trunks(called), dialplans=[str(folder / "plan.yaml")], **more
        ).start()
        try:
            customer = await caller.call(gateway.uri(NUMBER))
            call_id = await live_call(gateway, customer)
            if ours:
                await until(lambda: gateway.get(f"/v1/calls/{call_id}")["events"], 10, what="the agent")
            yield World(gateway, customer, called, call_id)
        finally:
            gateway.stop()


def others_on_recording(world: World) -> bytes:
    """Its right channel."""
    with wave.open(io.BytesIO(world.gateway.fetch(f"/v1/calls/{world.call_id}/recording"))) as wav:
        frames = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").reshape(-1, 2)
    return bytes(np.ascontiguousarray(frames[:, 1]).tobytes())


async def test_the_human_is_asked_and_told_apart_and_then_both_are_introduced(
    livekit_stack: Any, tmp_path: Path
) -> None:
    async with desk(livekit_stack, tmp_path / "gateway") as world:
        began = now()
        human = await world.human(
            accept=True, summary={"by": "text", "text": SUMMARY}, introduction="You are connected now."
        )
        world.customer.play(tone(CUSTOMER_HZ, 25000))
        await human.answer()
        await until(lambda: loud_at(human, AGENT_HZ, began, now()), 8, what="the question")
        await world.customer.send_digits("2")  # the caller's key decides nothing
        await asyncio.sleep(0.5)
        await human.send_digits("1")
        await until(lambda: loud_at(human, SUMMARY_HZ, began, now()), 8, what="the summary")
        human.play(tone(HUMAN_HZ, 20000))
        assert not loud_at(human, CUSTOMER_HZ, began, now()), "apart"
        assert await world.outcome() == "transferred"
        over = loud_at(human, SUMMARY_HZ, began, now())[-1]
        assert not loud_at(world.customer, HUMAN_HZ, began, over), "nor the caller the human"
        assert not loud_at(world.customer, SUMMARY_HZ, began, now()), "the caller does not hear the summary"

        def introduced(call: PhoneCall) -> bool:
            pcm = on_time_axis(call.received, over + 0.1, now())
            windows = [pcm[at : at + 3200] for at in range(0, len(pcm) - 3200, 800)]
            return any(strength(window, AGENT_HZ) > 0.2 for window in windows)

        await until(lambda: introduced(human) and introduced(world.customer), 5, what="the introduction at both")
        await hears(human, CUSTOMER_HZ, "the caller at the human's")
        await hears(world.customer, HUMAN_HZ, "the human at the caller's")
        left_at = now()
        await human.hang_up()
        await until(lambda: loud_at(world.customer, AGENT_HZ, left_at, now()), 8, what="the agent again")
        await world.customer.hang_up()
        record = await world.nothing_is_left()
        others = others_on_recording(world)
        assert any(strength(others[at : at + 3200], SUMMARY_HZ) > 0.8 for at in range(0, len(others) - 3200, 1600))
    told = [turn["text"] for turn in record["turns"] if turn["kind"] == "to_human"]
    assert told[-2:] == [SUMMARY, "You are connected now."]
    assert record["transfers"][0]["outcome"] == "transferred"


async def test_a_human_who_declines_leaves_the_caller_to_the_agent(livekit_stack: Any, tmp_path: Path) -> None:
    async with desk(livekit_stack, tmp_path / "gateway") as world:
        human = await world.human(accept=True, summary={"by": "model"})
        began = now()
        await human.answer()
        await until(lambda: loud_at(human, AGENT_HZ, began, now()), 8, what="the question")
        since = now()
        await human.send_digits("2")
        assert await world.outcome() == "declined"
        await until(lambda: loud_at(world.customer, AGENT_HZ, since, now()), 8, what="the agent")
        await world.customer.hang_up()
        await world.nothing_is_left()


async def test_a_caller_who_hangs_up_ends_the_humans_call(livekit_stack: Any, tmp_path: Path) -> None:
    async with desk(livekit_stack, tmp_path / "gateway") as world:
        human = await world.human(summary={"by": "text", "text": SUMMARY})
        began = now()
        await human.answer()
        await until(lambda: loud_at(human, SUMMARY_HZ, began, now()), 8, what="the summary")
        at = now()
        await world.customer.hang_up()
        ended = await asyncio.wait_for(human.ended, 2)
        print(f"caller's BYE -> human's BYE: {(ended.at - at) * 1000:.0f} ms")
        assert ended.at - at < 0.1
        record = await world.nothing_is_left()
    assert record["transfers"][0]["outcome"] == "cancelled"


async def test_a_person_is_told_from_a_phone_that_is_silent(livekit_stack: Any, tmp_path: Path, speech: bytes) -> None:
    async with desk(livekit_stack, tmp_path / "gateway") as world:
        human = await world.human(detect=True, summary={"by": "text", "text": SUMMARY})
        await human.answer()
        assert await world.outcome() == "no_answer", "it said nothing"
        again = world.gateway.get(f"/v1/calls/{world.call_id}")["transfers"]
        assert len(again) == 1
        status, _ = await world.asked(detect=True, summary={"by": "text", "text": SUMMARY})
        assert status == 202
        human = await rung(world.gateway, world.called)
        await human.ring()
        await human.answer()
        said = human.play(speech)
        await said.done
        since = now()
        await until(lambda: loud_at(human, SUMMARY_HZ, since - 1, now()), 5, what="the summary")
        await world.customer.hang_up()
        record = await world.nothing_is_left()
    verdicts = [event["answered_by"] for event in record["events"] if event["type"] == "transfer_answered_by"]
    assert verdicts == ["silence", "human"]


async def test_what_cannot_be_done_is_refused_plainly(livekit_stack: Any, tmp_path: Path) -> None:
    async with desk(livekit_stack, tmp_path / "gateway") as world:
        for warm in ({"consult": True}, {"summary": {"by": "caller"}}):
            status, problem = await world.asked(**warm)
            assert (status, problem["type"]) == (409, "urn:trunkline:problem:not_possible"), problem
        await world.customer.hang_up()
        await world.nothing_is_left()


async def test_somebody_elses_agent_cannot_speak_to_the_human(livekit_stack: Any, tmp_path: Path) -> None:
    async with desk(livekit_stack, tmp_path / "gateway", ours=False) as world:
        room = json.loads(json.dumps(world.gateway.get(f"/v1/calls/{world.call_id}")))
        assert room["outcome"] is None
        for warm in ({"accept": True}, {"summary": {"by": "text", "text": SUMMARY}}, {"introduction": "Hello."}):
            status, problem = await world.asked(**warm)
            assert (status, problem["type"]) == (409, "urn:trunkline:problem:not_possible"), problem
            assert "another program" in problem["detail"]
        await world.customer.hang_up()
