"""`trunkline worker` is killed during calls: its main process, all of it, or LiveKit's native part in a job."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway_process import RunningGateway
from kills import RECORD_S, closed_record, family_of, greeted, kill
from rooms import until
from test_livekit_calls import livekit_settings
from worker_phone import calling
from worker_process import RunningWorker

from telephony.phone import Phone
from telephony.phone.analysis import loud_spans, onset_after, silent_after


@pytest.fixture
def worker(livekit_stack: Any, tmp_path: Path) -> Iterator[RunningWorker]:
    name = f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(tmp_path / "worker", livekit_stack, agent_name=name) as running:
        yield running


async def test_a_killed_main_process_leaves_a_goodbye_and_a_record(livekit_stack: Any, worker: RunningWorker) -> None:
    async with calling(livekit_stack, worker.agent_name) as phone:
        await greeted(phone)
        family = family_of(worker)
        killed_at = kill([psutil.Process(worker.process.pid)])
        await until(lambda: phone.heard_since(killed_at), 3, "a goodbye")
        await until(lambda: phone.closed, RECORD_S, "the end of the call")
        record = await closed_record(worker, 0, RECORD_S - (time.monotonic() - killed_at))
        await until(lambda: not [p for p in family[1:] if p.is_running()], 5, "the end of all its processes")
    assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "agent", "drained")
    kinds = [event["type"] for event in worker.events(record["call_id"])]
    assert kinds[-1] == "session_closed", "what was said after the death is on record too"
    assert (worker.folder / "recordings" / f"{record['started_at'][:10]}" / f"{record['call_id']}.wav").exists()
    worker.stop()
    worker.start()
    assert [one["outcome"] for one in worker.records()] == ["answered"]
    async with calling(livekit_stack, worker.agent_name) as phone:
        await until(phone.hears, 8, "the greeting of the next call")


async def test_calls_whose_processes_are_all_killed_have_a_record_at_the_next_start(
    livekit_stack: Any, worker: RunningWorker
) -> None:
    async with calling(livekit_stack, worker.agent_name) as phone:
        await until(phone.hears, 8, "the greeting")
        await until(worker.records, 3, "the record's beginning")
        kill(family_of(worker))
        assert [record["outcome"] for record in worker.records()] == [None]
        worker.stop()
        worker.start()
        (record,) = worker.records()
        assert (record["outcome"], record["end_reason"]) == ("gateway_lost", "worker_lost")
        async with calling(livekit_stack, worker.agent_name) as other:
            await until(other.hears, 8, "the greeting of the next call")


@pytest.mark.parametrize("what", ["main process", "everything"])
async def test_a_bridged_call_ends_politely_when_its_worker_is_killed(
    livekit_stack: Any, worker: RunningWorker, tmp_path: Path, caller: str, what: str
) -> None:
    settings = livekit_settings(tmp_path / "gateway", livekit_stack, agent_name=worker.agent_name)
    gateway = RunningGateway(tmp_path / "gateway", workers=1, dialplans=[str(worker.plan)], **settings).start()
    try:
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: onset_after(call.received, call.answered_at), 10, "the greeting")
            greeted_at = onset_after(call.received, call.answered_at)
            await until(lambda: silent_after(call.received, greeted_at + 0.2), 10, "its end")
            killed_at = kill(family_of(worker) if what == "everything" else [psutil.Process(worker.process.pid)])
            async with asyncio.timeout(20):
                await call.wait_bye()
                ended_s = time.monotonic() - killed_at
                record = await gateway.record(call.call_id)
            said = [(max(start, killed_at), end) for start, end in loud_spans(call.received) if end > killed_at + 0.5]
            assert said, "the caller is told"
            words_s = said[-1][1] - said[0][0]
            print(f"{what}: over after {ended_s:.1f} s, of which {words_s:.1f} s are the last words")
            assert words_s > 1.0 and ended_s < RECORD_S
            assert record["outcome"] == "answered"
            if what == "everything":
                assert record["ended_by"] == "system" and record["end_reason"].startswith("agent_lost: ")
            else:
                assert (record["ended_by"], record["end_reason"]) == ("agent", "drained")
            worker.stop()
            worker.start()
            again = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: onset_after(again.received, again.answered_at), 8, "the next call's greeting")
            await again.hang_up()
    finally:
        gateway.stop()


async def test_a_panic_of_livekits_native_part_is_a_crash_of_the_job_alone(
    livekit_stack: Any, worker: RunningWorker
) -> None:
    async with calling(livekit_stack, worker.agent_name, called="+15550103") as phone:
        await greeted(phone)
        ((job, pid),) = worker.jobs().items()
        (worker.folder / "panic").touch()
        await until(lambda: worker.jobs().get(job) not in (pid, None), 5, "another process")
        since = time.monotonic()
        await until(lambda: phone.heard_since(since), 4, "the holding phrase")
        assert "LiveKit's native library panicked: a test" in worker.log()
        assert f"job process {pid} ended with status -6" in worker.log(), "by SIGABRT, not left running by SIGTERM"
    record = await closed_record(worker, 0)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")


async def test_a_call_worker_whose_native_part_panics_leaves_no_phone_on_a_dead_line(
    livekit_stack: Any, worker: RunningWorker, tmp_path: Path, caller: str
) -> None:
    """What a panic is for a call worker: SIGABRT."""
    settings = livekit_settings(tmp_path / "gateway", livekit_stack, agent_name=worker.agent_name)
    gateway = RunningGateway(tmp_path / "gateway", workers=1, dialplans=[str(worker.plan)], **settings).start()
    try:
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: onset_after(call.received, call.answered_at), 10, "the greeting")
            ((_, pid),) = gateway.worker_pids().items()
            os.kill(pid, signal.SIGABRT)
            async with asyncio.timeout(3):
                await call.wait_bye()
            record = await gateway.record(call.call_id)
            assert (record["outcome"], record["ended_by"]) == ("worker_lost", "system")
            # LiveKit server would miss the dead one after 20 s; until then the agent would talk to nobody.
            await until(lambda: not worker.jobs(), 3, "the end of the agent's job")
            await until(lambda: len(gateway.worker_pids()) == 2, 10, "another one")
            again = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: onset_after(again.received, again.answered_at), 8, "the next call's greeting")
            await again.hang_up()
    finally:
        gateway.stop()
