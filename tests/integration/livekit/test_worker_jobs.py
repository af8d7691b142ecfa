"""`trunkline worker` against a real LiveKit server: jobs, records, and what happens when a process dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid

import pytest
from rooms import until
from worker_phone import Phone, calling, speech
from worker_process import RunningWorker

from telephony.livekit.events import DataReceived, ParticipantLeft

BRIDGED = {
    "trunkline": 1,
    "call": {
        "call_id": "c1", "direction": "inbound", "called": "+15550100", "caller": None, "trunk": "local",
        "sip_call_id": "", "headers": {},
    },
    "persona": {"file": "/somewhere/else/personas.py", "name": "Clinic"},
    "rule": "plan.yaml:3", "session": {"end_silence_ms": 400}, "speech": {},
}  # fmt: skip


@pytest.fixture
def agent_name() -> str:
    return f"agent-{uuid.uuid4().hex[:6]}"


async def test_a_call_of_livekit_sip_is_served_and_recorded(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name) as phone:
            joined_at = time.monotonic()
            await until(phone.hears, 5, "the greeting")
            assert phone.heard_since(joined_at) - joined_at < 3
            await until(lambda: not phone.hears(), 8, "the end of the greeting")
            phone.clock.say(speech())
            await until(phone.hears, 10, "the answer")
        await until(lambda: not worker.jobs(), 5, "the end of the job")
        await until(lambda: worker.records() and worker.records()[0]["outcome"], 3, "the record")
        (record,) = worker.records()
        assert (record["outcome"], record["ended_by"], record["end_reason"]) == ("answered", "caller", "hung up")
        assert (record["called"], record["caller"], record["trunk"]) == ("+15550100", "+15550111", "ST_test")
        assert record["persona"] == "personas.Clinic"
        recording = json.loads(record["recording"])
        assert not recording["error"]
        path = tmp_path / "recordings" / recording["path"]
        assert path.stat().st_size == 44 + recording["duration_ms"] * 32
        types = [event["type"] for event in worker.events(record["call_id"])]
        assert types[0] == "session_started"
        assert "user_message" in types
        assert types[-1] == "session_closed"
        assert worker.metric('trunkline_worker_jobs_total{outcome="succeeded"}') == 1


async def test_a_number_that_nobody_has(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name, called="+15559999") as phone:
            await until(phone.hears, 5, "a polite sentence")
            await until(lambda: phone.closed, 10, "the end of the call")
        await until(worker.records, 3, "the record")
        (record,) = worker.records()
        assert (record["outcome"], record["sip_status"], record["refused_by"]) == ("refused", 404, "dialplan")
        assert "+15559999" in record["end_reason"]


async def test_a_bridged_call_tells_its_events_and_writes_no_record(livekit_stack, tmp_path, agent_name) -> None:
    metadata = json.dumps(BRIDGED)
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name, metadata=metadata) as phone:
            await until(lambda: any(p["type"] == "agent_started_speaking" for p in phone.packets()), 5, "an event")
            first, *_ = phone.packets()
            assert (first["type"], first["persona"]) == ("session_started", "Clinic")
            assert abs(first["unix_ms"] / 1000 - time.time()) < 5
            assert all(e.topic == "trunkline.event" for e in phone.events if isinstance(e, DataReceived))
        await until(lambda: not worker.jobs(), 5, "the end of the job")
        await asyncio.sleep(0.4)  # records are written every 0.2 s
        assert worker.records() == []


async def test_a_bridged_call_for_a_persona_that_is_not_here(livekit_stack, tmp_path, agent_name) -> None:
    metadata = json.dumps(BRIDGED | {"persona": {"file": "/tmp/other.py", "name": "Evil"}})
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name) as worker:
        async with calling(livekit_stack, agent_name, metadata=metadata) as phone:
            await until(phone.hears, 8, "an apology")
            await until(lambda: phone.closed, 10, "the end of the call")
        why = "no dialplan of this worker has the persona Evil of other.py"
        await until(lambda: why in worker.log(), 5, "the reason in the log")
        assert worker.records() == []


async def test_automatic_dispatch(livekit_stack, tmp_path) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name="") as worker:
        async with calling(livekit_stack, "", dispatch=False) as phone:
            await until(phone.hears, 5, "the greeting")
            assert len(worker.jobs()) == 1


async def test_a_killed_job_comes_back_and_the_others_go_on(livekit_stack, tmp_path, agent_name) -> None:
    with RunningWorker(tmp_path, livekit_stack, agent_name=agent_name, idle_processes=2, jobs_per_process=1) as worker:
        async with (
            calling(livekit_stack, agent_name, called="+15550101") as phone,
            calling(livekit_stack, agent_name) as other,
        ):
            await until(lambda: phone.hears() and other.hears(), 8, "both greetings")
            await until(lambda: not phone.hears() and not other.hears(), 8, "the end of the greetings")
            call_id = f"SCL_{phone.room.name}"
            job = next(job for job, pid in worker.jobs().items() if _job_of(phone) == job)
            before, others_pid = worker.jobs()[job], worker.jobs()[_job_of(other)]
            agent = phone.agents
            await until(lambda: said(worker, call_id), 3, "what is on record of it: as much is kept for a crash")
            killed_at = time.monotonic()
            os.kill(before, signal.SIGKILL)
            await until(lambda: phone.heard_since(killed_at + 0.1), 5, "the holding phrase")
            back_s = phone.heard_since(killed_at + 0.1) - killed_at
            print(f"rejoined and heard after {back_s:.2f} s")
            assert back_s < 3
            assert phone.agents == agent, "it comes back under its identity"
            assert worker.jobs()[job] != before
            assert worker.jobs()[_job_of(other)] == others_pid
            assert not [e for e in other.events if isinstance(e, ParticipantLeft)]
            assert json.loads((tmp_path / "restored.json").read_text()) == 42, (
                "on_enter ran once, and its work was kept"
            )
            await until(lambda: len(said(worker, call_id)) == 3, 15, "the holding phrase and what was said last")
            phone.clock.say(speech())
            await until(phone.hears, 10, "an answer of the new process")
        await until(lambda: not worker.jobs(), 5, "the end of the jobs")
        await until(lambda: all(r["outcome"] for r in worker.records()), 3, "the records")
        records = {record["call_id"]: record for record in worker.records()}
        assert len(records) == 2
        assert {record["outcome"] for record in records.values()} == {"answered"}
        assert said(worker, call_id)[:3] == ["I count.", "One moment, please.", "I count."]
        recording = json.loads(records[call_id]["recording"])
        assert not recording["error"]
        size = (tmp_path / "recordings" / recording["path"]).stat().st_size
        assert size == 44 + recording["duration_ms"] * 32
        assert abs(recording["duration_ms"] - records[call_id]["duration_ms"]) < 1000, "one axis over the crash"
        assert worker.metric('trunkline_worker_jobs_total{outcome="restarted"}') == 1


def said(worker: RunningWorker, call_id: str) -> list[str]:
    """By the agent, as far as it is on record."""
    return [event["text"] for event in worker.events(call_id) if event["type"] == "agent_message"]


def _job_of(phone: Phone) -> str:
    (identity,) = phone.agents
    return identity.removeprefix("agent-")
