"""The one line that says how a call ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from gateway.live_calls import LiveCalls
from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    Outcome,
    Recording,
    RecordMessage,
    WorkerLost,
    refused_record,
)
from gateway.record_flow import RecordFlow
from telephony.call import CallInfo, Direction, EndedBy

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
INFO = CallInfo("c1", Direction.INBOUND, "+15550100", "+15550123", "local")


def lines(*messages: RecordMessage) -> list[dict[str, Any]]:
    flow = RecordFlow(lambda _: None, LiveCalls())
    with capture_logs() as seen:
        for message in messages:
            flow.put(message)
    return [{key: line[key] for key in line if key != "log_level"} for line in seen]


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def closed(outcome: Outcome = Outcome.ANSWERED, **more: Any) -> CallClosed:
    fields = {
        "ended_by": EndedBy.CALLER,
        "ended_at": later(65),
        "end_reason": "hung up",
        "sip_status": 200,
        "q850_cause": 16,
        **more,
    }
    return CallClosed(call_id="c1", outcome=outcome, **fields)


OPENED = CallOpened.of(INFO, started_at=AT)
TALK = (
    CallEvents(call_id="c1", answered_at=later(1)),
    CallEvents(call_id="c1", events=({"type": "user_message", "text": "hi"}, {"type": "agent_message", "text": "ho"})),
    CallEvents(call_id="c1", events=({"type": "user_message", "text": "bye"},)),
)  # fmt: skip


def test_a_conversation_says_who_ended_it_why_and_how_long_it_was() -> None:
    assert lines(OPENED, *TALK, closed()) == [
        {
            "event": "call_ended", "call_id": "c1", "outcome": "answered", "ended_by": "caller", "reason": "hung up",
            "sip_status": 200, "q850_cause": 16, "duration_s": 64.0, "turns": 2,
        }
    ]  # fmt: skip


def test_what_comes_after_the_end_is_no_second_end() -> None:
    lost = WorkerLost(call_ids=("c1",), at=later(31), reason="the worker's process ended")
    saved = closed(Outcome.WORKER_LOST, recording=Recording(path="x.wav"))
    [line] = lines(OPENED, *TALK, lost, saved)
    assert (line["outcome"], line["duration_s"], line["turns"]) == ("worker_lost", 30.0, 2)


def test_an_attempt_that_a_rule_refused_names_the_rule() -> None:
    refused = refused_record(INFO, started_at=AT, sip_status=404, refused_by="no number matches", reason="Not Found")
    [line] = lines(refused)
    assert (line["outcome"], line["reason"], line["turns"]) == ("refused", "Not Found: no number matches", 0)
    [line] = lines(OPENED, closed(Outcome.CANCELLED, sip_status=487))
    assert (line["outcome"], line["duration_s"]) == ("cancelled", 0.0)
