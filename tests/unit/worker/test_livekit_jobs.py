"""Which conversation a job is for, what its call worker is told, and its records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.events import UserMessage
from gateway.dialplan import NoRoute, PersonaRef, Route
from gateway.livekit_jobs.event_relay import packet_of
from gateway.livekit_jobs.job_parts import JobParts
from gateway.livekit_jobs.job_recording import ContinuedRecordingFile, LateRecorder
from gateway.livekit_jobs.job_records import LEFT_ALONE, JobRecords, refusal_body
from gateway.livekit_jobs.routing import BadMetadata, JobPlan, JobRefusal, plan_of_attributes, plan_of_metadata
from gateway.record import CallOpened, CallRecord, Outcome, RecordMessage, WorkerLost
from telephony.call import CallInfo, Direction
from telephony.media.recording import WavRecorder
from telephony.media.wav import read_channels

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INFO = CallInfo("c1", Direction.INBOUND, "+15550100", "+15550111", "local")
CLINIC = PersonaRef(Path("/plans/clinic.py"), "Reception")
METADATA = {
    "trunkline": 1, "call": asdict(INFO), "persona": {"file": "/plans/clinic.py", "name": "Reception"},
    "rule": "clinic.yaml:5", "session": {"away_ms": 9000}, "speech": {"tts": ["espeak/en-gb"]},
}  # fmt: skip
ATTRIBUTES = {
    "sip.callID": "SCL_x", "sip.callStatus": "active", "sip.trunkID": "ST_1", "sip.trunkPhoneNumber": "15550100",
    "sip.phoneNumber": "+15550111", "sip.h.X-Customer": "42", "sip.ruleID": "SDR_1",
}  # fmt: skip


def test_a_room_that_the_gateway_bridges_says_all_of_it() -> None:
    plan = plan_of_metadata("", json.dumps(METADATA))
    assert plan == JobPlan(INFO, CLINIC, "clinic.yaml:5", True, {"away_ms": 9000}, {"tts": ["espeak/en-gb"]}, None)
    assert plan is not None
    assert JobPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan, "and survives its process"


@pytest.mark.parametrize("text", ["", "hello", "[1]", "{}", '{"trunkline": 2}', '{"trunkline": 1}'])
def test_metadata_that_is_not_ours(text: str) -> None:
    assert plan_of_metadata(text) is None


@pytest.mark.parametrize("broken", [{"call": {}}, {"persona": {}}, {"call": {**asdict(INFO), "direction": "up"}}])
def test_metadata_of_ours_that_cannot_be_used(broken: Mapping[str, Any]) -> None:
    with pytest.raises(BadMetadata):
        plan_of_metadata(json.dumps({**METADATA, **broken}))


def test_a_phone_of_livekit_sip_is_routed_by_the_called_number() -> None:
    asked: list[tuple[str, str | None, datetime]] = []

    def decide(called: str, caller: str | None, at: datetime) -> Route:
        asked.append((called, caller, at))
        return Route(CLINIC, "rule", "+15550100", caller, {"stt": ["x"]}, {"away_ms": 1}, False)

    plan = plan_of_attributes(ATTRIBUTES, "RM_1", decide, NOW, "US")
    assert asked == [("15550100", "+15550111", NOW)]
    info = CallInfo("SCL_x", Direction.INBOUND, "+15550100", "+15550111", "ST_1", "", {"X-Customer": "42"})
    assert plan == JobPlan(info, CLINIC, "rule", False, {"away_ms": 1}, {"stt": ["x"]}, False)


def test_a_phone_that_livekit_sip_has_dialled_is_called_by_our_number() -> None:
    """As rpc.NewCreateSIPParticipantRequest of LiveKit writes them: no rule, `phoneNumber` is the dialled one."""
    attributes = {
        "sip.callID": "SCL_y", "sip.callStatus": "active", "sip.trunkID": "ST_2", "sip.hostname": "carrier.example",
        "sip.trunkPhoneNumber": "15550100", "sip.phoneNumber": "+4915112345678",
    }  # fmt: skip

    def decide(called: str, caller: str | None, at: datetime) -> Route:
        return Route(CLINIC, "rule", "+15550100", caller)

    plan = plan_of_attributes(attributes, "RM_1", decide, NOW, None)
    assert isinstance(plan, JobPlan)
    assert plan.info == CallInfo("SCL_y", Direction.OUTBOUND, "+4915112345678", "+15550100", "ST_2")
    assert JobPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    ("said", "trunk"),
    [
        ({"sip.trunkID": "ST_1", "trunkline.trunk": "carrier"}, "carrier"),
        ({"sip.trunkID": "ST_1", "trunkline.trunk": ""}, "ST_1"),
        ({"sip.trunkID": "ST_1"}, "ST_1"),
        ({}, "livekit"),
    ],
)
def test_a_trunk_has_the_name_that_the_settings_give_it(said: Mapping[str, str], trunk: str) -> None:
    attributes = {"sip.trunkPhoneNumber": "+15550100", **said}
    refused = plan_of_attributes(
        attributes, "RM_1", lambda called, caller, _: NoRoute("no", "", called, caller), NOW, None
    )
    assert refused.info.trunk == trunk


def test_a_number_that_nobody_has() -> None:
    refused = plan_of_attributes(
        ATTRIBUTES, "RM_1", lambda called, caller, _: NoRoute("no number matches", "", "+15550100", caller), NOW, "US"
    )
    assert isinstance(refused, JobRefusal)
    assert (refused.reason, refused.sip_status, refused.info.called) == ("no number matches", 404, "+15550100")


def test_a_room_that_says_nothing() -> None:
    def never(*_: object) -> Route:
        raise AssertionError("there is no number to ask for")

    refused = plan_of_attributes({}, "RM_/../1", never, NOW, None)
    assert isinstance(refused, JobRefusal)
    assert refused.info.call_id == "RM_----1", "it is part of a file's name"
    assert refused.info.caller is None


class _Dialplan:
    flows = ()
    personas = (CLINIC, PersonaRef(Path("/plans/a/same.py"), "X"), PersonaRef(Path("/plans/b/same.py"), "X"))


@pytest.mark.parametrize(
    ("file", "name", "found"),
    [
        ("/plans/clinic.py", "Reception", True),
        ("/elsewhere/clinic.py", "Reception", True),
        ("/plans/clinic.py", "Y", False),
        ("/tmp/evil.py", "Reception", False),
        ("/c/same.py", "X", False),
    ],
)
def test_only_personas_of_our_dialplans_are_run(file: str, name: str, found: bool) -> None:
    parts = JobParts.__new__(JobParts)
    parts.dialplan = _Dialplan()  # type: ignore[assignment]
    plan = JobPlan(INFO, PersonaRef(Path(file), name), "", True)
    if found:
        assert parts.with_known_persona(plan).persona == CLINIC
    else:
        with pytest.raises(BadMetadata, match="no dialplan of this worker has the persona"):
            parts.with_known_persona(plan)


def test_an_event_tells_its_time_of_day() -> None:
    event = UserMessage(100.0, "hello", 99.0, 100.0, "speech")
    packet = json.loads(packet_of(event, now=100.5, unix_s=2000.0, tokens=(3, 4)))
    assert packet["unix_ms"] == 1_999_500.0
    assert (packet["type"], packet["text"], packet["tokens"]) == ("user_message", "hello", [3, 4])


# --- records --------------------------------------------------------------------------------------------------------


class _Job:
    id = "AJ_1"
    room = SimpleNamespace(name="call-1")


def test_a_refused_call_leaves_a_record() -> None:
    put: list[RecordMessage] = []
    refusal = JobRefusal(INFO, "", "no number matches", 404)
    JobRecords(put.append).job_says("AJ_1", json.loads(json.dumps(refusal_body(refusal, NOW))))
    (record,) = put
    assert isinstance(record, CallRecord)
    assert (record.outcome, record.sip_status, record.end_reason) == (Outcome.REFUSED, 404, "no number matches")
    assert (record.called, record.started_at) == ("+15550100", NOW)


def test_a_job_that_is_given_up_closes_its_record_and_its_room_is_ended() -> None:
    put: list[RecordMessage] = []
    ended: list[str] = []
    records = JobRecords(put.append, ended.append)
    job = _Job()
    records.job_says("AJ_1", CallOpened.of(INFO, started_at=NOW).to_dict())
    records.job_over(job, "its process died")
    assert isinstance(put[1], WorkerLost)
    assert (put[1].call_ids, put[1].reason) == (("c1",), "its process died")
    assert ended == ["call-1"]
    records.job_over(job, "")
    assert len(put) == 2


def test_a_job_that_could_not_hang_up_has_its_room_ended_once_it_is_over() -> None:
    put: list[RecordMessage] = []
    ended: list[str] = []
    records = JobRecords(put.append, ended.append)
    job = _Job()
    records.job_says("AJ_1", json.loads(json.dumps(LEFT_ALONE)))
    assert ended == []
    for _ in range(2):
        records.job_over(job, "")
    assert ended == ["call-1"] and put == []


def test_what_is_no_record_message_is_not_stored() -> None:
    put: list[RecordMessage] = []
    records = JobRecords(put.append)
    for body in ({}, {"message": "refused"}, {"message": "call_closed"}):
        records.job_says("AJ_1", body)
    assert put == []


# --- recordings -----------------------------------------------------------------------------------------------------


async def test_a_recording_goes_on_after_its_process_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    loud, soft = b"\x00\x20" * 160, b"\x10\x00" * 160
    first = WavRecorder(path)
    for _ in range(5):
        first.write(loud, soft)
    await first.close()
    with path.open("ab") as file:
        file.write(b"half a frame")
    late = LateRecorder()
    late.write(loud, soft)  # before it is known what is recorded
    file = ContinuedRecordingFile(path, at_ms=200)
    late.recorder = WavRecorder(path, open_file=lambda _: file)
    for _ in range(3):
        late.write(soft, loud)
    await late.recorder.close()
    assert file.before_ms == 200
    left, right = read_channels(path)
    assert left == loud * 5 + bytes(320 * 5) + soft * 3
    assert right == soft * 5 + bytes(320 * 5) + loud * 3
