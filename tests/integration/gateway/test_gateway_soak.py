"""The short version of bench/soak.py: a hundred short calls leave nothing behind."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from gateway_process import RunningGateway, until

StartGateway = Callable[..., RunningGateway]


def _soak() -> ModuleType:
    path = Path(__file__).parents[3] / "bench" / "soak.py"
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as for a script that stands there
    spec = importlib.util.spec_from_file_location("trunkline_soak", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(120)
async def test_a_hundred_short_calls_leave_nothing_behind(gateway: RunningGateway, speech: bytes) -> None:
    await gateway.idle()
    udp, tcp = f"127.0.0.1:{gateway.udp}", f"127.0.0.1:{gateway.tcp}"
    soak = _soak().Soak(udp, tcp, gateway.http, gateway.pid, "+15550101", speech, at_once=10)
    await soak.run(60, 120)
    await until(lambda: soak.recorded()["None"] == 0)
    print(soak.summary())
    assert soak.calls >= 100
    assert soak.complaints() == []
    assert soak.lost_packets == 0
    await gateway.idle()


@pytest.mark.timeout(150)
async def test_floods_garbage_and_stray_packets_cost_no_call(start_gateway: StartGateway, speech: bytes) -> None:
    trunks = [
        {"name": "local", "allow": ["127.0.0.1/32"], "region": "US"},
        {"name": "flooder", "allow": ["127.0.1.0/24"], "region": "US"},
    ]
    gateway = start_gateway(sip={"trunks": trunks, "limits": {}})  # limits as they are without settings
    udp, tcp = f"127.0.0.1:{gateway.udp}", f"127.0.0.1:{gateway.tcp}"
    module = _soak()
    hostile = module.Hostile(udp, tcp, gateway.http, gateway.pid)
    soak = module.Soak(udp, tcp, gateway.http, gateway.pid, "+15550101", speech, at_once=4, hostile=hostile)
    await soak.run(40, 80)
    await until(lambda: soak.recorded()["None"] == 0)
    print(soak.summary())
    print(hostile.summary())
    assert soak.calls >= 60
    assert soak.complaints() == []
    kinds = ("strangers_options", "strangers_invites", "trunk_invites", "malformed", "in_dialog", "stray_rtp")
    assert {kind for kind in (*kinds, "half_sip", "half_http") if not hostile.sent[kind]} == set()
    to_strangers = sum(count for name, count in hostile.answered.items() if name.startswith("stranger"))
    assert to_strangers < 100 + 20 * 120  # their budget, in two minutes at most
    assert not hostile.answered["stranger packet"] + hostile.answered["stranger BYE"]
    assert hostile.answered["trunk 503"] > 100
    await gateway.idle()
