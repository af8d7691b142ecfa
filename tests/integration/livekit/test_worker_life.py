"""`trunkline worker` with a real LiveKit server: registration, refusal, drain, a server that goes and comes back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from rooms import until
from worker_phone import calling
from worker_process import RunningWorker


@pytest.fixture
def agent_name() -> str:
    return f"agent-{uuid.uuid4().hex[:6]}"


async def test_wrong_keys_are_one_clear_message(livekit_stack, tmp_path, agent_name) -> None:
    worker = RunningWorker(tmp_path, livekit_stack, agent_name=agent_name, secret="not-the-secret-of-that-key")
    try:
        worker.launch()
        assert await worker.exited(20) == 2
    finally:
        worker.stop()
    last = worker.log().splitlines()[-1]
    assert last.startswith("trunkline worker cannot run: LiveKit at ws://")
    assert "livekit.api_key" in last and "livekit.api_secret" in last and "`keys`" in last
    assert "Traceback" not in worker.log()
    assert "not-the-secret" not in worker.log()


async def test_a_server_that_is_not_there_is_waited_for(own_livekit_stack, tmp_path, agent_name) -> None:
    own_livekit_stack.stop_part("server")
    worker = RunningWorker(tmp_path, own_livekit_stack, agent_name=agent_name)
    try:
        worker.launch()
        await until(lambda: "no LiveKit server answers" in worker.log(), 15, "a message")
        status, health = worker.health()
        assert status == 503
        assert "start it, or correct livekit.url" in health["reason"]
        own_livekit_stack.start_part("server")
        await until(lambda: worker.health()[0] == 200, 15, "the registration")
        assert worker.log().count("no LiveKit server answers") == 1, "once a trouble, not once a try"
    finally:
        worker.stop()


async def test_a_server_that_restarts_gets_its_worker_back(own_livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, own_livekit_stack, agent_name=agent_name) as worker:
        first = worker.health()[1]["worker_id"]
        own_livekit_stack.kill_part("server")
        await until(lambda: worker.health()[0] == 503, 20, "the loss to be noticed")
        own_livekit_stack.start_part("server")
        await until(lambda: worker.health()[0] == 200, 15, "the registration")
        assert worker.health()[1]["worker_id"] != first
        await until(lambda: own_livekit_stack.dead_server_forgotten, 10, "the dead server to be missed")
        async with calling(own_livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting of the next call")


async def test_a_busy_worker_is_not_given_jobs(livekit_stack, tmp_path, agent_name) -> None:
    # Any load is above this threshold.
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name, load_threshold=0.0001) as worker:
        await until(lambda: "not accepting jobs: load is" in worker.log(), 5, "the load to show")
        async with calling(livekit_stack, agent_name) as phone:
            await asyncio.sleep(2)  # in which nobody comes: others are there after 0.1 s
            assert phone.agents == []
            assert not worker.jobs()


async def test_drain_lets_a_job_end_and_takes_no_other(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting")
            worker.terminate()
            await until(lambda: worker.health()[1].get("reason") == "draining", 3, "the draining")
            async with calling(livekit_stack, agent_name) as other:
                await asyncio.sleep(2)  # in which nobody comes
                assert other.agents == []
            assert len(worker.jobs()) == 1
        assert await worker.exited(10) == 0
        assert [record["ended_by"] for record in worker.records()] == ["caller"]


@pytest.mark.parametrize("told", ["SIGTERM", "terminal closed"])
async def test_drain_ends_politely_what_goes_on_for_too_long(livekit_stack, tmp_path, agent_name, told) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name, drain_s=0.5) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting")
            worker.terminate() if told == "SIGTERM" else worker.close_terminal()
            await until(lambda: phone.closed, 20, "the end of the call")
        assert await worker.exited(10) == 0
        (record,) = worker.records()
        assert (record["ended_by"], record["end_reason"]) == ("agent", "drained")
        said = [event for event in worker.events(record["call_id"]) if event["type"] == "agent_message"]
        assert said[-1]["kind"] == "farewell" and not said[-1]["interrupted"]


async def test_a_second_sigterm_ends_at_once(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting")
            worker.terminate()
            await until(lambda: worker.health()[1].get("reason") == "draining", 3, "the draining")
            began = time.monotonic()
            worker.terminate()
            assert await worker.exited(6) == 0
            assert time.monotonic() - began < 6
            await until(lambda: phone.closed, 3, "the caller is not left with nobody")
        assert [record["outcome"] for record in worker.records()] == ["answered"]


async def test_conversations_share_a_process(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name, jobs_per_process=3) as worker:
        async with (
            calling(livekit_stack, agent_name) as first,
            calling(livekit_stack, agent_name) as second,
            calling(livekit_stack, agent_name) as third,
        ):
            await until(lambda: first.hears() and second.hears() and third.hears(), 10, "three greetings")
            assert len(worker.jobs()) == 3
            assert len(set(worker.jobs().values())) == 1


async def test_a_program_of_ones_own(livekit_stack, tmp_path, agent_name) -> None:
    program = Path(__file__).with_name("worker_program.py")
    environment = {
        **livekit_stack.environment, "AGENT_NAME": agent_name, "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }  # fmt: skip
    log = tmp_path / "program.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, str(program)], env=environment, stdout=out, stderr=out)
    try:
        await until(lambda: "registered with LiveKit" in log.read_text(), 20, "the registration")
        async with calling(livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting")
        await until(lambda: "bye from process" in log.read_text(), 5, "the shutdown callback")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
