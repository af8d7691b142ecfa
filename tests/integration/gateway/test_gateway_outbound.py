"""Calls that the gateway places over REST, with a phone of ours as the one who is called."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from test_gateway_further_legs import AGENT_HZ, strength, trunks

from telephony.phone import Phone
from telephony.phone.analysis import on_time_axis

StartGateway = Callable[..., RunningGateway]
TO = "+15557001234"
PERSONA = """
from agent import Agent

class Reminder(Agent):
    greeting = "Hello."

    async def on_enter(self, ctx) -> None:
        await super().on_enter(ctx)
        print("variables:", dict(ctx.call.info.variables), ctx.call.info.direction.value)
"""


def plan(folder: Path) -> dict[str, Any]:
    (folder / "reminder.py").write_text(PERSONA)
    (folder / "plan.yaml").write_text("outbound: [reminder.Reminder]\n")
    return {"dialplans": [str(folder / "plan.yaml")]}


async def ask(
    gateway: RunningGateway, method: str, path: str, body: Any = None, key: str = ""
) -> tuple[int, dict[str, Any], str]:
    """Status, body and Location."""

    def send() -> tuple[int, dict[str, Any], str]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        request = urllib.request.Request(gateway.http + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer), answer.headers.get("Location", "")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), ""

    return await asyncio.to_thread(send)


async def closed_record(gateway: RunningGateway, call_id: str, seconds: float = 10.0) -> dict[str, Any]:
    async def closed() -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await asyncio.to_thread(gateway.get, f"/v1/calls/{call_id}")
        except urllib.error.HTTPError:  # it is being written
            return None
        return found if found["outcome"] else None

    record = await until(closed, seconds, what=f"closed record of {call_id}")
    assert record is not None
    return record


async def test_a_call_is_placed_answered_greeted_and_ended(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        order = {"to": TO, "persona": "reminder.Reminder", "variables": {"name": "Ada"}}
        status, placed, location = await ask(gateway, "POST", "/v1/calls", order)
        assert (status, location) == (202, f"/v1/calls/{placed['call_id']}")
        assert (placed["direction"], placed["called"], placed["trunk"]) == ("outbound", TO, "local")
        call = await phone.incoming()
        await call.ring()
        await asyncio.sleep(0.3)
        await call.answer()
        answered_at = asyncio.get_running_loop().time()
        await until(lambda: len(call.received.at) > 30, 5, what="the greeting")
        pcm = on_time_axis(call.received, answered_at, asyncio.get_running_loop().time())
        assert strength(pcm[-3200:], AGENT_HZ) > 0.9
        assert (await ask(gateway, "POST", f"/v1/calls/{placed['call_id']}/digits", {"digits": "1"}))[0] == 200
        assert (await ask(gateway, "DELETE", f"/v1/calls/{placed['call_id']}"))[0] == 200
        await call.ended
        record = await closed_record(gateway, placed["call_id"])
        await gateway.idle()
        assert gateway.complaints() == []
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "system", "ended over the API")
    assert (record["caller"], record["persona"]) == ("+15550120", "reminder.Reminder")
    assert record["recording"]["duration_ms"] > 500
    (leg,) = record["legs"]
    assert (leg["role"], leg["direction"], leg["outcome"]) == ("customer", "outbound", "answered")
    assert any(event["type"] == "ringing" for event in record["events"])


@pytest.mark.parametrize(
    ("sip_status", "outcome"), [(486, "busy"), (603, "rejected"), (480, "no_answer"), (404, "invalid_number")]
)
async def test_each_refusal_is_an_outcome(
    start_gateway: StartGateway, tmp_path: Path, sip_status: int, outcome: str
) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        await (await phone.incoming()).reject(sip_status)
        record = await closed_record(gateway, placed["call_id"])
        await gateway.idle()
        assert gateway.complaints() == []
    assert (record["outcome"], record["sip_status"], record["recording"]) == (outcome, sip_status, None)


async def test_who_does_not_answer_rings_for_so_long_and_a_ringing_call_can_be_cancelled(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        order = {"to": TO, "persona": "reminder.Reminder"}
        _, rings, _ = await ask(gateway, "POST", "/v1/calls", {**order, "ring_timeout_s": 1})
        await (await phone.incoming()).ring()
        record = await closed_record(gateway, rings["call_id"])
        assert record["outcome"] == "no_answer"
        _, cancelled, _ = await ask(gateway, "POST", "/v1/calls", order)
        await (await phone.incoming()).ring()
        assert (await ask(gateway, "DELETE", f"/v1/calls/{cancelled['call_id']}"))[0] == 200
        record = await closed_record(gateway, cancelled["call_id"])
        assert (record["outcome"], record["ended_by"]) == ("cancelled", "system")
        await gateway.idle()
        assert gateway.complaints() == []


async def test_what_cannot_be_placed_is_refused_before_anything_rings(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        persona = "reminder.Reminder"
        refused = [
            ({"to": "+4930123456", "persona": persona}, 403, "closed_destination"),
            ({"to": "+15557", "persona": persona}, 422, "invalid_number"),
            ({"to": TO, "persona": "reminder.Nobody"}, 422, "unknown_persona"),
            ({"to": TO, "persona": persona, "trunk": "other"}, 422, "no_trunk"),
        ]
        for order, status, kind in refused:
            found, problem, _ = await ask(gateway, "POST", "/v1/calls", order)
            assert (found, problem["type"]) == (status, f"urn:trunkline:problem:{kind}"), order
        assert (await ask(gateway, "POST", "/v1/calls", {"to": "1", "persona": persona}))[0] == 400
        assert gateway.calls() == []
        assert gateway.complaints() == []


async def test_from_a_terminal(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        command = [sys.executable, "-m", "gateway.cli", "call", "--url", gateway.http, "--to", TO]
        command += ["--persona", "reminder.Reminder", "--var", "name=Ada"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        call = await phone.incoming()
        await call.ring()
        await call.answer()
        await until(lambda: len(call.received.at) > 30, 5, what="the greeting")
        await call.hang_up()
        out, _ = await asyncio.wait_for(process.communicate(), 10)
        shown = out.decode()
        assert process.returncode == 0
        assert [word for word in ("it rings", "answered", "ended by the caller") if word not in shown] == []
        refused = await asyncio.create_subprocess_exec(
            *command[:-5], "+4930123456", *command[-4:], stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(refused.communicate(), 10)
        assert (refused.returncode, b"not among the destinations" in said) == (2, True)
