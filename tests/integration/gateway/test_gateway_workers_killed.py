"""kill -9 and SIGSTOP of workers and of the warm parent, during calls."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
import wave
from collections.abc import Callable

import numpy as np
import pytest
from gateway_process import RunningGateway, until

from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import packet_counts, spacing

StartGateway = Callable[..., RunningGateway]


async def _calls(gateway: RunningGateway, phone: Phone, count: int) -> dict[str, list[PhoneCall]]:
    """By the worker that has them."""
    calls = [await phone.call(gateway.uri("+15550101"), caller="+15552101000") for _ in range(count)]
    by_worker: dict[str, list[PhoneCall]] = {}
    for call in calls:
        await until(lambda call=call: gateway.attempts(call.call_id), what="an open record")
        by_worker.setdefault(gateway.attempts(call.call_id)[0]["worker"], []).append(call)
    return by_worker


async def _heard(calls: list[PhoneCall], packets: int) -> None:
    await until(lambda: all(len(call.received) >= packets for call in calls), what=f"{packets} packets each")


async def test_a_killed_worker_takes_only_its_own_calls(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=3)
    async with Phone() as phone:
        by_worker = await _calls(gateway, phone, 6)
        assert len(by_worker) == 3
        victim, *others = by_worker
        hit = by_worker[victim]
        spared = [call for name in others for call in by_worker[name]]
        await _heard([*hit, *spared], 75)
        for call in hit:
            call.play(b"\x00\x10\x00\xf0" * 8000)
        await _heard(hit, 150)

        killed_at = time.monotonic()
        os.kill(gateway.worker_pids()[victim], signal.SIGKILL)
        async with asyncio.timeout(2.0):
            ended = await asyncio.gather(*(call.wait_bye() for call in hit))
        assert {(one.by, "worker lost" in one.reason) for one in ended} == {("peer", True)}
        recorded_s = killed_at - min(call.answered_at or 0 for call in hit)

        # Those of other workers have noticed nothing: no packet lost, none late.
        await _heard(spared, 250)
        for call in spared:
            counts = packet_counts(call.received)
            assert (counts.lost, counts.double, call.ended.done()) == (0, 0, False)
            times = [at for at in call.received.at if killed_at - 0.5 < at < killed_at + 1.5]
            rhythm = spacing(times)
            assert rhythm is not None and rhythm.max_ms < 120

        for call in hit:
            record = await gateway.record(call.call_id)
            await until(lambda call=call: gateway.attempts(call.call_id)[0]["recording"], what="the mended recording")
            record = await gateway.record(call.call_id)
            assert (record["outcome"], record["ended_by"]) == ("worker_lost", "system")
            assert record["answered_at"] and record["duration_ms"] > 2000
            with wave.open(io.BytesIO(gateway.fetch(f"/v1/calls/{record['call_id']}/recording"))) as wav:
                frames = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").reshape(-1, 2)
            assert recorded_s - len(frames) / 8000 <= 1.0  # up to its last second
            assert record["recording"]["duration_ms"] == len(frames) * 1000 // 8000
            assert abs(frames[-4000:, 0]).max() > 2000  # the caller, left
            assert abs(frames[:8000, 1]).max() > 2000  # the agent, right

        # A new worker stands ready, and takes calls.
        await until(lambda: gateway.figures()["workers_ready"] == 3, 10, what="a new worker")
        (new,) = set(gateway.worker_pids()) - {victim, *others, *by_worker} - {victim}
        assert gateway.metrics()["trunkline_worker_restarts_total"] == 1
        more = await _calls(gateway, phone, 4)
        assert new in more
        for calls in (*more.values(), spared):
            await asyncio.gather(*(call.hang_up() for call in calls))
        await gateway.idle()
        for call in spared:
            record = await gateway.record(call.call_id)
            assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
            assert record["media"]["packets_lost"] == 0
    assert gateway.complaints() == []


async def test_the_warm_parent_is_killed(start_gateway: StartGateway) -> None:
    """Its workers live on, and the next lost worker is still replaced."""
    gateway = start_gateway(workers=2)
    async with Phone() as phone:
        by_worker = await _calls(gateway, phone, 2)
        first, second = by_worker
        old_warm = gateway.warm_parent
        os.kill(old_warm, signal.SIGKILL)
        (call,) = by_worker[first]
        (other,) = by_worker[second]
        await _heard([call, other], len(call.received) + 50)
        assert gateway.figures()["workers_ready"] == 2
        os.kill(gateway.worker_pids()[second], signal.SIGKILL)
        async with asyncio.timeout(2.0):
            await other.wait_bye()
        await until(lambda: gateway.figures()["workers_ready"] == 2, 15, what="a new worker from a new warm parent")
        assert gateway.warm_parent != old_warm
        assert not call.ended.done() and packet_counts(call.received).lost == 0
        again = await phone.call(gateway.uri("+15550101"), caller="+15552101001")
        await _heard([again], 25)
        await asyncio.gather(call.hang_up(), again.hang_up())
        await gateway.idle()
    assert gateway.stop() == 0
    assert gateway.left_behind() == []


@pytest.mark.timeout(60)
async def test_a_stopped_worker_is_killed_and_its_callers_told(start_gateway: StartGateway) -> None:
    """SIGSTOP: the process exists but does not respond. Missing heartbeats show it within about 6 s."""
    gateway = start_gateway(workers=2)
    async with Phone() as phone:
        by_worker = await _calls(gateway, phone, 2)
        victim, other = by_worker
        (call,), (spared,) = by_worker[victim], by_worker[other]
        await _heard([call, spared], 50)
        stopped_at = time.monotonic()
        os.kill(gateway.worker_pids()[victim], signal.SIGSTOP)
        ended = await asyncio.wait_for(call.wait_bye(), 9)
        assert 3.5 < ended.at - stopped_at < 8.0
        assert "worker lost" in ended.reason
        record = await gateway.record(call.call_id)
        assert record["outcome"] == "worker_lost"
        assert packet_counts(spared.received).lost == 0 and not spared.ended.done()
        await until(lambda: gateway.figures()["workers_ready"] == 2, 10, what="a new worker")
        await spared.hang_up()
    assert [entry["event"] for entry in gateway.complaints()] == ["worker_unresponsive"]
