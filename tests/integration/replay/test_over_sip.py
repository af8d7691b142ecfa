"""Recorded callers over real SIP and RTP, against their own gateways with the real offline providers."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.testing.fixture_format import load_fixture
from agent.testing.replay import replay
from gateway.rest_client import RestClient, RestError
from gateway.sip_replay import OwnGateway, SipTarget, own_gateway, replay_over_sip
from telephony.media.level import dbfs
from telephony.media.wav import read_channels

ROOT = Path(__file__).parents[3]
AUDIO = ROOT / "tests" / "fixtures" / "audio"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def gateway() -> AsyncIterator[OwnGateway]:
    async with own_gateway(load_fixture(AUDIO / "dtmf_order")) as own:
        yield own


async def trunkline(*arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    """The command in a process of its own: the gateway shares this one's loop."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *arguments, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


async def test_a_call_is_judged_by_the_gateways_own_events(gateway: OwnGateway) -> None:
    result = await replay_over_sip(load_fixture(AUDIO / "hangs_up"), gateway)
    result.assert_as_recorded()
    assert result.ended_by == "caller"
    assert dbfs(result.audio[0]) > -40 and dbfs(result.audio[1]) > -40, "both sides were heard"


async def test_a_refused_call_is_told(gateway: OwnGateway) -> None:
    fixture = load_fixture(AUDIO / "hangs_up")
    result = await replay_over_sip(replace(fixture, number="+15559999"), gateway)
    assert not result.passed and "not answered: 404" in result.report()


async def test_a_running_gateway_is_judged_by_its_records_and_makes_fixtures(
    gateway: OwnGateway, tmp_path: Path
) -> None:
    url = gateway.gateway.api.url
    code, out, err = await trunkline(
        "replay", str(AUDIO / "dtmf_order"), "--sip", "--target", gateway.host, "--url", url, "--json"
    )
    assert code == 0, out + err
    assert json.loads(out)["calls"][0]["passed"] is True

    rest = RestClient(url)
    (call,) = (await asyncio.to_thread(rest.get_json, "/v1/calls"))["calls"]
    made = tmp_path / "made"
    code, out, err = await trunkline("record-fixture", call["call_id"], "--url", url, "--out", str(made))
    assert code == 0, out + err
    assert "it replays as recorded" in out and "contains a person's voice" in out
    again = await asyncio.to_thread(replay, made)
    again.assert_as_recorded()
    calls = [event.fields["arguments"] for event in again.events if event.type == "function_call"]
    assert {"order": "48115"} in calls

    code, _, err = await trunkline("record-fixture", "nothing", "--url", url, "--out", str(tmp_path / "none"))
    assert code == 1 and "404" in err
    with pytest.raises(RestError):
        await asyncio.to_thread(rest.call, "nothing")


async def test_a_target_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sip_replay.ANSWER_LIMIT_S", 0.5)
    target = SipTarget("127.0.0.1:9", RestClient("http://127.0.0.1:9"))
    async with asyncio.timeout(5):
        result = await replay_over_sip(load_fixture(AUDIO / "hangs_up"), target)
    assert "not answered: nothing for 0.5 s from 127.0.0.1:9" in result.report()


async def test_call_plays_and_writes(gateway: OwnGateway, tmp_path: Path) -> None:
    wav = tmp_path / "both.wav"
    code, _, err = await trunkline(
        "call", "+15550123", "--target", gateway.host, "--fixture", str(AUDIO / "hangs_up"), "--wav", str(wav)
    )
    assert code == 0 and "answered after" in err and "ended by us" in err, err
    ours, theirs = read_channels(wav)
    assert dbfs(ours) > -45 and dbfs(theirs) > -40


async def test_call_of_an_unknown_number(gateway: OwnGateway) -> None:
    code, _, err = await trunkline("call", "+15559999", "--target", gateway.host, "--dtmf", "1")
    assert code == 1 and "not answered: 404" in err


async def test_call_with_a_live_caller(gateway: OwnGateway) -> None:
    silence = bytes(2 * 8000 * 3)
    process = await trunkline(
        "call", "sip:+15550201@" + gateway.host, "--live", "-", "--from", "+12025550146", stdin=silence
    )
    assert process[0] == 0 and "ended by us" in process[2], process[2]
    assert len(process[1]) > 10_000, "what was heard went to standard output"


def demo_settings(folder: Path) -> str:
    """The root demo.yaml with its records in `folder` and RTP ports that no other test uses."""
    text = (ROOT / "demo.yaml").read_text()
    for old, new in (
        ("sqlite:///var/trunkline.db", f"sqlite:///{folder}/calls.db"),
        ("var/recordings", f"{folder}/recordings"),
        ("20000-29999", "18000-18199"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "demo.yaml").write_text(text)
    return str(folder / "demo.yaml")


async def test_the_demo(tmp_path: Path) -> None:
    code, out, err = await trunkline("demo", "--config", demo_settings(tmp_path), "--sip-port", "0", "--http-port", "0")
    assert code == 0, out + err
    for words in ("agent: Sunrise Clinic", "caller: ", "tool: book -> ", "latency of turn 1", "went as", "recording"):
        assert words in out, out
    (recording,) = (tmp_path / "recordings").rglob("*.wav")
    assert str(recording) in out
    left, right = read_channels(recording)
    assert dbfs(left) > -45 and dbfs(right) > -40


async def test_the_demo_says_which_port_is_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, _, err = await trunkline(
            "demo", "--config", demo_settings(tmp_path), "--sip-port", str(port), "--http-port", "0"
        )
    assert code == 1
    assert f"udp://127.0.0.1:{port} is already in use" in err
