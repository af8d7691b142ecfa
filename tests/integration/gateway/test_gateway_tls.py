"""TLS and SRTP with programs that are not ours: baresip calls and is called, Kamailio is registered with."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from baresip_phone import CALLER_HZ, baresip, configure
from gateway_process import RunningGateway, until
from test_gateway_further_legs import strength
from test_gateway_outbound import TO, ask, closed_record, plan
from test_gateway_trunks import output_of, trunk_of

from telephony.phone import Phone
from tests.certificates import Authority, Files
from tests.free_ports import free_port
from tests.integration.pjsua.kamailio import PASSWORD, REALM, USER, Tls, kamailio

StartGateway = Callable[..., RunningGateway]
AGENT_HZ = 440


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def sip(authority: Authority, ours: Files, **trunk: Any) -> dict[str, Any]:
    """Of the gateway: it listens for TLS, too."""
    tls = {"certificate": str(ours.certificate), "key": {"file": str(ours.key)}}
    one = {"name": "carrier", "allow": ["127.0.0.0/8"], "region": "US", "tls": {"ca": str(authority.ca)}, **trunk}
    return {"listen": ["udp://127.0.0.1:0", "tls://127.0.0.1:0"], "tls": tls, "trunks": [one]}


def one_file(files: Files) -> Path:
    """As baresip wants it."""
    both = files.certificate.with_suffix(".both")
    both.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    return both


def said_and_heard(gateway: RunningGateway, record: dict[str, Any]) -> tuple[float, float]:
    """How much of the recording's two sides is the caller's tone, and the agent's."""
    with wave.open(io.BytesIO(gateway.fetch(f"/v1/calls/{record['call_id']}/recording"))) as file:
        rate, pcm = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    sides = []
    for side, hertz in ((pcm[0::2], CALLER_HZ), (pcm[1::2], AGENT_HZ)):
        pieces = [side[at : at + rate // 10].tobytes() for at in range(rate // 2, 2 * rate, rate // 10)]
        sides.append(median(strength(piece, hertz) for piece in pieces))  # a lost packet shifts the phase
    return sides[0], sides[1]


async def test_baresip_calls_over_tls_with_srtp(start_gateway: StartGateway, authority: Authority) -> None:
    ours = authority.issue("127.0.0.1", called="ours")
    gateway = start_gateway(sip=sip(authority, ours, srtp="required"))
    folder = authority.folder / "baresip"
    own = one_file(authority.issue("phone.example"))
    configure(folder, "tls", "PCMU", "+15551230001", encryption="srtp-mand", certificate=own, ca=authority.ca)
    async with baresip(folder, gateway.uri("+15550101", "tls")) as phone:
        await until(
            lambda: any(call["answered_at"] for call in gateway.calls()),
            what=(folder / "log").read_text(errors="replace")[-2000:],
        )
        await asyncio.sleep(3)  # of tones
        assert phone.stdin is not None
        phone.stdin.write(b"b")
        await phone.stdin.drain()
        await until(lambda: gateway.calls()[0]["outcome"], 5, what="the end of the call")
        phone.stdin.write(b"q")
        await phone.stdin.drain()
        await asyncio.wait_for(phone.wait(), 5)
    (found,) = gateway.calls()
    record = await gateway.record(found["sip_call_id"])
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    assert record["media"]["encrypted"] and record["media"]["packets_received"] > 100
    assert min(said_and_heard(gateway, record)) > 0.9
    shown = await output_of(
        sys.executable, "-m", "gateway.cli", "show", record["call_id"], "--config", str(gateway.config)
    )
    assert "encrypted" in shown


async def test_a_call_without_srtp_is_refused_where_it_is_required(
    start_gateway: StartGateway, authority: Authority
) -> None:
    ours = authority.issue("127.0.0.1", called="ours")
    gateway = start_gateway(sip=sip(authority, ours, srtp="required"))
    folder = authority.folder / "baresip"
    own = one_file(authority.issue("phone.example"))
    configure(folder, "tls", "PCMU", "+15551230001", certificate=own, ca=authority.ca)
    async with baresip(folder, gateway.uri("+15550101", "tls")):
        await until(lambda: bool(gateway.calls()), what=(folder / "log").read_text(errors="replace")[-2000:])
    (record,) = gateway.calls()
    assert (record["outcome"], record["sip_status"]) == ("refused", 488)
    assert "SRTP is required" in record["end_reason"]


def outbound(port: int, **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1", "port": port, "transport": "tls", "destinations": ["+1555700"], "caller": "+15550120",
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("srtp", "encryption", "encrypted"),
    [("required", "srtp-mand", True), ("offered", "srtp", True), ("off", "", False)],
)
async def test_baresip_is_called_over_tls(
    start_gateway: StartGateway, authority: Authority, srtp: str, encryption: str, encrypted: bool
) -> None:
    folder = authority.folder / "baresip"
    own = one_file(authority.issue("127.0.0.1", called="phone"))
    port = configure(folder, "tls", "PCMU", TO, encryption=encryption, certificate=own, ca=authority.ca, answers=True)
    async with baresip(folder):
        ours = authority.issue("127.0.0.1", called="ours")
        settings = sip(authority, ours, srtp=srtp, outbound=outbound(port + 1))
        gateway = start_gateway(sip=settings, **plan(authority.folder))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        await until(
            lambda: any(call["answered_at"] for call in gateway.calls()),
            what=(folder / "log").read_text(errors="replace")[-2000:],
        )
        await asyncio.sleep(3)  # of tones
        await ask(gateway, "DELETE", f"/v1/calls/{placed['call_id']}")
        record = await closed_record(gateway, placed["call_id"])
    assert record["outcome"] == "answered" and record["media"]["encrypted"] is encrypted
    assert record["media"]["packets_received"] > 100 and min(said_and_heard(gateway, record)) > 0.9
    (tried,) = [event for event in record["events"] if event["type"] == "dial_attempt"]
    assert (tried["host"], tried["status"]) == (f"tls:127.0.0.1:{port + 1}", 200)


async def test_a_phone_without_srtp_is_not_talked_to_where_it_is_required(
    start_gateway: StartGateway, authority: Authority
) -> None:
    folder = authority.folder / "baresip"
    own = one_file(authority.issue("127.0.0.1", called="phone"))
    port = configure(folder, "tls", "PCMU", TO, certificate=own, ca=authority.ca, answers=True)
    async with baresip(folder):
        ours = authority.issue("127.0.0.1", called="ours")
        settings = sip(authority, ours, srtp="required", outbound=outbound(port + 1))
        gateway = start_gateway(sip=settings, **plan(authority.folder))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        record = await closed_record(gateway, placed["call_id"])
    assert (record["outcome"], record["sip_status"]) == ("failed", 488)
    (refusal,) = (await trunk_of(gateway))["refusals"]
    assert refusal["host"] == f"tls:127.0.0.1:{port + 1}"


@pytest.mark.parametrize(
    ("issued", "days", "said"),
    [("127.0.0.1", -1, "certificate has expired"), ("other.example", 30, "IP address mismatch")],
)
async def test_a_call_whose_trunk_has_a_wrong_certificate_ends_with_the_reason(
    start_gateway: StartGateway, authority: Authority, issued: str, days: float, said: str
) -> None:
    folder = authority.folder / "baresip"
    own = one_file(authority.issue(issued, expires_in_days=days, called="phone"))
    port = configure(folder, "tls", "PCMU", TO, certificate=own, ca=authority.ca, answers=True)
    async with baresip(folder):
        ours = authority.issue("127.0.0.1", called="ours")
        settings = sip(authority, ours, outbound=outbound(port + 1))
        gateway = start_gateway(sip=settings, **plan(authority.folder))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        record = await closed_record(gateway, placed["call_id"])
        assert (record["outcome"], record["sip_status"]) == ("failed", 503) and said in record["end_reason"]
        trunk = await trunk_of(gateway)
        assert said in trunk["refusals"][0]["reason"] and said in trunk["tls_failures"][0]["reason"]
        command = [sys.executable, "-m", "gateway.cli", "trunks", "--url", gateway.http]
        assert said in (shown := await output_of(*command)) and f"with 127.0.0.1:{port + 1}" in shown
        assert json.loads(await output_of(*command, "--json"))["tls_failures"]
        metrics = gateway.fetch("/metrics").decode()
        assert 'trunkline_certificate_expires_seconds{file="' in metrics
        assert "trunkline_edge_tls_certificate_total 1.0" in metrics


async def test_kamailio_over_tls_is_registered_with_and_called_through_both_ways(
    start_gateway: StartGateway, authority: Authority, tmp_path: Path
) -> None:
    """A registrar that demands our certificate: REGISTER and OPTIONS, a call out with its password, and a call in over
    TLS that it makes to our Contact, with its own certificate for all that it is known by."""
    ours, theirs = authority.issue("127.0.0.1", called="ours"), authority.issue("127.0.0.1", called="theirs")
    tls = Tls(free_port(), theirs.certificate, theirs.key, authority.ca, demands=True)
    (tmp_path / "password").write_text(PASSWORD)
    async with Phone() as phone, kamailio(tmp_path, phone=phone.address, tls=tls) as plain:
        host = {"host": "127.0.0.1", "port": tls.port, "transport": "tls"}
        settings = sip(
            authority,
            ours,
            tls={"ca": str(authority.ca), "certificate": str(ours.certificate), "key": {"file": str(ours.key)}},
            outbound=outbound(tls.port),
            account={"username": USER, "password": {"file": str(tmp_path / "password")}},
            registration={"user": USER, "domain": REALM, "registrar": host, "expiry_s": 100},
            probe={"every_s": 1},
        )
        dialplan = tmp_path / "plan.yaml"
        plans = plan(tmp_path)
        dialplan.write_text(dialplan.read_text() + f'numbers:\n  "{USER}": reminder.Reminder\n')
        gateway = start_gateway(sip=settings, **plans)

        async def well() -> bool:
            trunk = await trunk_of(gateway)
            return bool(trunk["registration"]["registered_until"]) and trunk["hosts"][0]["state"] == "up"

        await until(well, what="a registration")
        assert (await trunk_of(gateway))["registration"]["registrar"] == f"tls:127.0.0.1:{tls.port}"
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        call = await phone.incoming()
        await call.answer()
        await asyncio.sleep(0.5)
        await call.hang_up()
        record = await closed_record(gateway, placed["call_id"])
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        assert (await trunk_of(gateway))["tls_failures"] == []

        call = await phone.call(f"sip:{USER}@127.0.0.1:{plain}")
        await asyncio.sleep(0.5)
        await call.hang_up()
        inbound = await until(lambda: [each for each in gateway.calls() if each["direction"] == "inbound"])
        record = await closed_record(gateway, inbound[0]["call_id"])
        assert (record["outcome"], record["trunk"]) == ("answered", "carrier")
        await gateway.idle()
        assert gateway.complaints() == []


async def test_kamailio_that_demands_a_certificate_that_we_have_not(
    start_gateway: StartGateway, authority: Authority, tmp_path: Path
) -> None:
    ours, theirs = authority.issue("127.0.0.1", called="ours"), authority.issue("127.0.0.1", called="theirs")
    tls = Tls(free_port(), theirs.certificate, theirs.key, authority.ca, demands=True)
    (tmp_path / "password").write_text(PASSWORD)
    async with kamailio(tmp_path, tls=tls):
        host = {"host": "127.0.0.1", "port": tls.port, "transport": "tls"}
        account = {"username": USER, "password": {"file": str(tmp_path / "password")}}
        registration = {"user": USER, "domain": REALM, "registrar": host}
        gateway = start_gateway(sip=sip(authority, ours, account=account, registration=registration))

        async def failed() -> bool:
            return bool((await trunk_of(gateway))["registration"]["error"])

        await until(failed, what="a try that failed")
        trunk = await trunk_of(gateway)
        assert "certificate" in trunk["registration"]["error"]
        assert "certificate" in trunk["tls_failures"][0]["reason"]
