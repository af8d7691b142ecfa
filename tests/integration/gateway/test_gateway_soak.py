"""The short version of bench/soak.py: a hundred short calls, and nothing is left of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from gateway_process import RunningGateway, until


def _soak() -> ModuleType:
    path = Path(__file__).parents[3] / "bench" / "soak.py"
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
