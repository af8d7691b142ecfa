"""Calls over several trunks of a route, and what each trunk says of itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from test_gateway_outbound import ask, closed_record, plan

from telephony.phone import CallFailed, Phone, PhoneCall
from telephony.sip.parse import Request

StartGateway = Callable[..., RunningGateway]
TO = "+15557001234"
ORDER = {"to": TO, "persona": "reminder.Reminder"}


def trunk(name: str, phone: Phone, allow: str, outbound: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    host, port = phone.address
    out = {"host": host, "port": port, "destinations": ["+1555700"], "caller": "+15550120", **(outbound or {})}
    return {"name": name, "allow": [allow], "region": "US", "outbound": out, **more}


def asked(call: PhoneCall) -> Request:
    assert call.asked is not None and isinstance(call.asked.message, Request)
    return call.asked.message


async def hung_up(gateway: RunningGateway, call: PhoneCall, call_id: str) -> dict[str, Any]:
    await until(lambda: len(call.received.at) > 10, 5, what="the greeting")
    await call.hang_up()
    return await closed_record(gateway, call_id)


async def test_the_next_trunk_takes_what_the_first_cannot_and_the_first_is_passed_over(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with Phone() as first, Phone() as second:
        numbers = {"format": "digits", "prefix": "9"}
        trunks = [
            trunk("main", first, "127.0.0.0/8"),
            trunk("backup", second, "127.1.0.0/16", numbers=numbers, identity={"asserted": True}),
        ]
        gateway = start_gateway(sip={"trunks": trunks}, **plan(tmp_path))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        assert placed["trunk"] == "main"
        await (await first.incoming()).reject(503)
        call = await second.incoming()
        invite = asked(call)
        assert invite.uri.user == "915557001234"
        assert "sip:15550120@" in invite.value("p-asserted-identity")
        await call.answer()
        record = await hung_up(gateway, call, placed["call_id"])
        assert (record["outcome"], record["trunk"], record["legs"][0]["trunk"]) == ("answered", "backup", "backup")
        attempts = [event for event in record["events"] if event["type"] == "dial_attempt"]
        assert [(each["trunk"], each["status"]) for each in attempts] == [("main", 503), ("backup", 200)]
        found = {each["name"]: each for each in (await asyncio.to_thread(gateway.get, "/v1/trunks"))["trunks"]}
        assert found["main"]["passed_over_until"] and not found["backup"]["passed_over_until"]
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        assert placed["trunk"] == "backup"
        await (await second.incoming()).reject(486)
        record = await closed_record(gateway, placed["call_id"])
        assert (record["outcome"], record["sip_status"]) == ("busy", 486)
        await gateway.idle()
        assert gateway.complaints() == []


async def test_a_full_trunk_lets_calls_wait_and_then_says_so_before_anything_is_dialled(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with Phone() as phone:
        capped = trunk("main", phone, "127.0.0.0/8", cap={"calls": 1, "queue_s": 1.0})
        gateway = start_gateway(sip={"trunks": [capped]}, **plan(tmp_path))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        call = await phone.incoming()
        status, problem, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        assert (status, problem["type"]) == (503, "urn:trunkline:problem:trunk_full")
        waits = asyncio.create_task(ask(gateway, "POST", "/v1/calls", ORDER))
        await asyncio.sleep(0.3)
        (found,) = (await asyncio.to_thread(gateway.get, "/v1/trunks"))["trunks"]
        assert (found["load"]["placed"], found["load"]["waiting"], found["load"]["refused"]) == (1, 1, 1)
        assert gateway.metrics()['trunkline_trunk_calls{direction="outbound",trunk="main"}'] == 1
        await call.reject(486)
        status, second, _ = await waits
        assert status == 202
        await (await phone.incoming()).reject(603)
        for call_id, outcome in ((placed["call_id"], "busy"), (second["call_id"], "rejected")):
            assert (await closed_record(gateway, call_id))["outcome"] == outcome
        assert len(gateway.calls()) == 2
        await gateway.idle()
        assert gateway.complaints() == []


async def test_trunks_at_one_address_have_their_own_calls_headers_and_numbers(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    (tmp_path / "asked.py").write_text(
        "import structlog\nfrom agent import Agent\n\nclass Asked(Agent):\n    greeting = 'Hello.'\n\n"
        "    async def on_enter(self, ctx):\n        info = ctx.call.info\n"
        "        by = [each.number for each in info.diversions]\n"
        "        structlog.get_logger('asked').info('asked', trunk=info.trunk, variables=dict(info.variables), by=by)\n"
    )
    (tmp_path / "plan.yaml").write_text("numbers:\n  '+12125550101': asked.Asked\n  '+13105550101': asked.Asked\n")
    trunks = [
        {"name": "east", "allow": ["127.0.0.0/8"], "region": "US", "inbound": {"numbers": ["+1212"]}},
        {
            "name": "west", "allow": ["127.0.0.0/8"], "region": "US", "numbers": {"format": "national"},
            "inbound": {"numbers": ["310"]}, "headers_in": [{"header": "Subject", "variable": "subject"}],
        },
    ]  # fmt: skip
    gateway = start_gateway(sip={"trunks": trunks}, dialplans=[str(tmp_path / "plan.yaml")])
    async with Phone() as phone:
        headers = {"Subject": "order 7", "Diversion": "<sip:3105550177@pbx>;reason=no-answer"}
        for number, trunk in (("+12125550101", "east"), ("3105550101", "west")):
            call = await phone.call(gateway.uri(number), caller="+12125550123", headers=headers)
            await until(lambda: len(call.received.at) > 5, 5, what="audio")  # noqa: B023
            await call.hang_up()
            record = await gateway.record(call.call_id)
            assert (record["trunk"], record["called"][-4:]) == (trunk, "0101")
            (diverted,) = [event for event in record["events"] if event["type"] == "diverted"]
            assert diverted["by"][0]["reason"] == "no-answer"
        with pytest.raises(CallFailed) as refused:
            await phone.call(gateway.uri("+442071838750"), caller="+12125550123")
        assert refused.value.status == 403
    lines = [json.loads(line) for line in gateway.log_text().splitlines() if '"asked"' in line]
    assert [(each["trunk"], each["variables"], each["by"]) for each in lines] == [
        ("east", {}, ["+13105550177"]), ("west", {"subject": "order 7"}, ["+13105550177"]),
    ]  # fmt: skip


async def test_who_calls_and_what_the_call_says(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone:
        said = trunk(
            "main", phone, "127.0.0.0/8",
            identity={"asserted": True, "privacy": True, "domain": "us.example"},
            headers_out=[{"variable": "account", "header": "X-Account"}],
        )  # fmt: skip
        gateway = start_gateway(sip={"trunks": [said]}, **plan(tmp_path))
        refused = [
            ({"from": "+15550199"}, 403, "caller_not_allowed"),
            ({"variables": {"account": "a\r\nVia: SIP/2.0/UDP evil"}}, 422, "invalid_variable"),
        ]
        for more, status, kind in refused:
            found, problem, _ = await ask(gateway, "POST", "/v1/calls", {**ORDER, **more})
            assert (found, problem["type"]) == (status, f"urn:trunkline:problem:{kind}")
        order = {**ORDER, "private": True, "variables": {"account": "A-17"}}
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", order)
        call = await phone.incoming()
        invite = asked(call)
        assert invite.sender.uri == "sip:anonymous@anonymous.invalid"
        assert invite.value("privacy") == "id"
        assert invite.value("p-asserted-identity") == "<sip:+15550120@us.example>"
        assert invite.value("x-account") == "A-17"
        await call.reject(486)
        record = await closed_record(gateway, placed["call_id"])
        assert (record["caller"], len(gateway.calls())) == ("+15550120", 1)
        await gateway.idle()
        assert gateway.complaints() == []


async def test_the_trunks_codecs_in_its_order_both_ways(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone(codec=("PCMU", "PCMA")) as phone:
        gateway = start_gateway(sip={"trunks": [trunk("main", phone, "127.0.0.0/8", codecs=["pcma", "pcmu"])]})
        inbound = await phone.call(gateway.uri("+15550101"), caller="+15552108001")
        await until(lambda: len(inbound.received.at) > 20, 5, what="audio")
        await inbound.hang_up()
        record = await gateway.record(inbound.call_id)
        assert record["media"]["codec"] == "PCMA", "the phone offers PCMU first"
        gateway.stop()
        only = trunk("main", phone, "127.0.0.0/8", codecs=["pcma"])
        gateway = start_gateway(sip={"trunks": [only]}, **plan(tmp_path))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        call = await phone.incoming()
        assert b" RTP/AVP 8 " in asked(call).body and b"PCMU" not in asked(call).body
        await call.answer()
        record = await hung_up(gateway, call, placed["call_id"])
        assert record["media"]["codec"] == "PCMA"
        await gateway.idle()
        assert gateway.complaints() == []
