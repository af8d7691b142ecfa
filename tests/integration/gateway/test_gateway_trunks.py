"""A gateway whose trunk is Kamailio: registered, called through with a password, shown, and deregistered at the end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from test_gateway_outbound import TO, ask, closed_record, plan

from telephony.phone import CallFailed, Phone
from tests.free_ports import free_port
from tests.integration.pjsua.kamailio import PASSWORD, REALM, USER, kamailio

StartGateway = Callable[..., RunningGateway]


def carrier(folder: Path, port: int, **more: Any) -> dict[str, Any]:
    """A first host where nobody is, and Kamailio behind it."""
    (folder / "password").write_text(PASSWORD)
    host = {"host": "127.0.0.1", "port": port, "transport": "udp"}
    trunk = {
        "name": "carrier",
        "allow": ["127.0.0.0/8"],
        "region": "US",
        "outbound": {
            "host": "127.0.0.1",
            "port": free_port(),
            "answer_s": 0.5,
            "fail_over": [host],
            "destinations": ["+1555700"],
            "caller": "+15550120",
        },
        "account": {"username": USER, "password": {"file": str(folder / "password")}, "realm": REALM},
        "registration": {"user": USER, "domain": REALM, "registrar": host, "expiry_s": 100},
        "probe": {"every_s": 1},
        **more,
    }
    return {"trunks": [trunk]}


async def trunk_of(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = (await asyncio.to_thread(gateway.get, "/v1/trunks"))["trunks"][0]
    return found


async def output_of(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.stdout


async def test_a_trunk_from_its_registration_to_its_end(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with Phone() as phone, kamailio(tmp_path, algorithm="SHA-256", phone=phone.address) as port:
        gateway = start_gateway(sip=carrier(tmp_path, port), **plan(tmp_path))

        async def registered() -> bool:
            return bool((await trunk_of(gateway))["registration"]["registered_until"])

        await until(registered, what="a registration")
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        call = await phone.incoming()
        await call.answer()
        await asyncio.sleep(0.5)
        await call.hang_up()
        record = await closed_record(gateway, placed["call_id"])
        assert (record["outcome"], record["trunk"]) == ("answered", "carrier")
        tried = [(event["host"], event["status"]) for event in record["events"] if event["type"] == "dial_attempt"]
        assert [status for _, status in tried] == [None, 200]
        assert tried[1][0] == f"udp:127.0.0.1:{port}"
        trunk = await trunk_of(gateway)
        assert [refusal["reason"] for refusal in trunk["refusals"]] == ["no answer"]
        command = [sys.executable, "-m", "gateway.cli", "trunks", "--url", gateway.http]
        shown = await output_of(*command)
        assert "registered until" in shown and f"at udp:127.0.0.1:{port}" in shown
        assert json.loads(await output_of(*command, "--json"))["name"] == "carrier"
        await gateway.idle()
        gateway.stop()
        with pytest.raises(CallFailed) as failed:
            await phone.call(f"sip:{USER}@127.0.0.1:{port}")
        assert failed.value.status == 404  # Kamailio knows us no more
