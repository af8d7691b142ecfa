"""Menus, collectors and transfers of a dialplan over real SIP: without an agent, and before one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from sipp_runner import sipp
from test_gateway_further_legs import CUSTOMER_HZ, HUMAN_HZ, heard_after_ms, trunks
from test_gateway_outbound import closed_record
from test_gateway_turns import of

from telephony.phone import Phone

StartGateway = Callable[..., RunningGateway]
PLAN = """\
numbers:
  "+15550190":
    menu:
      say: For the desk press one.
      "1": {transfer: {to: "+15557001", say: One moment., refer: never}}
      "2": {collect: {say: Your PIN., as: pin, length: 4, secret: true, then: knows.Knows}}
      otherwise: {hangup: Goodbye.}
  "+15550191": {collect: {say: Your number., as: number, length: 4, then: {hangup: Thank you.}}}
  "+15550192": {transfer: {to: "+15557001", refer: never}}
"""
KNOWS = """\
from agent import Agent


class Knows(Agent):
    async def on_enter(self, ctx):
        ctx.session.say(f"You keyed {len(ctx.call.variables['pin'])} digits.")
"""


def started(start_gateway: StartGateway, folder: Path, **changes: Any) -> RunningGateway:
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "knows.py").write_text(KNOWS)
    return start_gateway(dialplans=[str(folder / "plan.yaml")], **changes)


def said(record: dict[str, Any]) -> list[str]:
    return [event["full_text"] for event in of(record, "agent_message")]


async def test_a_menu_leads_to_a_collector_and_to_a_persona_who_knows(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with Phone() as phone:
        gateway = started(start_gateway, tmp_path, sip=trunks(phone))
        call = await phone.call(gateway.uri("+15550190"))
        await asyncio.sleep(1)
        await call.send_digits("2")
        await asyncio.sleep(1)
        await call.send_digits("4711")
        await asyncio.sleep(2)
        await call.hang_up()
        record = await gateway.record(call.call_id)
    assert said(record) == ["For the desk press one.", "Your PIN.", "You keyed 4 digits."]
    assert record["persona"] == "plan.menu"
    assert "4711" not in str(record) and "4711" not in gateway.log_text()
    await gateway.idle()
    assert gateway.complaints() == []


async def test_a_key_brings_the_caller_to_a_human_without_an_agent(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as caller, Phone() as human:
        gateway = started(start_gateway, tmp_path, sip=trunks(human))
        call = await caller.call(gateway.uri("+15550190"))
        await asyncio.sleep(1)
        await call.send_digits("1")
        there = await human.incoming()
        await there.answer()
        await asyncio.sleep(0.5)
        assert await heard_after_ms(call, there, CUSTOMER_HZ) < 300
        assert await heard_after_ms(there, call, HUMAN_HZ) < 300
        await there.hang_up()
        assert (await call.wait_bye()).by == "peer"
        record = await gateway.record(call.call_id)
    assert said(record) == ["For the desk press one.", "One moment."]
    (transfer,) = record["transfers"]
    assert (transfer["target"], transfer["outcome"]) == ("+15557001", "transferred")
    await gateway.idle()
    assert gateway.complaints() == []


async def test_a_number_brings_its_callers_to_another_number(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Busy: they are told, and the call ends."""
    async with Phone() as caller, Phone() as human:
        gateway = started(start_gateway, tmp_path, sip=trunks(human))
        call = await caller.call(gateway.uri("+15550192"))
        there = await human.incoming()
        await there.reject(486)
        assert (await call.wait_bye()).by == "peer"
        record = await gateway.record(call.call_id)
    assert said(record) == ["I'm sorry, the line is busy just now."]
    assert record["end_reason"] == "flow_ended"


async def test_keys_by_info_over_real_sip_are_collected(start_gateway: StartGateway, tmp_path: Path) -> None:
    """sipp keys them in four spellings, over the prompt, and then waits for the goodbye."""
    async with Phone() as nobody:
        gateway = started(start_gateway, tmp_path, sip=trunks(nobody))
    await sipp(gateway, "udp", "uac_keys_by_info.xml", "-s", "+15550191", "-key", "caller", "+15550777", "-m", "1")
    found = await until(lambda: [each for each in gateway.calls() if each["caller"] == "+15550777"], what="a record")
    record = await closed_record(gateway, found[0]["call_id"])
    assert record["media"]["keys"]["info"] == 4
    (collected,) = of(record, "task_completed")
    assert (collected["task"], collected["outcome"], collected["result"]) == ("CollectDigits", "completed", "4711")
    assert said(record) == ["Your number.", "Thank you."]


async def test_a_number_whose_callers_wait_in_a_queue(start_gateway: StartGateway, tmp_path: Path) -> None:
    """No agent says a word: the member has the caller, and a queue without members lets them go otherwise."""
    async with Phone() as caller, Phone() as member:
        (tmp_path / "queues.yaml").write_text(
            'numbers:\n  "+15550193": {queue: desk}\n'
            '  "+15550194": {queue: {name: night, otherwise: {hangup: Nobody is here.}}}\n'
        )
        target = f"sip:member@127.0.0.1:{member.address[1]}"
        gateway = start_gateway(
            sip=trunks(member), dialplans=[str(tmp_path / "queues.yaml")],
            queues=[{"name": "desk", "members": ["anna"], "detect": False}, {"name": "night"}],
            queue_members=[{"name": "anna", "target": target}],
        )  # fmt: skip
        call = await caller.call(gateway.uri("+15550193"))
        there = await asyncio.wait_for(member.incoming(), 10)
        await there.answer()
        await asyncio.sleep(0.5)
        assert await heard_after_ms(call, there, CUSTOMER_HZ) < 300
        assert await heard_after_ms(there, call, HUMAN_HZ) < 300
        await there.hang_up()
        assert (await call.wait_bye()).by == "peer"
        record = await gateway.record(call.call_id)
        assert (said(record), record["persona"]) == ([], "queues.queue")
        call = await caller.call(gateway.uri("+15550194"))
        assert (await call.wait_bye()).by == "peer"
        assert said(await gateway.record(call.call_id)) == ["Nobody is here."]
    await gateway.idle()
    assert gateway.complaints() == []
