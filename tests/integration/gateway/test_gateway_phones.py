"""Phones that register with us: baresip, linphone and sipp register, are called, call, and go."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from baresip_phone import CALLER_HZ, baresip, configure
from gateway_process import RunningGateway, free_rtp_range, until
from test_gateway_baresip import _read, _strength
from test_gateway_outbound import ask

from telephony.phone import Phone
from tests.free_ports import free_port

StartGateway = Callable[..., RunningGateway]
USERS = {"anna": "secret-a", "bob": "secret-b"}
AGENT = "+15550101"


@pytest.fixture
def phones(start_gateway: StartGateway, tmp_path: Path) -> RunningGateway:
    users = []
    for name, password in USERS.items():
        (tmp_path / name).write_text(password)
        users.append({"name": name, "password": {"file": str(tmp_path / name)}})
    users[0] |= {"number": "+15550177", "supervises": True}
    for name in ("dialplan.yaml", "enemy_personas.py"):
        shutil.copy(Path(__file__).parent / name, tmp_path / name)
    (tmp_path / "calls.yaml").write_text("outbound: [enemy_personas.Talker]\n")
    return start_gateway(
        dialplans=[str(tmp_path / "dialplan.yaml"), str(tmp_path / "calls.yaml")],
        sip={
            "trunks": [{"name": "lab", "allow": ["127.0.0.9/32"], "region": "US"}],
            "phones": {
                "users": users,
                "shortest_s": 10,
                "keep_alive_s": 5,
                "supervision": "*90",
                "transfers": {"refer": ["human"]},
            },
        },
    )


def account(
    folder: Path,
    gateway: RunningGateway,
    *,
    name: str = "anna",
    password: str = "",
    transport: str = "udp",
    answers: bool = True,
    regint: int = 60,
    more: str = "",
) -> None:
    """A baresip that registers."""
    configure(folder, transport, "PCMU", name, answers=answers)
    how = f";regint={regint};audio_codecs=PCMU/8000/1;answermode={'auto' if answers else 'manual'}{more}"
    password = password or USERS[name]
    port = gateway.udp if transport == "udp" else gateway.tcp
    address = f"<sip:{name}@127.0.0.1:{port};transport={transport}>"
    (folder / "accounts").write_text(f"{address};auth_user={name};auth_pass={password}{how}\n")


def phone(gateway: RunningGateway, name: str = "anna") -> dict[str, Any]:
    found: list[dict[str, Any]] = gateway.get("/v1/phones")["phones"]
    return next(each for each in found if each["name"] == name)


async def devices(gateway: RunningGateway, count: int, name: str = "anna", seconds: float = 8) -> list[dict[str, Any]]:
    def there() -> bool:
        return len(phone(gateway, name)["devices"]) == count

    await until(there, seconds, what=f"{count} devices; there are {phone(gateway, name)}")
    found: list[dict[str, Any]] = phone(gateway, name)["devices"]
    return found


async def press(process: asyncio.subprocess.Process, keys: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(keys)
    await process.stdin.drain()


@asynccontextmanager
async def caller_of(gateway: RunningGateway) -> AsyncIterator[tuple[Phone, Any]]:
    """A caller of the trunk who talks with the agent."""
    async with Phone(host="127.0.0.9") as caller:
        call = await caller.call(f"sip:{AGENT}@127.0.0.1:{gateway.udp}")
        await asyncio.wait_for(call.answered(), 10)
        yield caller, call


async def transferred(gateway: RunningGateway, call: Any, to: str = "phone:anna", **more: Any) -> str:
    await until(lambda: gateway.attempts(call.call_id), 5, what="the call's record")
    call_id = str(gateway.attempts(call.call_id)[0]["call_id"])
    body = {"to": to, "afterwards": "agent", "ring_timeout_s": 8, "refer": "never", **more}
    status, answer, _ = await ask(gateway, "POST", f"/v1/calls/{call_id}/transfer", body)
    assert status == 202, answer

    def outcome() -> str:
        transfers = gateway.get(f"/v1/calls/{call_id}")["transfers"]
        return str(transfers[-1]["outcome"] or "") if transfers else ""

    return await until(outcome, 12, what="the transfer's outcome")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_registers_is_called_and_calls(phones: RunningGateway, tmp_path: Path, transport: str) -> None:
    folder = tmp_path / "baresip"
    account(folder, phones, transport=transport)
    async with baresip(folder) as process:
        (device,) = await devices(phones, 1)
        assert device["source"].startswith(f"{transport}:127.0.0.1:") and device["reachable"]
        async with caller_of(phones) as (_, call):
            assert await transferred(phones, call) == "transferred"
            await asyncio.sleep(1.5)
            await call.hang_up()
        record = await phones.record(call.call_id)
        leg = next(leg for leg in record["legs"] if leg["role"] == "human")
        assert (leg["trunk"], leg["called"], leg["outcome"]) == ("phones", "phone:anna", "answered")
        assert leg["media"]["packets_received"] > 40
        await press(process, f"/dial {phones.uri(AGENT, transport)}\n".encode())
        await until(lambda: any(each["answered_at"] for each in phones.calls(caller="+15550177")), 8, what="its call")
        await asyncio.sleep(2)
        await press(process, b"b")
        await phones.idle()
        (mine,) = await phones.closed_records("+15550177", 1)
        assert (mine["caller"], mine["called"], mine["outcome"]) == ("+15550177", AGENT, "answered")
        (left, _), rate = _read(phones.fetch(f"/v1/calls/{mine['call_id']}/recording"))
        assert _strength(left[rate : 2 * rate], rate, CALLER_HZ) > 0.9
    await devices(phones, 0)  # it has unregistered as it ended
    assert phones.complaints() == []


async def test_a_wrong_password(phones: RunningGateway, tmp_path: Path) -> None:
    folder = tmp_path / "baresip"
    account(folder, phones, password="guessed")
    async with baresip(folder):
        await until(lambda: "403 Forbidden" in (folder / "log").read_text(errors="replace"), 8, what="the refusal")
    assert phone(phones)["devices"] == []
    assert [entry["phone"] for entry in phones.log() if entry["event"] == "phone_wrong_password"]


async def test_two_devices_ring_and_one_has_the_call(phones: RunningGateway, tmp_path: Path) -> None:
    account(tmp_path / "answers", phones)
    account(tmp_path / "rings", phones, answers=False)
    async with baresip(tmp_path / "answers"), baresip(tmp_path / "rings"):
        await devices(phones, 2)
        async with caller_of(phones) as (_, call):
            assert await transferred(phones, call) == "transferred"

            def cancelled() -> bool:
                return "session closed" in (tmp_path / "rings" / "log").read_text(errors="replace").lower()

            await until(cancelled, 5, what="the end of the other's ringing")
            await call.hang_up()
        record = await phones.record(call.call_id)
        assert [leg["outcome"] for leg in record["legs"] if leg["role"] == "human"] == ["answered"]
        await phones.idle()


async def test_one_that_is_killed_over_tcp_is_gone_at_once(phones: RunningGateway, tmp_path: Path) -> None:
    account(tmp_path / "baresip", phones, transport="tcp")
    async with baresip(tmp_path / "baresip") as process:
        await devices(phones, 1)
        process.kill()
        await devices(phones, 0, seconds=2)
    async with caller_of(phones) as (_, call):
        assert await transferred(phones, call) == "failed"
        await call.hang_up()


async def test_one_that_falls_silent_over_udp_is_not_called(phones: RunningGateway, tmp_path: Path) -> None:
    account(tmp_path / "baresip", phones)
    async with baresip(tmp_path / "baresip") as process:
        await devices(phones, 1)
        os.kill(process.pid, signal.SIGSTOP)
        async with caller_of(phones) as (_, call):
            assert await transferred(phones, call) == "no_answer"  # noticed by the call itself
            assert not phone(phones)["reachable"]
            await call.hang_up()
        os.kill(process.pid, signal.SIGCONT)
        await until(lambda: phone(phones)["reachable"], 12, what="its answer to OPTIONS")


async def test_registrations_survive_a_restart_of_the_gateway(start_gateway: StartGateway, tmp_path: Path) -> None:
    (tmp_path / "anna").write_text(USERS["anna"])
    port = free_port()
    sip = {
        "listen": [f"udp://127.0.0.1:{port}"],
        "phones": {"users": [{"name": "anna", "password": {"file": str(tmp_path / "anna")}}]},
    }
    first = start_gateway(sip=sip)
    account(tmp_path / "baresip", first, regint=3600)
    async with baresip(tmp_path / "baresip"):
        (before,) = await devices(first, 1)
        await asyncio.sleep(0.5)
        first.kill()
        second = RunningGateway(first.folder, sip=sip, store=f"sqlite:///{first.folder}/trunkline.db").start()
        try:
            (after,) = phone(second)["devices"]
            assert (after["source"], after["uri"]) == (before["source"], before["uri"])
            await until(lambda: phone(second)["devices"][0]["round_trip_ms"] is not None, 8, what="its answer")
        finally:
            second.stop()


async def test_a_phone_is_called_over_rest(phones: RunningGateway, tmp_path: Path) -> None:
    body = {"to": "phone:anna", "persona": "enemy_personas.Talker"}
    status, answer, _ = await ask(phones, "POST", "/v1/calls", body)
    assert (status, answer["type"].rpartition(":")[2]) == (503, "not_registered"), answer
    status, answer, _ = await ask(phones, "POST", "/v1/calls", {**body, "to": "phone:nobody"})
    assert (status, answer["type"].rpartition(":")[2]) == (422, "invalid_target"), answer
    account(tmp_path / "baresip", phones)
    async with baresip(tmp_path / "baresip") as process:
        await devices(phones, 1)
        status, answer, _ = await ask(phones, "POST", "/v1/calls", body)
        assert status == 202, answer

        def record() -> dict[str, Any]:
            found = [call for call in phones.calls() if call["call_id"] == answer["call_id"]]
            return found[0] if found else {"answered_at": None, "outcome": None}

        await until(lambda: record()["answered_at"], 8, what="the answer")
        await press(process, b"b")
        await until(lambda: record()["outcome"], 8, what="the end")
        assert phones.get(f"/v1/calls/{answer['call_id']}")["outcome"] == "answered"


async def test_a_phone_supervises_by_dialling_a_number_if_it_may(phones: RunningGateway, tmp_path: Path) -> None:
    account(tmp_path / "boss", phones)
    account(tmp_path / "other", phones, name="bob")
    async with baresip(tmp_path / "boss") as boss, baresip(tmp_path / "other") as other:
        await devices(phones, 1)
        await devices(phones, 1, "bob")
        async with caller_of(phones) as (_, call):
            await press(other, f"/dial {phones.uri('*90')}\n".encode())
            (refused,) = await phones.closed_records("bob", 1)
            assert (refused["outcome"], refused["sip_status"]) == ("refused", 403)
            await press(boss, f"/dial {phones.uri('*90')}\n".encode())

            def listens() -> bool:
                found = phones.attempts(call.call_id)
                events = phones.get(f"/v1/calls/{found[0]['call_id']}")["events"] if found else []
                return any(event["type"] == "supervisor_joined" for event in events)

            await until(listens, 10, what="the supervisor")
            await press(boss, b"4")  # takes over
            await asyncio.sleep(2)
            await press(boss, b"b")
            await asyncio.sleep(1)
            await call.hang_up()
        record = await phones.record(call.call_id)
        modes = [event["mode"] for event in record["events"] if event["type"].startswith("supervisor_")]
        assert modes == ["listen", "take_over"]
        await phones.idle()
    assert phones.complaints() == []


LINPHONE = """[sip]
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
default_proxy=0
ping_with_options=0
media_encryption=none
[rtp]
audio_rtp_port={rtp}
[sound]
playback_dev_id=null
capture_dev_id=null
[auth_info_0]
username=anna
passwd={password}
realm=trunkline
[proxy_0]
reg_proxy=<sip:127.0.0.1:{gateway};transport=udp>
reg_identity=sip:anna@127.0.0.1
reg_expires=60
reg_sendregister=1
publish=0
"""


async def test_linphone_registers_and_is_called(phones: RunningGateway, tmp_path: Path) -> None:
    rtp = free_rtp_range(100).partition("-")[0]
    (tmp_path / ".local/share/linphone").mkdir(parents=True)
    config = tmp_path / "linphonerc"
    config.write_text(LINPHONE.format(port=free_port(), rtp=rtp, password=USERS["anna"], gateway=phones.udp))
    log = (tmp_path / "linphone.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        "linphonec", "-a", "-c", str(config), "-d", "0", stdin=asyncio.subprocess.PIPE, stdout=log,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        (device,) = await devices(phones, 1, seconds=15)
        assert "inphone" in device["agent"]
        async with caller_of(phones) as (_, call):
            assert await transferred(phones, call) == "transferred"
            await call.hang_up()
        await phones.idle()
        await press(process, b"quit\n")
        await devices(phones, 0, seconds=10)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log.close()


SIPP = """<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="register">
{steps}
</scenario>
"""
REGISTER = """<send><![CDATA[

REGISTER sip:127.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 192.168.77.2:5060;rport;branch=[branch]
Max-Forwards: 70
From: <sip:bob@127.0.0.1>;tag=[call_number]
To: <sip:bob@127.0.0.1>
Call-ID: [call_id]
CSeq: {cseq} REGISTER
Contact: <sip:bob@192.168.77.2:5060>;expires={expires}
{more}Content-Length: 0

]]></send>
<recv response="{status}"{auth}></recv>
"""


def register(cseq: int, status: int, expires: int, *, password: str = "", auth: bool = False) -> str:
    """`auth`: the answer has a challenge that is used afterwards."""
    more = f"[authentication username=bob password={password}]\n" if password else ""
    use = ' auth="true"' if auth else ""
    return REGISTER.format(cseq=cseq, status=status, expires=expires, more=more, auth=use)


async def sipp(folder: Path, gateway: RunningGateway, *steps: str) -> None:
    (folder / "register.xml").write_text(SIPP.format(steps="\n".join(steps)))
    process = await asyncio.create_subprocess_exec(
        "sipp", "-sf", str(folder / "register.xml"), "-m", "1", "-i", "127.0.0.1", "-p", str(free_port()), "-nostdin",
        "-recv_timeout", "5000", "-trace_err", "-error_file", str(folder / "sipp.errors"),
        f"127.0.0.1:{gateway.udp}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    errors = folder / "sipp.errors"
    assert await asyncio.wait_for(process.wait(), 20) == 0, errors.read_text() if errors.exists() else ""


async def test_sipp_behind_a_nat_registers_refreshes_and_unregisters(phones: RunningGateway, tmp_path: Path) -> None:
    mine = USERS["bob"]
    await sipp(tmp_path, phones, register(1, 401, 60, auth=True), register(2, 200, 60, password=mine))
    (device,) = phone(phones, "bob")["devices"]
    assert device["uri"] == "sip:bob@192.168.77.2:5060"
    assert device["source"].startswith("udp:127.0.0.1:")  # where it really is
    again = [register(1, 401, 60, auth=True), register(2, 200, 60, password=mine), register(3, 200, 0, password=mine)]
    await sipp(tmp_path, phones, *again)
    assert phone(phones, "bob")["devices"] == []


async def test_sipp_registers_for_too_short_a_time_and_guesses(phones: RunningGateway, tmp_path: Path) -> None:
    mine = USERS["bob"]
    await sipp(tmp_path, phones, register(1, 401, 5, auth=True), register(2, 423, 5, password=mine))
    await sipp(
        tmp_path,
        phones,
        register(1, 401, 60, auth=True),
        *(register(n, 403, 60, password="wrong") for n in range(2, 8)),
    )
    banned = [entry["banned"] for entry in phones.log() if entry["event"] == "phone_wrong_password"]
    assert banned == [False] * 4 + [True]  # the sixth was not looked at
    assert phones.metrics()["trunkline_phone_bans"] == 1


async def test_it_expires_without_a_refresh(phones: RunningGateway, tmp_path: Path) -> None:
    await sipp(tmp_path, phones, register(1, 401, 10, auth=True), register(2, 200, 10, password=USERS["bob"]))
    assert len(phone(phones, "bob")["devices"]) == 1
    await devices(phones, 0, "bob", seconds=12)

    def reasons() -> list[str]:
        return [entry["why"] for entry in phones.log() if entry["event"] == "phone_gone"]

    assert await until(reasons, 3, what="its end in the log") == ["expired"]


def test_who_sends_nonsense_gets_an_answer(phones: RunningGateway) -> None:
    text = (
        "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
        "From: <sip:anna@127.0.0.1>;tag=1\r\nTo: <sip:anna@127.0.0.1>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n"
        "Authorization: Digest nonsense\r\nContact: *\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.sendto(text.encode(), ("127.0.0.1", phones.udp))
        assert sock.recv(4096).startswith(b"SIP/2.0 403 ")


async def test_baresip_hands_the_caller_on_to_another_registered_phone(phones: RunningGateway, tmp_path: Path) -> None:
    """By its transfer key: a REFER to `sip:bob` at our own address."""
    for name in ("anna", "bob"):
        account(tmp_path / f"baresip-{name}", phones, name=name)
    async with baresip(tmp_path / "baresip-anna") as anna, baresip(tmp_path / "baresip-bob"):
        await devices(phones, 1)
        await devices(phones, 1, "bob")
        async with caller_of(phones) as (_, call):
            assert await transferred(phones, call) == "transferred"
            await asyncio.sleep(1)
            await press(anna, f"/transfer sip:bob@127.0.0.1:{phones.udp}\n".encode())
            call_id = phones.attempts(call.call_id)[0]["call_id"]

            def outcomes() -> list[str]:
                return [each["outcome"] for each in phones.get(f"/v1/calls/{call_id}")["transfers"]]

            await until(lambda: outcomes() == ["transferred", "transferred"], 10, what="bob has the caller")
            await asyncio.sleep(1.5)
            await call.hang_up()
        record = await phones.record(call.call_id)
        await phones.idle()
    assert [leg["called"] for leg in record["legs"] if leg["role"] == "human"] == ["phone:anna", "phone:bob"]
    assert record["legs"][2]["media"]["packets_received"] > 40
