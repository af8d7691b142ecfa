"""Parts of `trunkline worker` die or hang during a call. (All of it, or its main process: test_kills_worker.)"""

from __future__ import annotations

import os
import signal
import time
import uuid

import psutil
import pytest
from kills import greeted
from rooms import until
from worker_phone import Phone, calling
from worker_process import RunningWorker

from telephony.livekit.events import ParticipantJoined


@pytest.fixture
def agent_name() -> str:
    return f"agent-{uuid.uuid4().hex[:6]}"


def warm_parent(worker: RunningWorker) -> psutil.Process:
    assert worker.process is not None
    (parent,) = psutil.Process(worker.process.pid).children()
    return parent


def arrivals(phone: Phone) -> int:
    """How often an agent has come into the room."""
    return sum(isinstance(event, ParticipantJoined) for event in phone.events)


async def test_a_process_that_hangs_is_replaced(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            await greeted(phone)
            ((job, pid),) = worker.jobs().items()
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: worker.jobs().get(job) not in (pid, None), 10, "another process")
            since = time.monotonic()
            await until(lambda: phone.heard_since(since), 4, "the holding phrase")


async def test_a_job_that_is_killed_again_and_again_is_given_up(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting")
            for _ in range(3):
                came = arrivals(phone)
                (pid,) = worker.jobs().values()
                os.kill(pid, signal.SIGKILL)
                await until(lambda came=came: arrivals(phone) > came, 8, "another process in the room")
            (pid,) = worker.jobs().values()
            os.kill(pid, signal.SIGKILL)
            await until(lambda: phone.closed, 5, "the end of the call: nobody is there for the caller")
        await until(lambda: worker.records() and worker.records()[0]["outcome"], 3, "the record")
        (record,) = worker.records()
        assert (record["outcome"], record["end_reason"]) == ("worker_lost", "its process died")
        assert worker.metric('trunkline_worker_jobs_total{outcome="restarted"}') == 3
        async with calling(livekit_stack, agent_name) as phone:
            await until(phone.hears, 8, "the greeting of the next call")


async def test_the_warm_parent_may_die(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            await greeted(phone)
            ((job, pid),) = worker.jobs().items()
            warm_parent(worker).kill()
            async with (
                calling(livekit_stack, agent_name) as second,
                calling(livekit_stack, agent_name) as third,
            ):
                await until(lambda: second.hears() and third.hears(), 15, "two further greetings")
            assert worker.jobs()[job] == pid and not phone.closed, "its forks live on"


async def test_a_persona_that_breaks_ends_its_call(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name, called="+15550102") as phone:
            await until(phone.hears, 8, "an apology")
            await until(lambda: phone.closed, 10, "the end of the call")
        await until(lambda: worker.records() and worker.records()[0]["outcome"], 3, "the record")
        (record,) = worker.records()
        assert record["ended_by"] == "system"
        assert "RuntimeError: it can't be made" in record["end_reason"]
