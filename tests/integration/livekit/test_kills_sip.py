"""LiveKit SIP is killed in the middle of calls: those that came in, those that went out, and one that still rings."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kills import RECORD_S, closed_record
from rooms import access_of, until
from sip_parts import CALLED, CALLER, carrier, sip_api, synchronise, wanted
from worker_process import RunningWorker

from telephony.call import CallOutcome, OutcomeKind
from telephony.livekit.access import Dispatch, RoomPlan
from telephony.livekit.api import LiveKitApi
from telephony.livekit.trunk.dialing import SIP_GONE, LiveKitSipTrunk
from telephony.livekit.trunk.errors import SipDown
from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import onset_after


@asynccontextmanager
async def trunks(stack: Any, agent_name: str = "") -> AsyncIterator[tuple[LiveKitSipApi, Phone]]:
    """LiveKit's, in and out; the phone is the carrier of both."""
    async with sip_api(stack) as api, Phone(user="callee") as phone:
        await synchronise(api, wanted(stack, carriers=[carrier(phone)], agent_name=agent_name))
        yield api, phone


async def greeting_of(call: PhoneCall) -> None:
    await until(lambda: onset_after(call.received, call.answered_at or 0.0), 8, "the greeting")


async def called_in(stack: Any, phone: Phone) -> PhoneCall:
    host, port = stack.sip_address
    call = await phone.call(f"sip:{CALLED}@{host}:{port}", caller=CALLER)
    await greeting_of(call)
    return call


async def called_out(stack: Any, api: LiveKitSipApi, phone: Phone, agent_name: str) -> PhoneCall:
    rooms, room = LiveKitApi(access_of(stack)), f"out-{uuid.uuid4().hex[:6]}"
    await rooms.create_room(room, RoomPlan(dispatches=[Dispatch(agent_name, "")]))
    await rooms.close()
    dialing = asyncio.create_task(LiveKitSipTrunk(api, "carrier").call("+15550123", room, "sip_callee"))
    call = await phone.incoming()
    await call.answer()
    assert (await dialing).kind is OutcomeKind.ANSWERED
    await greeting_of(call)
    return call


async def test_calls_in_and_out_end_with_a_record_and_the_next_works(own_whole_stack: Any, tmp_path: Path) -> None:
    stack, name = own_whole_stack, f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(tmp_path, stack, agent_name=name, idle_processes=2) as worker:
        async with trunks(stack, name) as (api, phone):
            lines = [await called_in(stack, phone), await called_out(stack, api, phone, name)]
            stack.kill_part("sip")
            killed_at = time.monotonic()
            await until(lambda: not worker.jobs(), RECORD_S, "the end of both jobs")
            for index in range(2):
                record = await closed_record(worker, index, RECORD_S - (time.monotonic() - killed_at))
                assert (record["outcome"], record["ended_by"]) == ("answered", "system")
                assert record["end_reason"].startswith("livekit_sip_lost: ")
            print(f"both on record after {time.monotonic() - killed_at:.1f} s")
            for line in lines:
                line.abandon()  # with LiveKit SIP has gone who could send a BYE
            stack.start_part("sip")
            again = await called_in(stack, phone)
            await again.hang_up()
            record = await closed_record(worker, 2)
            assert (record["ended_by"], record["end_reason"]) == ("caller", "hung up")
    assert "not_hung_up" not in worker.log(), "nothing was left to be hung up"


async def test_a_call_that_rings_has_an_outcome_and_the_next_works(own_whole_stack: Any) -> None:
    stack = own_whole_stack
    async with trunks(stack) as (api, phone):
        trunk = LiveKitSipTrunk(api, "carrier")
        dialing = asyncio.create_task(trunk.call("+15550123", "out", "sip_callee", ringing_timeout_s=60))
        call = await phone.incoming()
        await call.ring()
        await asyncio.sleep(2)  # a phone that rings for a while: its LiveKit SIP has given a sign of life
        stack.kill_part("sip")
        async with asyncio.timeout(RECORD_S):
            assert await dialing == CallOutcome(OutcomeKind.FAILED, 0, SIP_GONE)
        with pytest.raises(SipDown, match="no LiveKit SIP handles the call"):
            await trunk.call("+15550123", "out", "sip_callee")
        call.abandon()
        stack.start_part("sip")
        dialing = asyncio.create_task(trunk.call("+15550123", "again", "sip_callee"))
        await (await phone.incoming()).answer()
        assert (await dialing).kind is OutcomeKind.ANSWERED
