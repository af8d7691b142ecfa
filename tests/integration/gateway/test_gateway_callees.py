"""Calls that we place, against sipp: each answer of a carrier, and what becomes of the call, on record with its status
and cause."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
from gateway_process import RunningGateway, until
from sipp_callee import ANSWER, GOODBYE, answer, callee, described, hears, leaves, pause, says
from test_gateway_outbound import TO, ask, closed_record, plan

from telephony.media.g711 import encode_ulaw
from telephony.media.tones import tone
from telephony.media.wav import read_channels
from tests.free_ports import free_port

NAMES = ("plain", "account", "first", "second", "proxy", "reliable", "refreshes", "caller")


class Carriers:
    """A gateway with a trunk for each kind of carrier, each on a port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port(socket.SOCK_DGRAM) for name in NAMES}
        (folder / "password").write_text("zanzibar")
        account = {"username": "bob", "password": {"file": str(folder / "password")}}
        second = {"host": "127.0.0.1", "port": self.ports["second"], "transport": "udp"}
        proxy = {"host": "127.0.0.1", "port": self.ports["proxy"], "transport": "udp"}
        trunks = [
            self._trunk("plain"),
            self._trunk("account", account=account),
            self._trunk("first", out={"fail_over": [second], "answer_s": 0.5}),
            self._trunk("proxy", out={"host": "carrier.example", "port": None, "proxy": proxy}),
            self._trunk("reliable", reliable_provisional="required"),
            self._trunk("refreshes", session_timer={"expires_s": 90, "refresher": "us"}),
        ]
        self.gateway = RunningGateway(
            folder,
            sip={"trunks": trunks},
            calls={"media_alarm_s": 1.0, "first_media_s": 6.0},
            **plan(folder),
        )

    def _trunk(self, name: str, out: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        number = NAMES.index(name) + 1
        outbound = {"host": "127.0.0.1", "port": self.ports[name], "destinations": ["+1555700"], "caller": "+15550120"}
        outbound |= {"transport": "udp", **(out or {})}
        outbound = {key: value for key, value in outbound.items() if value is not None}
        return {"name": name, "allow": [f"127.0.0.{number}/32"], "region": "US", "outbound": outbound, **more}

    async def order(self, trunk: str = "plain", **more: Any) -> str:
        body = {"to": TO, "persona": "reminder.Reminder", "trunk": trunk, **more}
        status, placed, _ = await ask(self.gateway, "POST", "/v1/calls", body)
        assert status == 202, placed
        return str(placed["call_id"])

    async def called(self, *steps: str, trunk: str = "plain", **more: Any) -> dict[str, Any]:
        """The record of a call that goes as sipp's steps say."""
        async with callee(self.folder, self.ports[trunk], *steps):
            call_id = await self.order(trunk, **more)
        return await closed_record(self.gateway, call_id)

    async def answered(self, call_id: str) -> None:
        async def known() -> bool:
            try:
                found = await asyncio.to_thread(self.gateway.get, f"/v1/calls/{call_id}")
            except HTTPError:  # it is being written
                return False
            return bool(found["answered_at"])

        await until(known, what="an answer")


@pytest.fixture(scope="module")
def carriers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carriers]:
    made = Carriers(tmp_path_factory.mktemp("carriers"))
    made.gateway.start()
    yield made
    made.gateway.stop()


@pytest.fixture(autouse=True)
async def well(carriers: Carriers) -> AsyncIterator[None]:
    """After each call the gateway is idle and complains of nothing."""
    yield
    await carriers.gateway.idle()
    assert carriers.gateway.complaints() == []


def attempts(record: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(each["status"], each["q850_cause"]) for each in record["events"] if each["type"] == "dial_attempt"]


def ended(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["outcome"], record["sip_status"], record["q850_cause"]


# Refusals


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "cause"),
    [
        (484, (), "invalid_number", 28),
        (604, (), "invalid_number", 1),
        (503, ('Reason: Q.850;cause=1;text="Unallocated"',), "invalid_number", 1),
        (480, ("Reason: SIP;cause=480, Q.850;cause=17",), "busy", 17),
        (488, ("Warning: 304 x nothing",), "failed", 65),
    ],
)
async def test_a_refusal_has_its_status_and_its_cause(
    carriers: Carriers, status: int, headers: tuple[str, ...], outcome: str, cause: int
) -> None:
    record = await carriers.called(hears("INVITE"), says(100), says(status, *headers), hears("ACK"))
    assert ended(record) == (outcome, status, cause)
    assert attempts(record) == [(status, cause)]
    (leg,) = record["legs"]
    assert (leg["outcome"], leg["sip_status"], leg["q850_cause"]) == ended(record)


async def test_credentials_that_are_refused_are_not_sent_again(carriers: Carriers) -> None:
    asks = 'Proxy-Authenticate: Digest realm="carrier", nonce="{}", qop="auth"'
    once = hears("INVITE") + says(407, asks.format("n1")) + hears("ACK")
    again = hears("INVITE", has=['Proxy-Authorization: Digest username="bob"']).replace('"bob"', "&quot;bob&quot;")
    record = await carriers.called(once, again, says(407, asks.format("n2")), hears("ACK"), trunk="account")
    assert ended(record) == ("failed", 407, 21)


async def test_a_503_with_retry_after_passes_its_host_over(carriers: Carriers) -> None:
    busy = hears("INVITE") + says(486) + hears("ACK")
    full = hears("INVITE") + says(503, "Retry-After: 60") + hears("ACK")
    async with callee(carriers.folder, carriers.ports["second"], busy):
        record = await carriers.called(full, trunk="first")
    assert (ended(record), attempts(record)) == (("busy", 486, 17), [(503, 41), (486, 17)])
    async with callee(carriers.folder, carriers.ports["second"], busy):
        call_id = await carriers.order("first")
    assert attempts(await closed_record(carriers.gateway, call_id)) == [(486, 17)]


async def test_nothing_at_all_is_a_failure_and_not_an_unanswered_phone(carriers: Carriers) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", carriers.ports["plain"]))
        record = await closed_record(carriers.gateway, await carriers.order(ring_timeout_s=2))
    assert (record["outcome"], record["q850_cause"], record["ended_by"]) == ("failed", 38, "system")
    assert record["end_reason"] == "the destination does not answer"


# Redirections


async def test_a_302_to_a_host_of_the_trunk_is_followed(carriers: Carriers) -> None:
    port = carriers.ports["plain"]
    moved = hears("INVITE") + says(302, f"Contact: <sip:{TO}@127.0.0.1:{port};there=1>") + hears("ACK")
    record = await carriers.called(moved, hears("INVITE", has=["there=1 SIP"]), says(486), hears("ACK"))
    assert (ended(record), attempts(record)) == (("busy", 486, 17), [(302, 127), (486, 17)])


async def test_a_302_to_elsewhere_is_not_and_the_record_says_where(carriers: Carriers) -> None:
    moved = says(302, f"Contact: <sip:{TO}@203.0.113.9>")
    record = await carriers.called(hears("INVITE"), moved, hears("ACK"))
    assert record["outcome"] == "redirected" and record["sip_status"] == 302
    assert "203.0.113.9 is not a host of the trunk" in record["end_reason"]


# Ringing


async def test_who_rings_too_long_is_cancelled_and_not_before_a_word_of_theirs(carriers: Carriers) -> None:
    cancelled = hears("CANCEL", has=["Reason: Q.850;cause=19"]) + says(200, of="CANCEL") + says(487) + hears("ACK")
    record = await carriers.called(hears("INVITE"), pause(1500), says(180), cancelled, ring_timeout_s=2)
    assert (record["outcome"], record["q850_cause"], record["ended_by"]) == ("no_answer", 19, "system")


async def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up(carriers: Carriers) -> None:
    crossing = (
        hears("CANCEL")
        + says(200, of="CANCEL")
        + answer()
        + hears("ACK")
        + hears("BYE", has=["Q.850;cause=16"])
        + says(200, of="BYE")
    )
    record = await carriers.called(hears("INVITE"), says(180), crossing, ring_timeout_s=1)
    assert record["outcome"] == "no_answer" and record["answered_at"] is None


async def test_two_phones_ring_and_both_answer_the_second_is_hung_up(carriers: Carriers) -> None:
    fork = hears("INVITE") + says(180, tag="a") + says(183, tag="b", body=described()) + answer("a") + hears("ACK")
    second = answer("b") + hears("ACK", has=["tag=b"]) + hears("BYE", has=["tag=b"]) + says(200, of="BYE")
    goes = leaves("Reason: Q.850;cause=31", tag="a")
    record = await carriers.called(fork, second, goes)
    assert ended(record) == ("answered", 200, 31)
    assert record["ended_by"] == "caller"


async def test_the_other_phone_of_a_fork_may_answer(carriers: Carriers) -> None:
    fork = hears("INVITE") + says(183, tag="a", body=described()) + says(180, tag="b") + answer("b")
    record = await carriers.called(fork, hears("ACK", has=["tag=b"]), leaves(tag="b"))
    assert ended(record) == ("answered", 200, 16)


async def test_early_media_is_heard_and_not_talked_into(carriers: Carriers) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        port = media.getsockname()[1]
        early = (
            hears("INVITE")
            + says(183, body=described(port))
            + pause(1500)
            + answer(body=described(port))
            + hears("ACK")
        )
        async with callee(carriers.folder, carriers.ports["plain"], early, pause(1500), leaves()):
            call_id = await carriers.order()
            heard = await asyncio.to_thread(_play, media, 1.3)
        record = await closed_record(carriers.gateway, call_id)
    assert {"ringing", "agent_started_speaking"} <= {event["type"] for event in record["events"]}
    assert heard and all(set(packet[12:]) <= {0xFF, 0x7F, 0xD5} for packet in heard)  # silence
    caller, _ = read_channels(carriers.gateway.folder / "recordings" / record["recording"]["path"])
    loud = int(np.count_nonzero(np.abs(np.frombuffer(caller, "<i2").astype(int)) > 3000))
    assert loud > 4000  # of 8000 a second: the tone before the answer is on the recording


def _play(media: socket.socket, seconds: float) -> list[bytes]:
    """A tone to whoever sends audio; what came meanwhile."""
    media.settimeout(5)
    first, source = media.recvfrom(2048)
    heard = [first]
    sound = encode_ulaw(tone(440, seconds * 1000))
    media.settimeout(0.02)
    for number in range(int(seconds * 50)):
        header = bytes([0x80, 0]) + (number + 1).to_bytes(2, "big") + (160 * number).to_bytes(4, "big") + b"\1\2\3\4"
        media.sendto(header + sound[160 * number : 160 * number + 160], source)
        try:
            heard.append(media.recv(2048))
        except TimeoutError:
            continue
    return heard


# Answers


@pytest.mark.parametrize(
    ("body", "why"),
    [("", "the answer has no session description"), (described(codec="98 iLBC/8000"), "no codec in common")],
)
async def test_an_answer_that_cannot_be_used_is_ended_politely(carriers: Carriers, body: str, why: str) -> None:
    end = hears("BYE", has=["Reason: Q.850;cause=65"]) + says(200, of="BYE")
    record = await carriers.called(hears("INVITE"), answer(body=body), hears("ACK"), end)
    assert ended(record) == ("failed", 488, 65)
    assert why in record["end_reason"]


async def test_who_hangs_up_during_the_greeting_has_been_there(carriers: Carriers) -> None:
    record = await carriers.called(ANSWER, pause(1200), leaves('Reason: Q.850;cause=16;text="bye"'))
    assert (ended(record), record["ended_by"], record["end_reason"]) == (("answered", 200, 16), "caller", "bye")


async def test_a_bye_that_is_lost_is_sent_again(carriers: Carriers) -> None:
    lost = hears("BYE", has=["Reason: Q.850;cause=16"]) + pause(1300) + says(200, of="BYE")
    async with callee(carriers.folder, carriers.ports["plain"], ANSWER, lost) as messages:
        call_id = await carriers.order()
        await carriers.answered(call_id)
        await ask(carriers.gateway, "DELETE", f"/v1/calls/{call_id}")
    assert messages.read_text().count("\nBYE sip:callee@") >= 2
    record = await closed_record(carriers.gateway, call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "system")


async def test_a_callee_whose_audio_never_comes_is_greeted_noticed_and_hung_up(carriers: Carriers) -> None:
    record = await carriers.called(ANSWER, GOODBYE)
    assert (record["outcome"], record["ended_by"]) == ("answered", "system")
    assert "no RTP packet" in record["end_reason"]
    assert [alarm["kind"] for alarm in record["media_alarms"]][:1] == ["no_rtp"]
    assert "agent_started_speaking" in {event["type"] for event in record["events"]}


# Reliable ringing, long calls, outbound proxy


async def test_reliable_ringing_is_acknowledged(carriers: Carriers) -> None:
    rings = hears("INVITE", has=["Require: 100rel"]) + says(183, "Require: 100rel", "RSeq: 41", body=described())
    record = await carriers.called(
        rings, hears("PRACK", has=["RAck: 41 [0-9]+ INVITE"]), says(200, of="PRACK"), answer(body=""), hears("ACK"),
        leaves(), trunk="reliable",
    )  # fmt: skip
    assert ended(record) == ("answered", 200, 16)


async def test_a_session_that_is_too_short_is_asked_for_anew_and_refreshed(carriers: Carriers) -> None:
    short = hears("INVITE", has=["Session-Expires: 90;refresher=uac"]) + says(422, "Min-SE: 120") + hears("ACK")
    longer = hears("INVITE", has=["Session-Expires: 120;refresher=uac"]) + says(180)
    updates = ("Allow: INVITE, ACK, BYE, UPDATE", "Session-Expires: 3;refresher=uac")
    refresh = hears("UPDATE", has=["refresher=uac"]) + says(200, "Session-Expires: 3;refresher=uac", of="UPDATE")
    record = await carriers.called(
        short, longer, answer("a", *updates), hears("ACK"), refresh, leaves(), trunk="refreshes"
    )
    assert ended(record) == ("answered", 200, 16)


async def test_a_refresh_that_meets_a_reinvite_of_theirs_comes_again(carriers: Carriers) -> None:
    first = hears("INVITE") + answer("a", "Allow: INVITE, ACK, BYE", "Session-Expires: 6;refresher=uac") + hears("ACK")
    glare = hears("INVITE") + says(491, of="INVITE again") + hears("ACK")
    again = hears("INVITE") + says(200, "Session-Expires: 90;refresher=uac", of="INVITE again", body=described())
    record = await carriers.called(first, glare, again, hears("ACK"), hears("BYE"), says(200, of="BYE"))
    assert record["outcome"] == "answered"


async def test_a_call_whose_refresh_never_comes_is_ended(carriers: Carriers) -> None:
    end = hears("BYE", has=["Reason: Q.850;cause=102"]) + says(200, of="BYE")
    first = hears("INVITE") + says(180) + answer("a", "Session-Expires: 3;refresher=uas") + hears("ACK")
    record = await carriers.called(first, end)
    assert (record["outcome"], record["q850_cause"]) == ("answered", 102)
    assert (record["ended_by"], record["end_reason"]) == ("system", "its session was not refreshed")


async def test_calls_go_to_the_outbound_proxy_with_a_route_to_it(carriers: Carriers) -> None:
    port = carriers.ports["proxy"]
    asks = ["INVITE sip:.15557001234@carrier.example SIP", f"Route: .sip:127.0.0.1:{port};lr."]
    record = await carriers.called(hears("INVITE", has=asks), says(486), hears("ACK", has=["Route:"]), trunk="proxy")
    assert ended(record) == ("busy", 486, 17)


def test_it_registers_through_the_outbound_proxy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.settimeout(10)
        port = proxy.getsockname()[1]
        proxied = {"host": "127.0.0.1", "port": port, "transport": "udp"}
        out = {"host": "carrier.example", "proxy": proxied, "destinations": ["+1555700"]}
        registration = {"user": "bob", "domain": "carrier.example"}
        trunk = {"name": "carrier", "allow": ["127.0.0.9/32"], "outbound": out, "registration": registration}
        gateway = RunningGateway(tmp_path, sip={"trunks": [trunk]}, **plan(tmp_path))
        gateway.start()
        try:
            text = proxy.recv(4096).decode()
        finally:
            gateway.stop()
    lines = text.split("\r\n")
    assert lines[0] == "REGISTER sip:carrier.example SIP/2.0"
    assert f"Route: <sip:127.0.0.1:{port};lr>" in lines
