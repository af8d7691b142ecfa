"""`trunkline serve` that runs the agent worker itself (`livekit.worker.in_gateway`): one machine, one command."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway_process import RunningGateway, until
from test_livekit_calls import livekit_settings

from telephony.phone import Phone
from telephony.phone.analysis import onset_after, silent_after
from telephony.phone.call import PhoneCall

TALKER = "+15550101"


def settings(folder: Path, stack: Any, **changes: Any) -> dict[str, Any]:
    worker = {"in_gateway": True, "http": "127.0.0.1:0", "load_threshold": 1.0}
    return livekit_settings(folder, stack, agent_name=f"agent-{uuid.uuid4().hex[:6]}", worker=worker, **changes)


@pytest.fixture
def running(livekit_stack: Any, tmp_path: Path) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path, workers=1, drain_s=0.0, **settings(tmp_path, livekit_stack)).start()
    yield gateway
    gateway.stop()


def forks(gateway: RunningGateway, kind: str) -> list[psutil.Process]:
    """The warm parent's of this kind: w for call workers, j for job processes."""
    parent = psutil.Process(gateway.warm_parent)
    return [each for each in parent.children() if each.name().startswith(f"trunkline {kind}")]


def now() -> float:
    return asyncio.get_running_loop().time()


async def greeted(call: PhoneCall) -> None:
    at = await until(lambda: onset_after(call.received, call.answered_at or 0.0), 10, what="the greeting")
    await until(lambda: silent_after(call.received, at + 0.2), 10, what="its end")


async def test_a_call_and_the_shutting_down(running: RunningGateway, caller: str) -> None:
    """Call workers and job processes are forks of one; the agent says goodbye, and nothing is left."""
    assert forks(running, "w") and forks(running, "j")
    running.note_processes()
    async with Phone() as phone:
        call = await phone.call(running.uri(TALKER), caller=caller)
        await greeted(call)
        asked_at = now()
        running.terminate()
        async with asyncio.timeout(20):
            ended = await call.wait_bye()
    assert ended.by == "peer"
    assert onset_after(call.received, asked_at) is not None, "the goodbye"
    assert await running.exited(20) == 0
    assert running.left_behind() == []


async def test_the_conversation_is_on_the_record(running: RunningGateway, caller: str) -> None:
    async with Phone() as phone:
        call = await phone.call(running.uri(TALKER), caller=caller)
        await greeted(call)
        await call.hang_up()
        record = await running.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    assert [turn["text"] for turn in record["turns"]] == ["Hello."]
    assert running.complaints() == []


async def test_a_job_process_that_dies_is_followed_by_another(running: RunningGateway, caller: str) -> None:
    async with Phone() as phone:
        call = await phone.call(running.uri(TALKER), caller=caller)
        await greeted(call)
        died_at = now()
        for process in forks(running, "j"):
            process.kill()
        await until(lambda: onset_after(call.received, died_at), 8, what="the agent that goes on")
        await call.hang_up()
        record = await running.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")


async def test_the_warm_parent_may_die(running: RunningGateway, caller: str) -> None:
    """Calls continue, and both kinds of processes come from a new one."""
    first, workers, jobs = running.warm_parent, forks(running, "w"), forks(running, "j")
    os.kill(first, signal.SIGKILL)
    async with Phone() as phone:
        call = await phone.call(running.uri(TALKER), caller=caller)
        await greeted(call)
        died_at = now()
        for process in jobs:
            process.kill()
        await until(lambda: onset_after(call.received, died_at), 12, what="the agent that goes on")
        assert forks(running, "j"), "of the new parent"
        workers[0].kill()
        async with asyncio.timeout(10):
            await call.wait_bye()
        await until(lambda: forks(running, "w"), 10, what="a call worker of the new parent")
        await until(lambda: running.figures()["workers_ready"] == 1, 10, what="its readiness")
        again = await phone.call(running.uri(TALKER), caller=caller)
        await greeted(again)
        await again.hang_up()
    assert running.warm_parent != first


async def test_wrong_keys_are_said_at_once(livekit_stack: Any, tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path, workers=1, **settings(tmp_path, livekit_stack, secret="wrong" * 8))
    gateway.launch()
    try:
        assert await gateway.exited(30) == 1
    finally:
        gateway.kill()
    assert "trunkline cannot start: the agent worker (livekit.worker.in_gateway): " in gateway.log_text()
    assert "does not accept livekit.api_key with livekit.api_secret" in gateway.log_text()


async def test_a_server_that_is_away_keeps_nobody_from_starting(own_livekit_stack: Any, tmp_path: Path) -> None:
    """It is a warning of /healthz, until the server is there."""
    own_livekit_stack.kill_part("server")
    gateway = RunningGateway(tmp_path, workers=1, **settings(tmp_path, own_livekit_stack)).start()
    try:
        status, health = gateway.health()
        assert status == 200
        assert any("the agent worker takes no calls" in text for text in health["warnings"])
        own_livekit_stack.start_part("server")
        await until(lambda: not gateway.health()[1]["warnings"], 30, what="the end of the warnings")
    finally:
        gateway.stop()
