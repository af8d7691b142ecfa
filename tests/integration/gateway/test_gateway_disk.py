"""Failing disks: for recordings, for the store, for everything. Calls continue, and the gateway reports the problem."""

from __future__ import annotations

import asyncio
import io
import resource
import wave
from collections.abc import Callable
from pathlib import Path

from gateway_process import RunningGateway, until

from telephony.phone import Phone
from telephony.phone.analysis import packet_counts

StartGateway = Callable[..., RunningGateway]
FULL_AT = 64_000  # bytes of one recording: two seconds


async def test_a_disk_that_fills_up_in_the_call(start_gateway: StartGateway) -> None:
    """The workers' file size is limited: what fits is kept and plays, and the loss of the rest is reported."""
    gateway = start_gateway(workers=1)
    for pid in gateway.worker_pids().values():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_AT, FULL_AT))
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550101"), caller="+15552109001")
        await until(lambda: len(call.received) > 200)
        assert packet_counts(call.received).lost == 0 and not call.ended.done()
        await call.hang_up()
        record = await gateway.record(call.call_id)
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        assert "too large" in record["recording"]["error"]
        assert 1500 <= record["recording"]["duration_ms"] <= 2000
        with wave.open(io.BytesIO(gateway.fetch(f"/v1/calls/{record['call_id']}/recording"))) as wav:
            assert 0 <= wav.getnframes() / 8 - record["recording"]["duration_ms"] < 20  # whole frames of 20 ms
        for pid in gateway.worker_pids().values():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_AT, FULL_AT))
    assert gateway.complaints() == []


async def test_a_folder_of_recordings_that_cannot_be_one(start_gateway: StartGateway, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    gateway = start_gateway(workers=1, recordings=str(tmp_path / "file" / "recordings"))
    async with Phone() as phone:
        calls = [await phone.call(gateway.uri("+15550101"), caller="+15552109101") for _ in range(3)]
        await until(lambda: all(len(call.received) > 50 for call in calls))
        await asyncio.gather(*(call.hang_up() for call in calls))
        for call in calls:
            record = await gateway.record(call.call_id)
            assert record["outcome"] == "answered"
            assert record["recording"]["path"] == "" and "Not a directory" in record["recording"]["error"]
    status, health = gateway.health()
    assert (status, health["state"], health["degraded"]) == (200, "ready", True)  # calls are taken all the same
    assert any("calls cannot be recorded" in warning and "Not a directory" in warning for warning in health["warnings"])
    metrics = gateway.fetch("/metrics").decode()
    assert "trunkline_recordings_up 0.0" in metrics and "trunkline_recordings_failed_total 3.0" in metrics
    await gateway.idle()
    assert gateway.complaints("recordings_folder_unusable") == []


async def test_a_store_that_cannot_be_written_for_a_while(start_gateway: StartGateway) -> None:
    """As on a full disk, including logs: calls continue, health warns, and later every record exists."""
    gateway = start_gateway(workers=1)
    free = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    async with Phone() as phone:
        first = await phone.call(gateway.uri("+15550101"), caller="+15552109201")
        await until(lambda: gateway.attempts(first.call_id))
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (0, free[1]))
        second = await phone.call(gateway.uri("+15550101"), caller="+15552109202")
        await until(lambda: len(second.received) > 50)
        await until(lambda: gateway.health()[1]["warnings"], 8, what="a warning")
        status, health = gateway.health()
        assert status == 200 and health["state"] == "ready"  # calls are still taken
        assert any("record" in warning for warning in health["warnings"])
        assert gateway.metrics()["trunkline_store_up"] == 0
        await asyncio.gather(first.hang_up(), second.hang_up())
        third = await phone.call(gateway.uri("+15550101"), caller="+15552109203")
        await until(lambda: len(third.received) > 25)
        await third.hang_up()
        await gateway.idle()
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, free)
        for call in (first, second, third):
            record = await gateway.record(call.call_id, 15)
            assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        await until(lambda: not gateway.health()[1]["warnings"], 8, what="the end of the warning")
        assert gateway.metrics()["trunkline_store_up"] == 1
    assert gateway.stop() == 0
    assert gateway.left_behind() == []
