"""The whole of it: a phone, the gateway, a LiveKit room, and the conversation in `trunkline worker`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
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
    gateway, _ = chain
    async with Phone() as phone:
        called_at = asyncio.get_running_loop().time()
        call = await phone.call(gateway.uri("+15550100"), caller=caller)
        print("INVITE to 200 OK:", round(call.setup_ms or 0), "ms; answered after", called_at)
        await asyncio.sleep(8.0)  # the agent comes and greets
        latencies, stops = [], []
        for _ in range(2):
            handle = call.play(speech)
            await handle.done
            ended_at = asyncio.get_running_loop().time()
            heard_at = await until(lambda at=ended_at: onset_after(call.received, at), 8, what="an answer")
            latencies.append(round((heard_at - ended_at) * 1000))
            await asyncio.sleep(0.6)
            interrupted_at = asyncio.get_running_loop().time()
            handle = call.play(speech)
            await asyncio.sleep(7.0)  # the interruption is answered with five seconds of tone
            stopped_at = silent_after(call.received, interrupted_at)
            assert stopped_at is not None
            stops.append(round((stopped_at - interrupted_at) * 1000))
        print("end of speech to first audio, ms:", latencies, "barge-in, ms:", stops)
        await call.hang_up()
        record = await gateway.record(call.call_id)
    for event in record["events"]:
        print(event["t_ms"], event["type"], event.get("text", ""))
    types = [event["type"] for event in record["events"]]
    assert types[0] == "session_started"
    assert types[-1] == "session_closed"
    assert record["outcome"] == "answered" and record["ended_by"] == "caller"
    assert {turn["speaker"] for turn in record["turns"]} == {"caller", "agent"}
    assert min(latencies) < 900
    assert min(stops) < 600
