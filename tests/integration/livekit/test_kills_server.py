"""LiveKit server is killed in the middle of calls of LiveKit SIP. (Of a bridged call: test_livekit_calls.)"""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

from kills import RECORD_S, closed_record
from rooms import until
from test_kills_sip import called_in, trunks
from worker_process import RunningWorker

BACK_S = 30.0  # LiveKit SIP tries to come back after 0.3, 1.5, 4.2, 9, 16.5 and 27.3 s


async def test_a_call_of_livekit_sip_has_its_record_and_the_next_works(own_whole_stack: Any, tmp_path: Path) -> None:
    stack, name = own_whole_stack, f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(tmp_path, stack, agent_name=name) as worker:
        async with trunks(stack, name) as (_, phone):
            call = await called_in(stack, phone)
            stack.kill_part("server")
            killed_at = time.monotonic()
            record = await closed_record(worker, 0, RECORD_S)
            print(f"on record after {time.monotonic() - killed_at:.1f} s: {record['end_reason']}")
            assert (record["outcome"], record["ended_by"]) == ("answered", "system")
            stack.start_part("server")
            await until(lambda: stack.dead_server_forgotten and worker.health()[0] == 200, 15, "the registration")
            # LiveKit SIP has held on to the phone, and is back in the room: nobody leaves it there.
            async with asyncio.timeout(BACK_S):
                await call.wait_bye()
            print(f"hung up {time.monotonic() - killed_at:.1f} s after the death")
            again = await called_in(stack, phone)
            await again.hang_up()
            record = await closed_record(worker, 1)
            assert (record["ended_by"], record["end_reason"]) == ("caller", "hung up")
            assert len(worker.records()) == 2
