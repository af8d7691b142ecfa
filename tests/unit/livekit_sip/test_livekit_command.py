"""`trunkline livekit`: mistakes are reported before LiveKit is asked, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands.livekit import _report
from telephony.call import OutcomeKind
from telephony.errors import TelephonyMisuse
from telephony.livekit.errors import LiveKitUnreachable, connect_error, no_such_path
from telephony.livekit.trunk.desired import Carrier, desired_objects
from telephony.livekit.trunk.dialing import LiveKitSipTrunk, transfer
from telephony.livekit.trunk.fakes import FakeSipApi
from telephony.livekit.trunk.plan import make_plan

SETTINGS = """
sip: {listen: ["udp://127.0.0.1:0"], trunks: [{name: a, allow: ["192.0.2.0/24"]}]}
dialplans: [plan.yaml]
LIVEKIT
"""
LIVEKIT = 'livekit: {url: "URL", api_key: {env: LK_KEY}, api_secret: {env: LK_SECRET}}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LK_KEY", "k")
    monkeypatch.setenv("LK_SECRET", "s" * 32)
    Path("personas.py").write_text("from agent import Agent\n\n\nclass P(Agent):\n    pass\n")
    Path("plan.yaml").write_text('numbers:\n  "+15550100": personas.P\n')
    return tmp_path


@pytest.mark.parametrize("words", [["plan"], ["sync", "--yes"], ["call", "+1"], ["transfer", "r", "i", "+1"]])
@pytest.mark.parametrize(
    ("livekit", "complaint"),
    [
        ("", "the settings have no `livekit` section (url, api_key, api_secret)"),
        (LIVEKIT.replace("URL", "http://h"), 'livekit.url: must begin with ws:// or wss://, as in "ws://127.0.0.1:'),
        (LIVEKIT.replace("URL", "ws://h").replace("LK_KEY", "NO_SUCH_KEY"), "NO_SUCH_KEY is not set"),
    ],
)
def test_settings_that_cannot_be_used(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], livekit: str, complaint: str
) -> None:
    if "NO_SUCH_KEY" in complaint and words[0] == "call":
        complaint = "no carrier to call through"  # that comes first
    (folder / "settings.yaml").write_text(SETTINGS.replace("LIVEKIT", livekit))
    assert main(["livekit", *words, "--config", "settings.yaml"]) == 2
    told = capsys.readouterr()
    assert complaint in told.err and not told.out
    assert main(["livekit", *words, "--config", "settings.yaml", "--json"]) == 2
    told = capsys.readouterr()
    assert complaint in json.loads(told.out)["error"] and complaint in told.err


def test_a_plan_for_machines_has_what_people_are_shown_and_no_password() -> None:
    carrier = Carrier("main", "sip.example.net", ("+15550100",), "tls", "me", "swordfish")
    plan = make_plan(desired_objects(["+15550100"], [], [], [carrier], "agents", "secret").objects, [])
    report = _report(plan, (), applied=False)
    outbound = next(each for each in report["actions"] if each["kind"] == "outbound trunk")
    assert outbound["verb"] == "create"
    assert outbound["fields"] == {
        "address": "sip.example.net", "numbers": "+15550100", "transport": "tls", "username": "me", "password": "(set)",
    }  # fmt: skip
    assert "swordfish" not in json.dumps(report)


async def test_calls_that_cannot_be_meant() -> None:
    sip = FakeSipApi(())
    trunk = LiveKitSipTrunk(sip, "main")
    with pytest.raises(TelephonyMisuse, match="invalid caller 'not a number'"):
        await trunk.call("+15550123", "room", "sip_1", caller="not a number")
    for room, identity in (("", "sip_1"), ("room", "")):
        with pytest.raises(TelephonyMisuse, match="a call needs a room name and an identity"):
            await trunk.call("+15550123", room, identity)
        with pytest.raises(TelephonyMisuse, match="a transfer needs the caller's room name"):
            await transfer(sip, room, identity, "+15550199")
    assert not sip.dialed
    assert (await transfer(sip, "room", "sip_1", "+15550199")).kind is OutcomeKind.ANSWERED


def test_messages_are_about_livekit_and_not_about_our_library() -> None:
    error = connect_error("ws://h:1", "Cannot connect to host h:1 ssl:default [Connect call failed ('h', 1)]")
    assert isinstance(error, LiveKitUnreachable)
    assert "Cannot connect to host h:1 [Connect call failed" in str(error)
    assert "livekit.url must be the server's own address" in str(no_such_path("ws://h/rtc"))
