"""Trunkline among LiveKit's own parts: an agent of livekit-agents, a room of LiveKit SIP, a person in a browser."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import a_browser
from gateway_process import RunningGateway, until
from livekit import api
from sip_parts import CALLED, empty_rooms, sip_api, synchronise, wanted
from worker_phone import speech
from worker_process import RunningWorker

from bench.livekit_stack.peer import PROGRAM, peer_python
from bench.livekit_stack.programs import Program
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import loud_spans, onset_after, silent_after

TALKS_S = 5.0  # the tone that instant voices speak with


@pytest.fixture(autouse=True)
async def no_rooms_left(livekit_stack: Any) -> AsyncIterator[None]:
    yield
    await empty_rooms(livekit_stack)


@pytest.fixture
def agent_name() -> str:
    return f"agent-{uuid.uuid4().hex[:6]}"


@contextmanager
def gateway_on(folder: Path, stack: Any, agent_name: str, **changes: Any):
    """`trunkline serve` with rooms on LiveKit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key").write_text(stack.api_key)
    (folder / "secret").write_text(stack.api_secret)
    livekit = {
        "url": stack.url,
        "api_key": {"file": str(folder / "key")},
        "api_secret": {"file": str(folder / "secret")},
        "agent_name": agent_name,
    }
    gateway = RunningGateway(folder, workers=1, rooms="livekit", livekit=livekit, **changes).start()
    try:
        yield gateway
    finally:
        gateway.stop()


@asynccontextmanager
async def livekit_agent(folder: Path, stack: Any, agent_name: str) -> AsyncIterator[Program]:
    """A worker of livekit-agents, in its own environment, as its users start it."""
    python = await asyncio.to_thread(peer_python)
    environment = {**os.environ, **stack.environment, "AGENT_NAME": agent_name}
    program = Program([python, PROGRAM, "start"], folder / "agent.log", environment, folder)
    try:
        await asyncio.to_thread(program.until, lambda: "registered worker" in program.log)
        yield program
    finally:
        await asyncio.to_thread(program.stop)


async def says(call: PhoneCall) -> float:
    """The caller says a sentence. When it began."""
    handle = call.play(speech())
    await handle.done
    assert handle.first_sent_at is not None
    return handle.first_sent_at


async def hears(call: PhoneCall, since: float, what: str, limit_s: float = 8.0) -> float:
    return await until(lambda: onset_after(call.received, since), limit_s, what=what)


async def live_call(gateway: RunningGateway, call: PhoneCall) -> str:
    def found() -> str:
        return next((one["call_id"] for one in gateway.attempts(call.call_id)), "")

    return await until(found, what="the call")


async def agent_speaks_in(stack: Any, gateway: RunningGateway, call: PhoneCall) -> None:
    """An agent has come into the call's room and published its audio, the last that livekit-agents does."""
    async with api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as livekit:
        request = api.ListParticipantsRequest(room=f"call-{await live_call(gateway, call)}")

        async def there() -> bool:
            listed = (await livekit.room.list_participants(request)).participants
            return any(who.kind == api.ParticipantInfo.Kind.AGENT and who.tracks for who in listed)

        await until(there, 15, what="the agent's audio")


@pytest.mark.timeout(300)  # the first time, livekit-agents is installed
async def test_an_agent_of_livekit_agents_serves_a_call_that_trunkline_bridged(
    livekit_stack: Any, tmp_path: Path, agent_name: str, caller: str
) -> None:
    async with livekit_agent(tmp_path, livekit_stack, agent_name):
        with gateway_on(tmp_path / "gateway", livekit_stack, agent_name) as gateway:
            async with Phone() as phone:
                call = await phone.call(gateway.uri("+15550101"), caller=caller)
                await agent_speaks_in(livekit_stack, gateway, call)
                began_at = await says(call)
                answered_at = await hears(call, began_at, "the agent's answer")
                print(f"answered {answered_at - began_at:.2f} s after the sentence began")
                await asyncio.sleep(1.0)  # the caller listens, then talks into the answer, which takes 5 s
                began_at = await says(call)
                silent_at = await until(
                    lambda: silent_after(call.received, began_at, min_silence_ms=200), what="the agent's silence"
                )
                print(f"interrupted after {silent_at - began_at:.2f} s")
                assert silent_at - began_at < 2.0, "it was interrupted, not finished"
                await hears(call, silent_at, "the second answer")
                await call.hang_up()
                record = await gateway.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    assert record["recording"]["duration_ms"] > 5000
    assert record["media_alarms"] == []


@pytest.mark.timeout(120)
async def test_trunklines_worker_serves_a_room_of_livekit_sip(
    livekit_stack: Any, tmp_path: Path, agent_name: str, caller: str
) -> None:
    host, port = livekit_stack.sip_address
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with sip_api(livekit_stack) as api, Phone() as phone:
            await synchronise(api, wanted(livekit_stack, agent_name=agent_name))
            call = await phone.call(f"sip:{CALLED}@{host}:{port}", caller=caller)
            print(f"INVITE to 200 OK: {call.setup_ms:.0f} ms")
            greeted_at = await hears(call, 0.0, "the greeting")
            await until(
                lambda: silent_after(call.received, greeted_at, min_silence_ms=400), TALKS_S + 4, what="its end"
            )
            began_at = await says(call)
            await hears(call, began_at, "the answer")
            await call.hang_up()
            await until(lambda: worker.records() and worker.records()[0]["outcome"], what="the record")
            (record,) = worker.records()
    assert len(loud_spans(call.received)) >= 2
    assert (record["called"], record["caller"], record["persona"]) == (CALLED, caller, "personas.Clinic")
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    assert json.loads(record["recording"])["duration_ms"] > 5000
    assert "user_message" in [event["type"] for event in worker.events(record["call_id"])]


def token_for(gateway: RunningGateway, call_id: str) -> dict[str, str]:
    request = urllib.request.Request(
        f"{gateway.http}/v1/calls/{call_id}/token",
        json.dumps({"identity": "maria", "name": "Maria"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


@pytest.mark.timeout(180)  # the first time, livekit-client is fetched
async def test_a_person_in_a_browser_hears_both_sides_and_is_heard(
    livekit_stack: Any, tmp_path: Path, agent_name: str, caller: str
) -> None:
    with RunningWorker(tmp_path / "worker", livekit_stack, agent_name=agent_name) as worker:
        plans = [str(worker.folder / "plan.yaml")]
        with gateway_on(tmp_path / "gateway", livekit_stack, agent_name, dialplans=plans) as gateway:
            async with a_browser(tmp_path) as browser, Phone() as phone:
                call = await phone.call(gateway.uri("+15550100"), caller=caller)
                access = token_for(gateway, await live_call(gateway, call))
                called_at = time.monotonic()
                browser.join(access["url"], access["token"])

                def one_more(than: set[str], since: float) -> Callable[[], set[str]]:
                    return lambda: browser.loud_since(since) - than

                (agent,) = await until(one_more({f"sip_{caller}"}, called_at), what="the agent's greeting")
                print(f"the agent is heard {time.monotonic() - called_at:.2f} s after the call was answered")
                assert agent.startswith("agent-")
                await until(
                    lambda: silent_after(call.received, time.monotonic() - 1.0, min_silence_ms=400), 8, what="its end"
                )
                browser.speak()
                await hears(call, time.monotonic(), "the person in the browser")
                browser.speak(False)
                last_at = time.monotonic()
                await until(lambda: silent_after(call.received, last_at, min_silence_ms=1100), what="her last beep")
                speaks_at = time.monotonic()
                await says(call)
                (who,) = await until(one_more({agent}, speaks_at), 3, what="the caller's voice")
                assert who == f"sip_{caller}"
                await call.hang_up()
                await until(lambda: who not in browser.heard[-1][1], what="the caller's leaving, in the browser")
                browser.check()
