"""Parts hang in the middle of bridged calls, or the network to them is cut."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from hangs import DEAD_LINE_S, NUMBER, answered, bridged, hanging, heard_after
from kills import RECORD_S
from rooms import a_room, access_of, until

from telephony.livekit.api import LiveKitApi
from telephony.livekit.errors import LiveKitTimeout
from telephony.phone import CallFailed

pytestmark = pytest.mark.timeout(120)

STALL_S = 3.0  # as on a machine that has too much to do


async def test_livekit_server_hangs_the_caller_is_told_and_the_next_call_works(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        with hanging(own_livekit_stack.pid("server")) as since:
            async with asyncio.timeout(20):
                await line.call.wait_bye()
            ended_s = time.monotonic() - since
            record = await line.gateway.record(line.call.call_id)
            with pytest.raises(CallFailed, match="503"):
                await line.phone.call(line.gateway.uri(NUMBER), caller=caller, timeout=10)
        told_s = heard_after(line.call, since)
        print(f"told after {told_s:.1f} s, over after {ended_s:.1f} s: {record['end_reason']}")
        assert told_s < ended_s - 1.0 and ended_s < RECORD_S
        assert (record["outcome"], record["ended_by"]) == ("answered", "system")
        assert record["end_reason"].startswith("livekit_lost: LiveKit server no longer answers")
        await line.next_call(caller)


async def test_an_attribute_waits_a_second_for_a_server_that_says_nothing(own_livekit_stack: Any) -> None:
    """The SDK would wait five, and also misses answers that come at once: then ends of calls were late by that."""
    room = a_room(access_of(own_livekit_stack), "attributes", "sip_1", kind="sip")
    room.add_leg("sip_1")
    await room.join()
    with hanging(own_livekit_stack.pid("server")):
        async with asyncio.timeout(2):
            await room.set_attributes({"sip.callStatus": "hangup"})
    await room.close()


async def test_redis_hangs_the_call_goes_on_until_livekit_gives_it_up(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        with hanging(own_livekit_stack.pid("redis")) as since:
            await answered(line.call)
            async with asyncio.timeout(30):
                await line.call.wait_bye()
            ended_s = time.monotonic() - since
            record = await line.gateway.record(line.call.call_id)
        (broke_ms,) = [each["t_ms"] for each in record["media_alarms"] if each["kind"] == "livekit_reconnecting"]
        broke_s = (line.call.answered_at or 0.0) + broke_ms / 1000 - since
        told_s = heard_after(line.call, since + broke_s)
        print(f"LiveKit gives it up after {broke_s:.1f} s, told {told_s:.1f} s later, over after {ended_s:.1f} s")
        assert broke_s > 5.0 and told_s < DEAD_LINE_S and ended_s - broke_s < RECORD_S
        assert record["end_reason"].startswith("livekit_lost: ")
        await line.next_call(caller)


async def test_the_call_worker_hangs_and_the_phone_is_hung_up(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        with hanging(line.call_worker) as since:
            async with asyncio.timeout(DEAD_LINE_S):
                await line.call.wait_bye()
            print(f"over after {time.monotonic() - since:.1f} s")
            record = await line.gateway.record(line.call.call_id, since + RECORD_S - time.monotonic())
        assert (record["outcome"], record["ended_by"]) == ("worker_lost", "system")
        await until(lambda: len(line.gateway.worker_pids()) == 2, 10, "another one")
        await line.next_call(caller)


async def test_a_stall_of_a_few_seconds_of_any_part_ends_no_call(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    async with bridged(own_livekit_stack, tmp_path, caller) as line:
        pids = {
            "LiveKit server": own_livekit_stack.pid("server"),
            "Redis": own_livekit_stack.pid("redis"),
            "the job": line.job,
            "the call worker": line.call_worker,
        }
        for part, pid in pids.items():
            with hanging(pid):
                await asyncio.sleep(STALL_S)  # the stall itself
            assert not line.call.ended.done(), part
            await answered(line.call)  # the way is open again, and nobody counts what was missed before
        assert list(line.worker.jobs().values()) == [pids["the job"]]
        assert line.call_worker == pids["the call worker"]
        await line.call.hang_up()
        record = await line.gateway.record(line.call.call_id)
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        assert record["media_alarms"] == []


async def test_no_question_to_a_server_that_hangs_waits_for_ever(own_livekit_stack: Any) -> None:
    """LiveKit's SDK for its API has no limit of its own."""
    api = LiveKitApi(access_of(own_livekit_stack))
    try:
        await api.check()
        with hanging(own_livekit_stack.pid("server")):
            async with asyncio.timeout(8):
                questions = (api.check(), api.delete_room("room"), api.has("room", "nobody"))
                answers = await asyncio.gather(*questions, return_exceptions=True)
            for answer in answers:
                assert isinstance(answer, LiveKitTimeout) and "no answer within 5 s: the server hangs" in str(answer)
        await api.check()
    finally:
        await api.close()
