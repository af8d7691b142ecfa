"""`trunkline livekit` against the real LiveKit server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from livekit import api as livekit_api
from rooms import access_of
from sip_parts import CALLED, empty_rooms, sip_api, synchronise, wanted

from gateway.cli import main
from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi
from telephony.livekit.trunk.plan import make_plan
from telephony.phone import Phone

PERSONA = '''
from agent import Agent


class Reception(Agent):
    """You answer."""

    greeting = "Hello."
'''
DIALPLAN = """
numbers:
  "+15550100": personas.Reception
  "+15550101": personas.Reception
"""


@pytest.fixture
def config(livekit_stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "personas.py").write_text(PERSONA)
    (tmp_path / "plan.yaml").write_text(DIALPLAN)
    (tmp_path / "secret").write_text(livekit_stack.api_secret)
    (tmp_path / "password").write_text("swordfish-1")
    file = tmp_path / "settings.yaml"
    file.write_text(settings(livekit_stack, "127.0.0.1:9"))
    return file


def settings(stack, address: str) -> str:
    return f"""
sip:
  listen: ["udp://127.0.0.1:0"]
  trunks: [{{name: local, allow: ["127.0.0.0/8"]}}]
livekit:
  url: {stack.url}
  api_key: {{env: LIVEKIT_TEST_KEY}}
  api_secret: {{file: secret}}
  outbound:
    - {{name: carrier, address: "{address}", numbers: ["+15550100"], transport: udp,
       auth_username: me, auth_password: {{file: password}}}}
dialplans: [plan.yaml]
"""


@pytest.fixture(autouse=True)
async def clean(livekit_stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIVEKIT_TEST_KEY", livekit_stack.api_key)
    yield
    async with sip_api(livekit_stack):
        await empty_rooms(livekit_stack)


async def trunkline(*words: str) -> int:
    return await asyncio.to_thread(main, ["livekit", *words])


async def found(stack) -> list[tuple[str, bool]]:
    async with LiveKitSipApi(access_of(stack)) as api:
        return sorted((each.thing.name, each.ours) for each in await api.objects())


OURS = [("trunkline:calls", True), ("trunkline:numbers", True), ("trunkline:outbound:carrier", True)]


async def test_sync_makes_keeps_changes_and_deletes(livekit_stack, config: Path, capsys) -> None:
    file = str(config)
    assert await trunkline("plan", "--config", file) == 1
    assert "create  inbound trunk   trunkline:numbers" in capsys.readouterr().out
    assert await found(livekit_stack) == []  # a plan changes nothing
    assert await trunkline("sync", "--config", file) == 1  # nobody to ask
    assert "use --yes" in capsys.readouterr().err
    assert await found(livekit_stack) == []

    assert await trunkline("sync", "--config", file, "--yes") == 0
    out = capsys.readouterr().out
    assert "3 to do" in out and "done: create dispatch rule trunkline:calls" in out
    assert "swordfish" not in out
    assert await found(livekit_stack) == OURS
    assert await trunkline("sync", "--config", file, "--yes") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert await trunkline("plan", "--config", file, "--json") == 0
    assert {each["verb"] for each in json.loads(capsys.readouterr().out)["actions"]} == {"keep"}

    (config.parent / "plan.yaml").write_text(DIALPLAN.replace("+15550101", "+1555020?"))
    (config.parent / "password").write_text("swordfish-2")
    assert await trunkline("sync", "--config", file, "--yes", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    done = {each["name"]: (each["verb"], [change["field"] for change in each["changes"]]) for each in report["actions"]}
    assert done == {
        "trunkline:numbers": ("update", ["numbers"]),
        "trunkline:any-number": ("create", []),
        "trunkline:outbound:carrier": ("update", ["password"]),
        "trunkline:calls": ("update", ["trunks"]),
    }
    assert "+1555020?" in report["notes"][0]

    (config.parent / "plan.yaml").write_text(DIALPLAN)
    config.write_text(config.read_text().partition("  outbound:")[0] + "dialplans: [plan.yaml]\n")
    assert await trunkline("sync", "--config", file, "--yes") == 0
    assert await found(livekit_stack) == OURS[:2]


async def test_what_others_made_is_left_alone(livekit_stack, config: Path, capsys) -> None:
    sdk = livekit_api
    async with sdk.LiveKitAPI(livekit_stack.http_url, livekit_stack.api_key, livekit_stack.api_secret) as theirs:
        # One has a name like ours, but not our metadata.
        trunks = [
            await theirs.sip.create_inbound_trunk(
                sdk.CreateSIPInboundTrunkRequest(trunk=sdk.SIPInboundTrunkInfo(name=name, numbers=[number]))
            )
            for name, number in (("front desk", "+15559001"), ("trunkline:other", "+15559002"))
        ]
        try:
            assert await trunkline("sync", "--config", str(config), "--yes") == 0
            out = capsys.readouterr().out
            assert "leave   inbound trunk   front desk" in out and "leave   inbound trunk   trunkline:other" in out
            async with LiveKitSipApi(access_of(livekit_stack)) as api:
                plan = make_plan((), await api.objects())
                assert sorted(each.thing.name for each in plan if each.does_something) == [name for name, _ in OURS]
            # Their trunk takes one of our numbers: LiveKit refuses ours, and the message has its reason.
            await theirs.sip.update_inbound_trunk_fields(trunks[0].sip_trunk_id, numbers=["+15550102"])
            (config.parent / "plan.yaml").write_text(DIALPLAN.replace("+15550101", "+15550102"))
            assert await trunkline("sync", "--config", str(config), "--yes") == 1
            assert "Conflicting inbound SIP Trunks" in capsys.readouterr().err
        finally:
            for trunk in trunks:
                await theirs.sip.delete_trunk(sdk.DeleteSIPTrunkRequest(sip_trunk_id=trunk.sip_trunk_id))


async def test_people_may_set_what_we_do_not(livekit_stack) -> None:
    sdk = livekit_api
    async with sip_api(livekit_stack) as api:
        await synchronise(api, wanted(livekit_stack))
        trunk = next(each for each in await api.objects() if each.thing.name == "trunkline:numbers")
        async with sdk.LiveKitAPI(livekit_stack.http_url, livekit_stack.api_key, livekit_stack.api_secret) as theirs:
            listed = await theirs.sip.list_inbound_trunk(sdk.ListSIPInboundTrunkRequest())
            listed.items[0].headers["X-Desk"] = "7"
            await theirs.sip.update_inbound_trunk(trunk.id, listed.items[0])
            done = await synchronise(api, wanted(livekit_stack, [CALLED, "+15550101"]))
            assert [str(change) for change in done[0].changes] == ["numbers: +15550100 -> +15550100, +15550101"]
            again = (await theirs.sip.list_inbound_trunk(sdk.ListSIPInboundTrunkRequest())).items[0]
            assert (again.headers["X-Desk"], list(again.numbers)) == ("7", [CALLED, "+15550101"])


async def test_call_and_transfer_from_the_command_line(livekit_stack, config: Path, capsys) -> None:
    async with Phone(user="callee") as phone:
        config.write_text(settings(livekit_stack, f"127.0.0.1:{phone.address[1]}"))
        assert await trunkline("call", "+15550123", "--config", str(config)) == 1
        assert 'no outbound trunk "carrier"' in capsys.readouterr().err
        assert await trunkline("sync", "--config", str(config), "--yes") == 0
        capsys.readouterr()

        calling = asyncio.create_task(trunkline("call", "+15550123", "--config", str(config), "--json"))
        await (await phone.incoming()).reject(486, "Busy Here")
        assert await calling == 1
        assert json.loads(capsys.readouterr().out) == {"outcome": "busy", "sip_status": 486, "text": "Busy Here"}

        calling = asyncio.create_task(trunkline("call", "+15550123", "--config", str(config), "--json"))
        call = await phone.incoming()
        await call.answer()
        assert await calling == 0
        room = json.loads(capsys.readouterr().out)["room"]
        async with livekit_api.LiveKitAPI(
            livekit_stack.http_url, livekit_stack.api_key, livekit_stack.api_secret
        ) as livekit:
            assert [each.agent_name for each in await livekit.agent_dispatch.list_dispatch(room)] == ["trunkline"]
        words = ("transfer", room, "sip_+15550123", "+15550199", "--config", str(config), "--ring", "1")
        assert await trunkline(*words) == 1  # the phone says 202 and nothing more
        assert "no answer" in capsys.readouterr().out


async def test_bad_input(livekit_stack, config: Path, capsys) -> None:
    file = str(config)
    assert await trunkline("call", "+15550123", "--config", file, "--trunk", "other") == 2
    assert 'unknown carrier "other"; known are: carrier' in capsys.readouterr().err
    assert await trunkline("call", "not a number", "--config", file, "--room", "x") == 2
    assert await trunkline("sync", "--config", file, "--json") == 2
    (config.parent / "password").unlink()
    assert await trunkline("sync", "--config", file, "--yes") == 2
    assert "file password" in capsys.readouterr().err
    config.write_text(config.read_text().partition("livekit:")[0] + "dialplans: [plan.yaml]\n")
    assert await trunkline("plan", "--config", file) == 2
    assert "no `livekit` section" in capsys.readouterr().err
