"""Keys over real SIP, both ways and by all three ways: a phone of ours is called, and calls."""

from __future__ import annotations

import asyncio
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from sipp_callee import GOODBYE, callee, described, hears, pause, says
from test_gateway_further_legs import AGENT_HZ, strength, trunks
from test_gateway_outbound import TO, ask, closed_record, plan

from telephony.media.dtmf import dtmf
from telephony.media.dtmf_detector import DtmfDetector
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import digits_heard, on_time_axis
from tests.free_ports import free_port

StartGateway = Callable[..., RunningGateway]
ORDER = {"to": TO, "persona": "reminder.Reminder"}
EXTENSION = "w12#"


def heard(call: PhoneCall) -> bytes:
    assert call.answered_at is not None
    return on_time_axis(call.received, call.answered_at, asyncio.get_running_loop().time())


def keys_heard(call: PhoneCall) -> dict[str, str]:
    """By way, those that came."""
    infos = [request.body for request in call.requests if request.method == "INFO"]
    found = {
        "rfc4733": "".join(key.digit for key in digits_heard(call.received)),
        "info": "".join(body.split()[0].removeprefix("Signal=") for body in infos),
        "inband": "".join(hit.digit for hit in DtmfDetector().push(heard(call))),
    }
    return {way: keys for way, keys in found.items() if keys}


async def record_of(gateway: RunningGateway, call_id: str) -> dict[str, Any]:
    """Empty while it is being written."""
    try:
        found: dict[str, Any] = await asyncio.to_thread(gateway.get, f"/v1/calls/{call_id}")
    except urllib.error.HTTPError:
        return {}
    return found


async def told(gateway: RunningGateway, call_id: str, kind: str) -> dict[str, Any]:
    """The first event of this kind in the call's record."""

    async def found() -> dict[str, Any] | None:
        record = await record_of(gateway, call_id)
        return next((event for event in record.get("events", ()) if event["type"] == kind), None)

    event = await until(found, 8, what=kind)
    assert event is not None
    return event


@pytest.mark.parametrize(("dtmf_setting", "way"), [("auto", "rfc4733"), ("info", "info"), ("inband", "inband")])
async def test_the_called_side_hears_an_extension_before_the_greeting_and_keys_by_the_trunks_way(
    start_gateway: StartGateway, tmp_path: Path, dtmf_setting: str, way: str
) -> None:
    async with Phone() as phone:
        sip = trunks(phone)
        sip["trunks"][0]["dtmf"] = dtmf_setting
        gateway = start_gateway(sip=sip, **plan(tmp_path))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {**ORDER, "extension": EXTENSION})
        call = await phone.incoming()
        await call.answer()
        sent = await told(gateway, placed["call_id"], "digits_sent")
        assert (sent["way"], sent["count"]) == (way, 3)
        before = heard(call)
        assert strength(before, AGENT_HZ) < 0.3, "the agent is not heard yet"
        await until(lambda: strength(heard(call)[-3200:], AGENT_HZ) > 0.9, 5, what="the greeting")
        assert keys_heard(call) == {way: "12#"}
        await call.hang_up()
        await closed_record(gateway, placed["call_id"])
        assert gateway.complaints() == []


async def test_keys_by_each_way_on_demand_replace_the_agents_voice(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        path = f"/v1/calls/{placed['call_id']}/digits"
        call = await phone.incoming()
        await call.answer()
        await until(lambda: strength(heard(call)[-3200:], AGENT_HZ) > 0.9, 5, what="the greeting")
        order = {"digits": "7w8", "way": "inband", "duration_ms": 200}
        assert (await ask(gateway, "POST", path, order))[0] == 200
        await told(gateway, placed["call_id"], "digits_sent")
        assert keys_heard(call) == {"inband": "78"}  # a tone with the agent's beside it would be no key
        for other in ("info", "rfc4733"):
            assert (await ask(gateway, "POST", path, {"digits": "5", "way": other}))[0] == 200
        await until(lambda: keys_heard(call).keys() >= {"info", "rfc4733"}, 5, what="the other ways")
        assert keys_heard(call) == {"inband": "78", "info": "5", "rfc4733": "5"}
        status, problem, _ = await ask(gateway, "POST", path, {"digits": "5", "leg": "nobody"})
        assert (status, problem["type"].rpartition(":")[2]) == (404, "unknown_leg")
        await call.hang_up()


async def test_without_telephone_event_keys_go_in_band_and_refused_infos_are_told(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    """sipp answers without telephone-event, and refuses INFO."""
    port = free_port()
    out = {"host": "127.0.0.1", "port": port, "destinations": ["+1555700"], "caller": "+15550120"}
    sip = {"trunks": [{"name": "local", "allow": ["127.0.0.0/8"], "region": "US", "outbound": out}]}
    gateway = start_gateway(sip=sip, **plan(tmp_path))
    answers = hears("INVITE") + says(200, body=described()) + hears("ACK")
    refuses = hears("INFO", has=["application/dtmf-relay", "Signal=4"]) + says(415, of="INFO")
    async with callee(tmp_path, port, answers, refuses, pause(200), GOODBYE):
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", ORDER)
        path = f"/v1/calls/{placed['call_id']}/digits"

        async def answered() -> bool:
            return bool((await record_of(gateway, placed["call_id"])).get("answered_at"))

        await until(answered, 8, what="the answer")
        status, problem, _ = await ask(gateway, "POST", path, {"digits": "4", "way": "rfc4733"})
        assert (status, problem["type"].rpartition(":")[2]) == (409, "no_events")
        assert (await ask(gateway, "POST", path, {"digits": "3"}))[0] == 200
        assert (await told(gateway, placed["call_id"], "digits_sent"))["way"] == "inband"
        assert (await ask(gateway, "POST", path, {"digits": "4", "way": "info"}))[0] == 200
        failed = await told(gateway, placed["call_id"], "digits_failed")
        assert (failed["error"], failed["sip_status"]) == ("refused", 415)
        await ask(gateway, "DELETE", f"/v1/calls/{placed['call_id']}")


async def test_a_trunk_whose_caller_agrees_to_events_and_sends_tones_is_heard_and_shown(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway()
    async with Phone() as phone:
        call = await phone.dial(gateway.uri("+15550102"))
        await call.answered()
        await call.play(dtmf("47", on_ms=100, off_ms=80) + bytes(3200)).done
        await asyncio.sleep(0.3)
        await call.send_digits("5")
        await call.play(dtmf("9", on_ms=100, off_ms=80) + bytes(3200)).done
        await asyncio.sleep(0.3)
        await call.hang_up()
        record = await gateway.record(call.call_id)
        other = await phone.dial(gateway.uri("+15550102"))
        await other.answered()
        await other.play(dtmf("3", on_ms=100, off_ms=80) + bytes(3200)).done
        await asyncio.sleep(0.3)
        await other.hang_up()
        await gateway.record(other.call_id)
    pressed = [event for event in record["events"] if event["type"] == "digit_received"]
    assert "".join(event["digit"] for event in pressed) == "475", "once events work, a tone is no key"
    assert record["media"]["keys"] == {"rfc4733": 1, "info": 0, "inband": 2, "first": "inband", "agreed": True}
    (trunk,) = gateway.get("/v1/trunks")["trunks"]
    assert trunk["keys"]["presses"] == {"rfc4733": 1, "info": 0, "inband": 3}
    assert (trunk["keys"]["agreed_but_not_used"], trunk["keys"]["listens_in_band"]) == (1, True)
    assert gateway.metrics()['trunkline_trunk_keys_total{trunk="local",way="inband"}'] == 3
