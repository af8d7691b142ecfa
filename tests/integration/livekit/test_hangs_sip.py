"""Parts hang in the middle of calls of LiveKit SIP, or the network to them is cut."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hangs import answered, greeting_over, hanging
from kills import RECORD_S, closed_record
from rooms import until
from test_kills_sip import called_in, trunks
from worker_process import RunningWorker

from telephony.phone import Phone, PhoneCall

pytestmark = pytest.mark.timeout(120)

STALL_S = 3.0  # as on a machine that has too much to do
BACK_S = 5.0  # from a part's return to the end of what it had held on to


@asynccontextmanager
async def on_the_line(stack: Any, folder: Path) -> AsyncIterator[tuple[RunningWorker, Phone, PhoneCall]]:
    """The greeting is over."""
    name = f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(folder, stack, agent_name=name) as worker:
        async with trunks(stack, name) as (_, phone):
            call = await called_in(stack, phone)
            await greeting_over(call)
            yield worker, phone, call


async def next_call(stack: Any, worker: RunningWorker, phone: Phone) -> None:
    """There are two records then: one for each call."""
    await until(lambda: worker.health()[0] == 200, 15, "the worker's registration")
    again = await called_in(stack, phone)
    await again.hang_up()
    record = await closed_record(worker, 1)
    assert (record["ended_by"], record["end_reason"]) == ("caller", "hung up")
    assert len(worker.records()) == 2


async def test_livekit_server_hangs_the_call_is_on_record_and_the_phone_is_hung_up_when_it_is_back(
    own_whole_stack: Any, tmp_path: Path
) -> None:
    """Until then LiveKit SIP keeps the phone on the line and cannot be reached."""
    stack = own_whole_stack
    async with on_the_line(stack, tmp_path) as (worker, phone, call):
        with hanging(stack.pid("server")) as since:
            record = await closed_record(worker, 0, RECORD_S)
            print(f"on record after {time.monotonic() - since:.1f} s")
            assert (record["outcome"], record["ended_by"]) == ("answered", "system")
            assert record["end_reason"].startswith("livekit_lost: LiveKit server no longer answers")
            assert not call.ended.done()
        async with asyncio.timeout(BACK_S):
            await call.wait_bye()
        await next_call(stack, worker, phone)


async def test_livekit_sip_hangs_the_call_is_on_record_and_the_phone_is_hung_up_when_it_is_back(
    own_whole_stack: Any, tmp_path: Path
) -> None:
    stack = own_whole_stack
    async with on_the_line(stack, tmp_path) as (worker, phone, call):
        with hanging(stack.pid("sip")) as since:
            record = await closed_record(worker, 0, RECORD_S)
            print(f"on record after {time.monotonic() - since:.1f} s")
            assert (record["outcome"], record["ended_by"]) == ("answered", "system")
            assert record["end_reason"].startswith("livekit_sip_lost: ")
        async with asyncio.timeout(BACK_S):
            await call.wait_bye()
        await next_call(stack, worker, phone)


async def test_a_stall_of_a_few_seconds_of_any_part_ends_no_call(own_whole_stack: Any, tmp_path: Path) -> None:
    stack = own_whole_stack
    async with on_the_line(stack, tmp_path) as (worker, _, call):
        ((_, job),) = worker.jobs().items()
        pids = {"LiveKit server": stack.pid("server"), "LiveKit SIP": stack.pid("sip"), "the job": job}
        for part, pid in pids.items():
            with hanging(pid):
                await asyncio.sleep(STALL_S)  # the stall itself
            assert not call.ended.done(), part
            await answered(call)  # the way is open again, and nobody counts what was missed before
        assert list(worker.jobs().values()) == [job]
        await call.hang_up()
        record = await closed_record(worker, 0)
        assert (record["ended_by"], record["end_reason"]) == ("caller", "hung up")
