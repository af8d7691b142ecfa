from __future__ import annotations

import json
from datetime import timedelta

import pytest

from gateway.record import (
    CallEvents,
    Outcome,
    TransferKind,
    WorkerLost,
    closed_part,
    message_from_dict,
    opened_part,
    refused_record,
)
from telephony.call import CallInfo, Direction, EndedBy
from tests.unit.store.records import (
    START,
    closed,
    conversation,
    leg_closed,
    leg_opened,
    opened,
    transfer_began,
    transfer_ended,
)


@pytest.mark.parametrize(
    "message",
    [
        opened(caller=None),
        closed(),
        closed(outcome=Outcome.CANCELLED, recording=None, media=None, media_alarms=(), answered_at=None),
        CallEvents(call_id="c1", events=tuple(conversation()), answered_at=START),
        WorkerLost(call_ids=("a", "b"), at=START),
        leg_opened(),
        leg_closed(),
        leg_closed(outcome=Outcome.BUSY, answered_at=None, media=None, media_alarms=(), ended_by=None),
        transfer_began(),
        transfer_began(kind=TransferKind.COLD, leg_id=None),
        transfer_ended(outcome=Outcome.REJECTED, sip_status=603),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_come_through_json_unchanged(message: CallEvents) -> None:
    assert message_from_dict(json.loads(json.dumps(message.to_dict()))) == message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"message": "call_ringing"}, "call_ringing"),
        ({"message": None}, "None"),
        ({"direction": "sideways"}, "direction"),
        ({"started_at": "2026-11-20T09:00:00"}, "started_at"),  # no time zone
        ({"called": None}, "called"),
    ],
)
def test_what_is_wrong_with_a_message_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        message_from_dict(opened().to_dict() | change)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(ValueError) as caught:
        message_from_dict(opened().to_dict() | {"called": {"pin": "4711"}})
    assert "4711" not in str(caught.value)


def test_a_refused_attempt_is_a_whole_record() -> None:
    info = CallInfo("c9", Direction.INBOUND, "+15550000", None, "local")
    record = refused_record(info, started_at=START, sip_status=404, refused_by="no rule for +15550000")
    assert (record.outcome, record.ended_by, record.duration_ms) == (Outcome.REFUSED, EndedBy.SYSTEM, 0)
    assert record.end_reason == record.refused_by
    assert opened_part(record).caller is None
    assert closed_part(record).ended_at == START


def test_an_open_record_has_no_end_to_take() -> None:
    info = CallInfo("c9", Direction.INBOUND, "+15550000", None, "local")
    record = refused_record(info, started_at=START, sip_status=404, refused_by="x", ended_at=START + timedelta(1))
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__} | {"outcome": None}
    with pytest.raises(ValueError, match="c9"):
        closed_part(type(record)(**fields))
