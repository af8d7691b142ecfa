"""A campaign over real SIP, with our phone as everybody who is called."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from test_gateway_further_legs import trunks
from test_gateway_outbound import ask

from telephony.phone import Phone

StartGateway = Callable[..., RunningGateway]
PERSONA = """
from agent import Agent

class Surveyor(Agent):
    greeting = ""

    async def on_enter(self, ctx) -> None:
        name = ctx.call.variables["name"]
        ctx.result(name=name)
        if name == "Eve":
            ctx.opt_out("never again")
        await ctx.call.hang_up()

async def without_database(call):
    raise ConnectionError("no database")
"""
ORDER = {
    "name": "Survey", "persona": "survey.Surveyor", "windows": ["00:00-24:00"], "holidays": [], "rule_sets": "none",
    "variables": {"name": {"required": True}}, "pacing": {"calls_per_second": 5, "at_once": 3},
}  # fmt: skip
NAMES = ("Ada", "Bob", "Eve", "Joe", "Kim", "Lea")


@asynccontextmanager
async def everybody(phone: Phone) -> AsyncIterator[None]:
    """Answers every call."""

    async def answer() -> None:
        while True:
            await (await phone.incoming()).answer()

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()


def settings(folder: Path, phone: Phone) -> dict[str, Any]:
    (folder / "survey.py").write_text(PERSONA)
    (folder / "plan.yaml").write_text("outbound: [survey.Surveyor, survey.without_database]\n")
    return {"sip": trunks(phone), "dialplans": [str(folder / "plan.yaml")]}


def person(index: int, name: str) -> dict[str, Any]:
    return {"numbers": [f"+1555700{index:04d}"], "key": name, "zone": "America/New_York", "variables": {"name": name}}


async def made(gateway: RunningGateway, *names: str, **changes: Any) -> str:
    status, campaign, location = await ask(gateway, "POST", "/v1/campaigns", {**ORDER, **changes})
    assert (status, location) == (201, f"/v1/campaigns/{campaign['campaign_id']}")
    people = [person(index, name) for index, name in enumerate(names)]
    status, added, _ = await ask(gateway, "POST", f"{location}/contacts", {"contacts": [*people, {"numbers": ["12"]}]})
    assert (status, added["added"], [each["place"] for each in added["refused"]]) == (200, len(names), [len(names)])
    return location


async def over(gateway: RunningGateway, path: str, state: str = "done") -> dict[str, Any]:
    async def done() -> dict[str, Any] | None:
        found: dict[str, Any] = await asyncio.to_thread(gateway.get, path)
        return found if found["state"] == state else None

    try:
        record = await until(done, 30.0, what="the campaign's end")
    except TimeoutError:
        found, calls = [await asyncio.to_thread(gateway.get, each) for each in (path, "/v1/calls")]
        raise AssertionError(f"not done: {found['state']} {found['reason']} {found['figures']}; {calls}") from None
    assert record is not None
    return record


async def test_everybody_is_called_once_and_who_opts_out_never_again(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with Phone() as phone, everybody(phone):
        gateway = start_gateway(**settings(tmp_path, phone))
        path = await made(gateway, *NAMES)
        assert (await ask(gateway, "POST", f"{path}/start"))[0] == 200
        record = await over(gateway, path)
        assert record["figures"]["done"] == {"reached": 5, "opted_out": 1}
        rows = list(csv.DictReader(gateway.fetch(f"{path}/results").decode().splitlines()))
        assert Counter(row["key"] for row in rows) == Counter(NAMES)
        assert {row["key"]: row["result"] for row in rows}["Ada"] == '{"name": "Ada"}'
        again = await made(gateway, "Ada", "Bob", "Eve")  # another campaign
        await ask(gateway, "POST", f"{again}/start")
        assert (await over(gateway, again))["figures"]["done"] == {"reached": 2, "listed": 1}
    (listed,) = (await asyncio.to_thread(gateway.get, "/v1/do-not-call"))["numbers"]
    assert (listed["number"], listed["list"]) == ("+15557000002", "opted out")
    decisions = (await asyncio.to_thread(gateway.get, "/v1/decisions/+15557000002"))["decisions"]
    assert [each["verdict"] for each in decisions] == ["dial"]


async def test_what_a_campaign_cannot_do_is_said(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone, everybody(phone):
        gateway = start_gateway(**settings(tmp_path, phone))
        path = await made(gateway, "Ada")
        unknown = {**ORDER, "persona": "survey.Nobody"}
        status, problem, _ = await ask(gateway, "POST", "/v1/campaigns", unknown)
        assert (status, problem["type"]) == (422, "urn:trunkline:problem:unknown_persona")
        status, problem, _ = await ask(gateway, "POST", "/v1/campaigns/none/start")
        assert (status, problem["type"]) == (404, "urn:trunkline:problem:no_such_campaign")
        assert (await ask(gateway, "POST", f"{path}/pause"))[0] == 409, "it does not run yet"
        await ask(gateway, "POST", f"{path}/start")
        await over(gateway, path)


async def test_a_persona_that_fails_every_call_pauses_its_campaign(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone, everybody(phone):
        gateway = start_gateway(**settings(tmp_path, phone))
        broken = {"persona": "survey.without_database", "stop_after_failures": 2, "pacing": {"at_once": 1}}
        path = await made(gateway, *NAMES, **broken)
        await ask(gateway, "POST", f"{path}/start")
        record = await over(gateway, path, "paused")
    assert record["reason"] == "2 calls in a row failed on our side"
    assert record["figures"]["attempts"] == {"failed": 2}
