"""`trunkline livekit` and `trunkline check` used with mistakes, on a real LiveKit server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from livekit import api as livekit_api
from sip_parts import empty_rooms, sip_api

from gateway.cli import main
from telephony.phone import Phone

SETTINGS = """
sip: {{listen: ["udp://127.0.0.1:0"], trunks: [{{name: local, allow: ["127.0.0.0/8"]}}]}}
rooms: livekit
livekit:
  url: {url}
  api_key: {{env: LIVEKIT_TEST_KEY}}
  api_secret: {{env: LIVEKIT_TEST_SECRET}}
  outbound: [{{name: carrier, address: "{carrier}", numbers: ["+15550100"], transport: udp}}]
dialplans: [plan.yaml]
"""


@pytest.fixture(autouse=True)
async def settings(livekit_stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIVEKIT_TEST_KEY", livekit_stack.api_key)
    monkeypatch.setenv("LIVEKIT_TEST_SECRET", livekit_stack.api_secret)
    (tmp_path / "personas.py").write_text("from agent import Agent\n\n\nclass P(Agent):\n    pass\n")
    (tmp_path / "plan.yaml").write_text('numbers:\n  "+15550100": personas.P\n')
    write(livekit_stack.url)
    yield
    async with sip_api(livekit_stack):
        await empty_rooms(livekit_stack)


def write(url: str, carrier: str = "127.0.0.1:9") -> None:
    Path("settings.yaml").write_text(SETTINGS.format(url=url, carrier=carrier))


async def trunkline(*words: str) -> int:
    return await asyncio.to_thread(main, [*words, "--config", "settings.yaml"])


async def rooms(stack: Any) -> list[str]:
    async with livekit_api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as api:
        return [room.name for room in (await api.room.list_rooms(livekit_api.ListRoomsRequest())).rooms]


async def test_check_says_that_livekit_can_be_used_or_why_not(
    livekit_stack: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await trunkline("check") == 0
    told = capsys.readouterr()
    assert f"LiveKit at {livekit_stack.url}: ok" in told.out and not told.err
    monkeypatch.setenv("LIVEKIT_TEST_SECRET", "another" * 6)
    assert await trunkline("check") == 0, "it may be mended before the gateway is started"
    told = capsys.readouterr()
    assert "must be a pair in the `keys`" in told.err and "LiveKit at" not in told.out


async def test_an_address_with_a_path_is_named_as_the_mistake(
    livekit_stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write(f"{livekit_stack.url}/rtc")
    for words in (("check",), ("livekit", "plan")):
        await trunkline(*words)
        assert "livekit.url must be the server's own address" in capsys.readouterr().err


async def test_a_call_that_is_not_answered_leaves_no_room(
    livekit_stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Phone(user="callee") as phone:
        write(livekit_stack.url, f"127.0.0.1:{phone.address[1]}")
        assert await trunkline("livekit", "sync", "--yes", "--json") == 0
        capsys.readouterr()
        calling = asyncio.create_task(trunkline("livekit", "call", "+15550123", "--json"))
        invited = await phone.incoming()
        assert len(await rooms(livekit_stack)) == 1
        await invited.reject(486, "Busy Here")
        assert await calling == 1
        assert json.loads(capsys.readouterr().out)["outcome"] == "busy"
        assert await rooms(livekit_stack) == []


async def test_a_transfer_of_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert await trunkline("livekit", "transfer", "no-such-room", "sip_1", "+15550199", "--json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "LiveKit SIP has no phone with this identity in this room" in error
    assert "twirp" not in error
