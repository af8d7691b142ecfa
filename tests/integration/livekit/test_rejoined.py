"""A phone that LiveKit SIP brings back into its room after LiveKit server was away: according to its attributes it
still rings, but somebody is on the line. LiveKit dispatches an agent for it, as for a new call."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kills import greeted
from rooms import access_of, until
from worker_phone import calling
from worker_process import RunningWorker

from gateway.livekit.caller_watch import ANSWER_LIMIT_S
from telephony.livekit.api import LiveKitApi


@pytest.fixture
def worker(livekit_stack: Any, tmp_path: Path) -> Iterator[RunningWorker]:
    with RunningWorker(tmp_path, livekit_stack, agent_name=f"agent-{uuid.uuid4().hex[:6]}") as running:
        yield running


async def test_it_is_told_that_the_call_was_lost_and_is_hung_up(livekit_stack: Any, worker: RunningWorker) -> None:
    async with calling(livekit_stack, worker.agent_name, callStatus="ringing", ruleID="SDR_1") as phone:
        await until(phone.hears, ANSWER_LIMIT_S + 5, "a last word")
        await until(lambda: phone.closed, 12, "the end of the call")
        await until(lambda: not worker.jobs(), 5, "the end of the job")
    assert "call_rejoined" in worker.log()
    assert worker.records() == [], "its call has one already"


async def test_it_is_left_to_its_own_agent_which_is_there_as_well(livekit_stack: Any, worker: RunningWorker) -> None:
    async with calling(livekit_stack, worker.agent_name, ruleID="SDR_1") as phone:
        await greeted(phone)
        (own,) = worker.jobs()
        await phone.room.set_attributes({"sip.callStatus": "ringing"})
        api = LiveKitApi(access_of(livekit_stack))
        await api.dispatch(phone.room.name, worker.agent_name, "")
        await api.close()
        await until(lambda: len(worker.jobs()) == 2, 5, "another job")
        await until(lambda: len(worker.jobs()) == 1, ANSWER_LIMIT_S + 3, "its end")
        assert own in worker.jobs()
        await asyncio.sleep(2)  # in which nothing happens: putting out a phone takes 0.1 s
        assert not phone.closed
    assert '"has_its_agent": true' in worker.log()
