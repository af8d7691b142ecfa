"""Redis is killed in the middle of calls. LiveKit server continues its calls, but takes no new ones."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway
from kills import RECORD_S, closed_record
from rooms import until
from sip_parts import carrier, synchronise, wanted
from test_kills_sip import called_in, trunks
from test_livekit_calls import livekit_settings
from worker_phone import speech
from worker_process import RunningWorker

from telephony.phone import CallFailed, Phone, PhoneCall
from telephony.phone.analysis import onset_after, silent_after

AWAY_S = 4.0


async def talks_while_redis_is_away(stack: Any, call: PhoneCall) -> None:
    """The caller says something after the death, and hears an answer before Redis is back."""
    greeted_at = onset_after(call.received, call.answered_at or 0.0)
    await until(lambda: silent_after(call.received, greeted_at + 0.2), 8, "the end of the greeting")
    stack.kill_part("redis")
    killed_at = time.monotonic()
    await call.play(speech()).done
    said_at = time.monotonic()
    await until(lambda: onset_after(call.received, said_at - 1.0), AWAY_S, "an answer without Redis")
    await asyncio.sleep(max(0.0, killed_at + AWAY_S - time.monotonic()))  # so long is Redis away
    assert not call.ended.done()


async def test_a_bridged_call_goes_on_and_the_next_works_when_redis_is_back(
    own_livekit_stack: Any, tmp_path: Path, caller: str
) -> None:
    stack, name = own_livekit_stack, f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(tmp_path / "worker", stack, agent_name=name) as worker:
        settings = livekit_settings(tmp_path / "gateway", stack, agent_name=name)
        gateway = RunningGateway(tmp_path / "gateway", workers=1, dialplans=[str(worker.plan)], **settings).start()
        try:
            async with Phone() as phone:
                call = await phone.call(gateway.uri("+15550100"), caller=caller)
                await until(lambda: onset_after(call.received, call.answered_at), 8, "the greeting")
                await talks_while_redis_is_away(stack, call)
                with pytest.raises(CallFailed, match="503"):
                    await phone.call(gateway.uri("+15550100"), caller=caller)
                stack.start_part("redis")
                await call.hang_up()
                record = await asyncio.wait_for(gateway.record(call.call_id), RECORD_S)
                assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
                again = await phone.call(gateway.uri("+15550100"), caller=caller)
                await until(lambda: onset_after(again.received, again.answered_at), 10, "the next call's greeting")
                await again.hang_up()
        finally:
            gateway.stop()


async def test_a_call_of_livekit_sip_goes_on_and_the_next_works_when_redis_is_back(
    own_whole_stack: Any, tmp_path: Path
) -> None:
    stack, name = own_whole_stack, f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(tmp_path, stack, agent_name=name) as worker:
        async with trunks(stack, name) as (api, phone):
            call = await called_in(stack, phone)
            await talks_while_redis_is_away(stack, call)
            stack.start_part("redis")
            await call.hang_up()
            record = await closed_record(worker, 0)
            assert record["outcome"] == "answered"
            # What LiveKit knew of trunks was in this Redis, which kept nothing: `trunkline livekit sync` makes it anew.
            await synchronise(api, wanted(stack, carriers=[carrier(phone)], agent_name=name))
            again = await called_in(stack, phone)
            await again.hang_up()
            await closed_record(worker, 1)
