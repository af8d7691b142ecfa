"""Our processes hang in the middle of bridged calls: those running the calls, and those supervising them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hangs import DEAD_LINE_S, answered, bridged, hanging, heard_after, quiet
from rooms import until

pytestmark = pytest.mark.timeout(120)

LONG_S = 8.0  # longer than any of our processes waits for a silent one


async def test_a_job_process_hangs_and_another_one_goes_on(own_livekit_stack: Any, tmp_path: Path, caller: str) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        pid = line.job
        with hanging(pid) as since:
            await until(lambda: set(line.worker.jobs().values()) - {pid}, DEAD_LINE_S, "another process")
            await quiet(line.call, since + DEAD_LINE_S)
            told_s = heard_after(line.call, since)
            print(f"the holding phrase after {told_s:.1f} s")
            assert told_s < DEAD_LINE_S
            assert not psutil.pid_exists(pid), "it is killed, and does not come back into the room"
        await answered(line.call)
        await line.call.hang_up()
        record = await line.gateway.record(line.call.call_id)
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        await line.next_call(caller)


async def test_the_workers_main_process_hangs_and_its_conversations_go_on(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        pid = line.job
        with hanging(line.worker.process.pid) as since:
            await answered(line.call)
            await quiet(line.call, time.monotonic())
            await asyncio.sleep(max(0.0, since + LONG_S - time.monotonic()))  # the time is what is tested
        await answered(line.call)
        assert list(line.worker.jobs().values()) == [pid], "it was the main process that hung, not the job's"
        assert "has said nothing" not in line.worker.log()
        await line.call.hang_up()
        record = await line.gateway.record(line.call.call_id)
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        await line.next_call(caller)


async def test_the_gateways_main_process_hangs_and_its_calls_go_on(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        with hanging(line.gateway.pid) as since:
            await answered(line.call)
            await quiet(line.call, time.monotonic())
            await asyncio.sleep(max(0.0, since + LONG_S - time.monotonic()))  # as above
        await answered(line.call)
        assert len(line.gateway.worker_pids()) == 1, "it was the main process that hung, not the call worker"
        await line.call.hang_up()
        record = await line.gateway.record(line.call.call_id)
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        await line.next_call(caller)
