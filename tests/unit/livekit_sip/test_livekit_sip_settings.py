"""`livekit.outbound` in the settings, and what settings and dialplans require of LiveKit."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands.livekit import desired_of
from gateway.config import ConfigError, Settings, load_settings
from gateway.dialplan import Dialplan
from telephony.livekit.trunk.objects import DispatchRule, InboundTrunk, OutboundTrunk

HEAD = """
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: a, allow: ["192.0.2.0/24"]}, {name: b, allow: ["198.51.100.7"]REGION}]
livekit:
  url: wss://livekit.example.net
  api_key: {env: LK_KEY}
  api_secret: {env: LK_SECRET}
  outbound: [OUTBOUND]
dialplans: [plan.yaml]
"""
GOOD = '{name: main, address: "sip.example.net:5061", numbers: ["+15550100"], transport: tls}'


def settings(outbound: str, region: str = "") -> Settings:
    return load_settings("settings.yaml", HEAD.replace("OUTBOUND", outbound).replace("REGION", region))


@pytest.mark.parametrize(
    ("outbound", "complaint"),
    [
        (f"{GOOD}, {GOOD}", 'duplicate carrier name "main"'),
        (GOOD.replace("}", ", auth_username: me}"), "auth_username and auth_password must be given together"),
        (GOOD.replace("}", ", auth_password: {env: X}}"), "auth_username and auth_password must be given together"),
        (GOOD.replace("}", ", auth_username: me, auth_password: swordfish}"), "secrets are not allowed in this file"),
        (GOOD.replace("sip.example.net:5061", "sip:me@example.net"), "livekit.outbound[0].address"),
        (GOOD.replace('"+15550100"', ""), "livekit.outbound[0].numbers"),
        (GOOD.replace("transport: tls", "transport: sctp"), "livekit.outbound[0].transport"),
    ],
)
def test_mistakes_are_named(outbound: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings(outbound)
    assert complaint in str(raised.value)
    assert "swordfish" not in str(raised.value)


def test_a_password_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LK_KEY", "k")
    monkeypatch.setenv("LK_SECRET", "s")
    missing = settings(GOOD.replace("}", ", auth_username: me, auth_password: {env: NO_SUCH}}")).missing_secrets()
    assert [text for text in missing if "NO_SUCH" in text] == missing != []


@pytest.mark.parametrize(("region", "trunks"), [("", 1), (", region: US", 2)])
def test_settings_and_dialplan_become_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: str, trunks: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LK_SECRET", "s")
    Path("personas.py").write_text("from agent import Agent\n\n\nclass P(Agent):\n    pass\n")
    Path("plan.yaml").write_text('numbers:\n  "+15550100": personas.P\n  "+15550101": personas.P\n')
    read = settings(GOOD, region)
    things = desired_of(read, Dialplan.load(read.dialplans, read)).objects
    inbound = [thing for thing in things if isinstance(thing, InboundTrunk)]
    assert len(inbound) == trunks
    assert inbound[0].numbers == ("+15550100", "+15550101")
    assert {thing.addresses for thing in inbound} == {("192.0.2.0/24", "198.51.100.7/32")}
    rule = next(thing for thing in things if isinstance(thing, DispatchRule))
    assert (rule.agent_name, rule.attributes) == ("trunkline", {})  # two trunks: which it was is not known
    outbound = next(thing for thing in things if isinstance(thing, OutboundTrunk))
    assert (outbound.address, outbound.transport) == ("sip.example.net:5061", "tls")
