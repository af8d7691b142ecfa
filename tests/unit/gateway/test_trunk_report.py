"""The state of trunks: with times of day, over REST, and on a terminal."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from gateway.commands import trunks as command
from gateway.outbound.caps import CapState
from gateway.outbound.trunks import TrunkState
from gateway.rest_client import RestClient
from gateway.trunk_keys import TrunkKeysState
from gateway.trunk_report import TrunkReport, trunk_reports
from telephony.edge import PlaceStatus, Refusal, TlsFailure, TrunkStatus
from telephony.sip.probing import ProbeStatus, Reachability
from telephony.sip.registration import RegistrationState, RegistrationStatus
from telephony.sip.resolving import Place
from tests.unit.api.asking import Asker

FULL = CapState(placed=3, came_in=1, calls=3, calls_per_second=0.5, waiting=2, refused=1)
EMPTY = CapState(placed=0, came_in=0, calls=None, calls_per_second=None, waiting=0, refused=0)
FIXED = TrunkKeysState("info")
NOW = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
ONE, TWO = Place("udp", "192.0.2.1", 5060, "sip.carrier.example"), Place("tcp", "2001:db8::1", 5070)
UP = ProbeStatus(Reachability.UP, 200, 12.345, 995.0)
DOWN = ProbeStatus(Reachability.DOWN, 0, None, 0.0)
REGISTERED = RegistrationStatus(RegistrationState.REGISTERED, 1600.0, 200, "", 1450.0)
REFUSED = RegistrationStatus(RegistrationState.WAITING, 0.0, 401, "401 Unauthorized: refused", 1060.0)


def reports(registration: RegistrationStatus | None = REGISTERED, first: ProbeStatus = UP) -> tuple[TrunkReport, ...]:
    hosts = (PlaceStatus(ONE, first, 900.0), PlaceStatus(TWO, DOWN, 1030.0))
    refusals = (Refusal(940.0, TWO, 503, "Service Unavailable"), Refusal(950.0, TWO, 0, "no answer"))
    statuses = (TrunkStatus("carrier", hosts, registration, ONE, refusals), TrunkStatus("plain", (), None, None, ()))
    states = {"carrier": TrunkState(FULL, 1060.0), "plain": TrunkState(EMPTY, 0.0)}
    keys = TrunkKeysState("auto", {"rfc4733": 3, "info": 0, "inband": 8}, {"rfc4733": 1, "info": 0, "inband": 2}, 2, 0)
    keys.latest = "inband"
    return trunk_reports(
        statuses, ["carrier", "carrier", "other"], states, 1000.0, NOW, keys={"carrier": keys, "plain": FIXED}
    )


def test_times_are_times_of_day() -> None:
    carrier, plain = reports()
    assert carrier.calls == 2
    assert carrier.registration is not None
    assert carrier.registration.registered_until == NOW + timedelta(seconds=600)
    assert carrier.registration.registrar == "udp:192.0.2.1:5060"
    one, two = carrier.hosts
    assert (one.state, one.round_trip_ms, one.answered_at) == ("up", 12.3, NOW - timedelta(seconds=5))
    assert one.passed_over_until is None  # that is over
    assert (two.host, two.passed_over_until) == ("tcp:[2001:db8::1]:5070", NOW + timedelta(seconds=30))
    assert [refusal.status for refusal in carrier.refusals] == [503, None]
    assert (plain.registration, plain.hosts, plain.calls, plain.passed_over_until) == (None, (), 0, None)
    assert (carrier.load.placed, carrier.load.came_in, carrier.load.cap) == (3, 1, 3)
    assert carrier.passed_over_until == NOW + timedelta(seconds=60)


def test_the_ways_of_their_keys() -> None:
    carrier, plain = reports()
    assert carrier.keys is not None and plain.keys is not None
    assert carrier.keys.presses == {"rfc4733": 3, "info": 0, "inband": 8}
    assert (carrier.keys.agreed_but_not_used, carrier.keys.latest, carrier.keys.listens_in_band) == (2, "inband", True)
    assert (plain.keys.setting, plain.keys.latest, plain.keys.listens_in_band) == ("info", None, False)


def test_what_is_not_planned_has_no_time() -> None:
    ended = RegistrationStatus(RegistrationState.ENDED, 0.0, 0, "", math.inf)
    registration = reports(ended)[0].registration
    assert registration is not None
    assert (registration.next_at, registration.registered_until, registration.status) == (None, None, None)


async def test_the_api_tells_of_them(tmp_path: Any) -> None:
    asker = Asker(tmp_path, trunks=reports)
    answer = await asker.get("/v1/trunks")
    assert answer.status == 200
    body = json.loads(answer.body)  # type: ignore[attr-defined]
    assert [trunk["name"] for trunk in body["trunks"]] == ["carrier", "plain"]


@pytest.mark.parametrize(
    ("registration", "first", "code", "text"),
    [
        (REGISTERED, UP, 0, "host udp:192.0.2.1:5060 (sip.carrier.example), up, OPTIONS 200 in 12.3 ms"),
        (REFUSED, UP, 1, "not registered (waiting), at udp:192.0.2.1:5060: 401 Unauthorized: refused; next try at"),
        (REGISTERED, DOWN, 1, "host udp:192.0.2.1:5060 (sip.carrier.example), down"),
    ],
)
def test_the_command_shows_them_and_its_exit_code_says_whether_all_is_well(
    registration: RegistrationStatus,
    first: ProbeStatus,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pydantic import TypeAdapter

    found = TypeAdapter(tuple[TrunkReport, ...]).dump_python(reports(registration, first), mode="json")
    monkeypatch.setattr(RestClient, "get_json", lambda self, path: {"trunks": found} if path == "/v1/trunks" else {})
    import argparse

    assert command.run(argparse.Namespace(url="http://127.0.0.1:1", key=None, json=False)) == code
    shown = capsys.readouterr().out
    assert text in shown
    assert "carrier: 2 calls, at most 3 at once, 0.5 new ones a second, 2 waiting, 1 refused, as it was full" in shown
    assert (
        "  keys: 3 by RFC 4733, 8 by tone; in 2 calls telephone-event was agreed on, but not used; tones are li"
        in shown
    )
    assert "  keys: none yet; set to INFO; tones are not listened for\n" in shown
    assert "plain: 0 calls\n" in shown and "  tried last until " in shown
    assert "carrier: 2 calls" in shown and "by tcp:[2001:db8::1]:5070: 503 Service Unavailable" in shown


def test_tls_failures_calls_turned_away_and_certificates_are_shown() -> None:
    failures = (TlsFailure(940.0, "192.0.2.1:5061", "certificate has expired"),)
    away = (Refusal(950.0, Place("tls", "192.0.2.1", 5061), 488, "SRTP is required"),)
    statuses = [TrunkStatus(name, (), None, None, (), failures, away) for name in ("own", "other")]
    states = {name: TrunkState(EMPTY, 0.0) for name in ("own", "other")}
    expiries = {"": NOW + timedelta(days=9), "own": NOW + timedelta(days=3)}
    own, other = trunk_reports(statuses, [], states, 1000.0, NOW, expiries)
    assert (own.certificate_expires_at, other.certificate_expires_at) == (expiries["own"], expiries[""])
    assert own.tls_failures[0].at == NOW - timedelta(seconds=60)
    lines = command._lines(TypeAdapter(TrunkReport).dump_python(own, mode="json"))
    assert "TLS failed at" in lines[1] and lines[1].endswith(" with 192.0.2.1:5061: certificate has expired")
    assert "turned away at" in lines[2] and lines[2].endswith(" from tls:192.0.2.1:5061: 488 SRTP is required")
    assert lines[3] == "  our certificate expires on 2026-11-30"
