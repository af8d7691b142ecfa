"""Commands over REST for calls that came in through LiveKit SIP: their jobs run in the gateway's own agent worker."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from outbound_calls import ask, closed_record
from sip_parts import CALLED, CALLER, empty_rooms, sip_api, synchronise, wanted
from test_livekit_further_legs import now
from test_serve_with_worker import settings

from telephony.phone import Phone
from telephony.phone.analysis import digits_heard, onset_after, silent_after

PERSONA = """
from agent import Agent

class Clinic(Agent):
    greeting = "Sunrise clinic."
"""


async def test_an_agent_speaks_presses_keys_and_hangs_up(livekit_stack: Any, tmp_path: Path) -> None:
    await empty_rooms(livekit_stack)
    (tmp_path / "clinic.py").write_text(PERSONA)
    (tmp_path / "plan.yaml").write_text(f'numbers: {{"{CALLED}": clinic.Clinic}}\n')
    made = settings(tmp_path, livekit_stack)
    name = made["livekit"]["agent_name"] = f"agent-{uuid.uuid4().hex[:6]}"
    async with sip_api(livekit_stack) as api, Phone() as phone:
        await synchronise(api, wanted(livekit_stack, agent_name=name))
        gateway = RunningGateway(tmp_path, workers=1, dialplans=[str(tmp_path / "plan.yaml")], **made).start()
        try:
            host, port = livekit_stack.sip_address
            call = await phone.call(f"sip:{CALLED}@{host}:{port}", caller=CALLER)
            greeted_at = await until(lambda: onset_after(call.received, call.answered_at or 0.0), what="the greeting")
            await until(lambda: silent_after(call.received, greeted_at + 0.2), what="its end")
            call_id = gateway.calls()[0]["call_id"]
            path = f"/v1/calls/{call_id}"
            said_at = now()
            assert (await ask(gateway, "POST", path + "/say", {"text": "One more thing."}))[0] == 200
            await until(lambda: onset_after(call.received, said_at), what="what the API has said")
            await until(lambda: silent_after(call.received, said_at + 1), what="its end")
            assert (await ask(gateway, "POST", path + "/digits", {"digits": "1"}))[0] == 200
            await until(lambda: [each.digit for each in digits_heard(call.received)] == ["1"], what="the key")
            for verb, body in (("hold", {}), ("transfer", {"to": "+15557001234"})):
                status, problem, _ = await ask(gateway, "POST", f"{path}/{verb}", body)
                assert (status, problem["type"]) == (409, "urn:trunkline:problem:not_possible")
            assert (await ask(gateway, "DELETE", path + "?goodbye=true"))[0] == 200
            async with asyncio.timeout(10):
                await call.wait_bye()
            record = await closed_record(gateway, call_id)
            assert gateway.complaints() == []
        finally:
            gateway.stop()
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "system", "ended over the API")
    assert [turn["text"] for turn in record["turns"]][:2] == ["Sunrise clinic.", "One more thing."]
