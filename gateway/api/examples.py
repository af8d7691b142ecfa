"""An example of each of the API's answers, for its description."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from gateway.api.calls import CallList
from gateway.api.campaign_examples import CAMPAIGN_EXAMPLES, CAMPAIGN_ID
from gateway.api.collecting import DigitsCollected
from gateway.api.deps import HealthReport
from gateway.api.events import WebhookList
from gateway.api.parameters import CALL_ID as CALL_PATTERN
from gateway.api.phones import PhoneList
from gateway.api.problems import Problem
from gateway.api.queues import MemberList, QueueDetail, QueueList
from gateway.api.room_tokens import RoomToken
from gateway.api.steering import Steered
from gateway.api.transcripts import Transcript
from gateway.api.transferring import Listening
from gateway.api.trunks import TrunkList
from gateway.config.queues import NAME
from gateway.events.endpoints import EndpointState
from gateway.events.kinds import EventType
from gateway.events.reference import sent
from gateway.phones.registry import DeviceReport, PhoneReport
from gateway.queues.desk import CallerReport, MemberReport, QueueReport, QueueToday
from gateway.record import CallDetail, CallRecord, Outcome, Recording, TransferKind, TransferRecord, Turn
from gateway.trunk_report import TrunkLoad, TrunkReport
from telephony.call import Direction, EndedBy

__all__ = ["CALL_ID", "IN_PATHS", "STREAM", "example_of"]

CALL_ID = "8b0f5a1c2d3e4f60"
IN_PATHS: Mapping[str, tuple[str, str]] = {  # name -> pattern, example
    "call_id": (CALL_PATTERN, CALL_ID),
    "campaign_id": (r"^[A-Za-z0-9_-]{1,128}$", CAMPAIGN_ID),
    "key": (r"^[^/]{1,200}$", "4711"),
    "member": (NAME, "anna"),
    "number": (r"^\+[0-9]{5,15}$", "+15551234567"),
    "queue": (NAME, "desk"),
}
_AT = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
_CALL: dict[str, Any] = {
    "call_id": CALL_ID,
    "direction": Direction.OUTBOUND,
    "trunk": "carrier",
    "called": "+15551234567",
    "caller": "+15550199",
    "started_at": _AT,
    "persona": "clinic.Reminder",
    "rule": "dialplans/clinic.yaml:12",
    "worker": "w1-1",
}
_OVER = _CALL | {
    "answered_at": _AT + timedelta(seconds=6),
    "ended_at": _AT + timedelta(seconds=47),
    "duration_ms": 41_300,
    "outcome": Outcome.ANSWERED,
    "sip_status": 200,
    "q850_cause": 16,
    "ended_by": EndedBy.CALLER,
    "end_reason": "leg_ended",
    "recording": Recording(path=f"2026-11-27/{CALL_ID}.wav", duration_ms=41_300),
}
_TURN = Turn(speaker="agent", text="Good evening, this is the clinic.", start_ms=120.0, end_ms=2040.0, kind="greeting")
_QUEUE = QueueReport(
    name="desk", strategy="least_recent", open=True, waiting=1, callbacks=0, longest_wait_s=42.5, signed_in=2, free=0,
    service_s=185.0, today=QueueToday(answered=31, abandoned=2, service_level=0.8788, mean_wait_s=14.2),
)  # fmt: skip
_MEMBER = MemberReport(
    name="anna", target="+15557000001", signed_in=True, paused="", reachable=True, calls=1, ringing=False,
    wraps_up_s=0.0, penalty=0, weight=1, skills={"german": 5}, calls_at_once=1, taken_today=9, talk_s=1712.4,
    wrap_up_s=270.0,
)  # fmt: skip
_EXAMPLES: Mapping[type, Any] = {
    **CAMPAIGN_EXAMPLES,
    CallRecord: CallRecord(**_CALL),
    CallList: CallList(calls=(CallRecord(**_OVER),)),
    CallDetail: CallDetail(**_OVER, turns=(_TURN,)),
    Transcript: Transcript(call_id=CALL_ID, live=False, turns=(_TURN,)),
    Steered: Steered(call_id=CALL_ID),
    DigitsCollected: DigitsCollected(call_id=CALL_ID, digits="48115", ended="full"),
    Listening: Listening(call_id=CALL_ID, leg_id=f"{CALL_ID}-2", mode="listen"),
    TransferRecord: TransferRecord(
        transfer_id=f"{CALL_ID}-t1", call_id=CALL_ID, kind=TransferKind.COLD, target="+15557654321", began_at=_AT
    ),
    PhoneList: PhoneList(
        phones=(
            PhoneReport(
                name="anna", number="+15550177", reachable=True,
                devices=(
                    DeviceReport(
                        uri="sip:anna@192.168.7.2:5060", source="udp:192.0.2.7:40000", agent="Desk phone 1.2", q=1.0,
                        registered_at=_AT, expires_at=_AT, reachable=True, round_trip_ms=12.5,
                    ),
                ),
            ),
        )
    ),
    TrunkList: TrunkList(
        trunks=(
            TrunkReport(
                name="carrier", calls=2, registration=None, hosts=(), refusals=(), tls_failures=(), turned_away=(),
                certificate_expires_at=None,
                load=TrunkLoad(placed=1, came_in=1, cap=30, cap_per_second=5.0, waiting=0, refused=0),
            ),
        )
    ),
    WebhookList: WebhookList(
        webhooks=(
            EndpointState(
                url="https://crm.example.com/trunkline", events=("call.*",), of_calls=False, waiting=0, delivered=17,
                failures=0, parked=False, error="",
            ),
        )
    ),
    QueueList: QueueList(queues=(_QUEUE,)),
    QueueDetail: QueueDetail(
        queue=_QUEUE, members=(_MEMBER,),
        callers=(CallerReport(call_id=CALL_ID, position=1, waited_s=42.5, priority=0, wait_s=60.0),),
    ),
    MemberList: MemberList(members=(_MEMBER,)),
    MemberReport: _MEMBER,
    RoomToken: RoomToken(url="wss://rooms.example", room=f"call-{CALL_ID}", identity="anna", token="…", expires_at=_AT),  # noqa: S106
    HealthReport: HealthReport(state="ready", figures={"calls_active": 2, "slots_free": 6}),
    Problem: Problem(
        type="urn:trunkline:problem:no_such_call", title="Not Found", status=404, detail=f"There is no call {CALL_ID}."
    ),
}  # fmt: skip
STREAM = f"id: 019abc3d2f10-00001-5f0c9a1e\nevent: call.ended\ndata: {sent(EventType.CALL_ENDED)}\n\n"


def example_of(model: type) -> Any:
    """As JSON."""
    return TypeAdapter(model).dump_python(_EXAMPLES[model], mode="json")
