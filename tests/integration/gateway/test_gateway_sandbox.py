"""Call workers of a real gateway have given up what they don't need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway_process import RunningGateway

from gateway.callworker.sandbox import landlock_version

StartGateway = Callable[..., RunningGateway]


async def test_workers_can_gain_no_privileges(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=2)
    pids = gateway.worker_pids().values()
    assert len(pids) == 2
    for pid in pids:
        assert "NoNewPrivs:\t1\n" in Path(f"/proc/{pid}/status").read_text()
    assert bool(landlock_version()) != any(line["event"] == "no_sandbox" for line in gateway.log())
