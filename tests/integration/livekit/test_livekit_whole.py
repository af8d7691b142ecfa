"""The whole system: a phone, the gateway, a LiveKit room, and the conversation in `trunkline worker`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from test_livekit_calls import livekit_settings
from worker_process import RunningWorker

from agent.clock import ThreadOffload
from agent.providers.espeak import EspeakTTS
from telephony.phone import Phone
from telephony.phone.analysis import onset_after, silent_after


@pytest.fixture(scope="module")
def chain(
    livekit_stack: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGateway, RunningWorker]]:
    name = f"agent-{uuid.uuid4().hex[:6]}"
    folder = tmp_path_factory.mktemp("whole")
    worker = RunningWorker(folder / "worker", livekit_stack, agent_name=name, idle_processes=2)
    settings = livekit_settings(folder / "gateway", livekit_stack, agent_name=name)
    plan = str(folder / "worker" / "plan.yaml")  # both go by the same dialplan
    gateway = RunningGateway(folder / "gateway", workers=1, dialplans=[plan], **settings).start()
    try:
        with worker:
            yield gateway, worker
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def speech() -> bytes:
    async def speak() -> bytes:
        tts = EspeakTTS(ThreadOffload())
        pieces = [a.pcm async for a in tts.synthesize("I would like an appointment", voice="en-us", language="en")]
        return b"".join(pieces).rstrip(b"\0")

    return asyncio.run(speak())


async def test_a_conversation(chain: tuple[RunningGateway, Any], caller: str, speech: bytes) -> None:
    """For its speed see bench/livekit_stack."""
    gateway, _ = chain
    now = asyncio.get_running_loop().time
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550100"), caller=caller)
        greeted_at = await until(lambda: onset_after(call.received, call.answered_at or 0.0), 10, what="the greeting")
        await until(lambda: silent_after(call.received, greeted_at + 0.2), 10, what="the end of the greeting")
        for _ in range(2):
            await call.play(speech).done
            ended_at = now()
            await until(lambda at=ended_at: onset_after(call.received, at), 8, what="an answer")
            await asyncio.sleep(0.6)  # the caller listens, then talks into the answer
            interrupted_at = now()
            await call.play(speech).done
            await until(lambda at=interrupted_at: silent_after(call.received, at), 3, what="the agent's silence")
            quiet_at = now()
            began_at = await until(lambda at=quiet_at: onset_after(call.received, at), 8, what="the next answer")
            await until(lambda at=began_at: silent_after(call.received, at + 0.2), 8, what="its end")
        await call.hang_up()
        record = await gateway.record(call.call_id)
    types = [event["type"] for event in record["events"]]
    assert types[0] == "session_started"
    assert types[-1] == "session_closed"
    assert record["outcome"] == "answered" and record["ended_by"] == "caller"
    assert {turn["speaker"] for turn in record["turns"]} == {"caller", "agent"}
    assert any(turn["interrupted"] for turn in record["turns"])


async def test_held_is_held_in_a_room_as_well(chain: tuple[RunningGateway, Any], caller: str, speech: bytes) -> None:
    """The agent is in another process: it is told, stays silent meanwhile, and greets the returning caller."""
    gateway, _ = chain
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550100"), caller=caller)
        greeted_at = await until(lambda: onset_after(call.received, call.answered_at or 0.0), 10, what="the greeting")
        await until(lambda: silent_after(call.received, greeted_at + 0.2), 10, what="the end of the greeting")
        await call.hold()
        call.play(speech * 4)  # music on hold
        await asyncio.sleep(9)  # the ladder's first rung is at 7 s
        await call.resume()
        back_at = asyncio.get_running_loop().time()
        await until(lambda: onset_after(call.received, back_at), 5, what="a word of welcome")
        await call.hang_up()
        record = await gateway.record(call.call_id)
    turns = [(turn["speaker"], turn["kind"], turn["full_text"] or turn["text"]) for turn in record["turns"]]
    assert turns[0] == ("agent", "greeting", "Sunrise clinic, how can I help?")
    assert turns[1][:2] == ("system", "hold")
    assert turns[2] == ("agent", "canned", "I'm here.")
    assert not [turn for turn in turns if turn[0] == "caller" or turn[1] == "silence_prompt"]


async def test_a_gateway_that_shuts_down_lets_the_agent_say_goodbye(
    chain: tuple[RunningGateway, RunningWorker], livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    _, worker = chain
    settings = livekit_settings(tmp_path, livekit_stack, agent_name=worker.agent_name)
    gateway = RunningGateway(tmp_path, workers=1, dialplans=[str(worker.plan)], drain_s=0.0, **settings).start()
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550100"), caller=caller)
        greeted_at = await until(lambda: onset_after(call.received, call.answered_at or 0.0), 10, what="the greeting")
        await until(lambda: silent_after(call.received, greeted_at + 0.2), 10, what="the end of the greeting")
        asked_at = asyncio.get_running_loop().time()
        gateway.process.terminate()
        async with asyncio.timeout(20):
            ended = await call.wait_bye()
        assert ended.by == "peer"
        assert onset_after(call.received, asked_at) is not None  # the goodbye
    gateway.stop()
