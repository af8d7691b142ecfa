from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.events import DigitReceived, FunctionCallOutput
from gateway.events.catalogue import Event, EventType, matches
from gateway.events.hub import EventHub
from gateway.events.kinds import EVENTS, CallHandoff
from gateway.events.reference import example, with_catalogue
from gateway.live_calls import LiveCalls
from gateway.record import CallEvents, Outcome, WorkerLost, event_on_axis, opened_part
from gateway.record_flow import RecordFlow
from telephony.call import Direction
from tests.unit.api.asking import detail
from tests.unit.store.records import (
    ANSWER,
    START,
    closed,
    conversation,
    message_left,
    opened,
    transfer_began,
    transfer_ended,
    verdict,
)


class Told:
    """A hub as in the gateway, and the events it emitted."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.hub = EventHub(deliver=lambda event, text: self.events.append(json.loads(text)))
        self.flow = RecordFlow(lambda _: None, LiveCalls(), watchers=[self.hub.observe])

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


def test_a_call_is_told_from_ringing_to_its_recording() -> None:
    told = Told()
    told.flow.put(opened())
    told.flow.put(CallEvents(call_id="c1", answered_at=START + timedelta(seconds=2)))
    told.flow.put(CallEvents(call_id="c1", events=tuple(conversation())))
    told.flow.put(closed())
    assert told.types[:2] == ["call.ringing", "call.answered"]
    assert told.types[-2:] == ["call.ended", "recording.ready"]
    assert set(told.types[2:-2]) == {"call.turn", "call.tool", "call.digit", "call.handoff"}
    answered, ended, recording = told.events[1]["data"], told.events[-2]["data"], told.events[-1]["data"]
    assert (answered["caller"], answered["called"], answered["after_s"]) == ("+15557777", "+15550100", 2.0)
    assert (ended["outcome"], ended["ended_by"], ended["duration_s"]) == ("answered", "caller", 30.0)
    assert ended["persona"] == "clinic.Reception"
    assert recording == {"call_id": "c1", "duration_ms": 30_000, "url": "/v1/calls/c1/recording"}


def test_an_answer_and_an_end_are_told_once() -> None:
    told = Told()
    told.flow.put(opened())
    told.flow.put(CallEvents(call_id="c1", answered_at=START))
    told.flow.put(CallEvents(call_id="c1", answered_at=START))
    told.flow.put(closed(recording=None))
    told.flow.put(closed(recording=None))
    told.flow.put(WorkerLost(call_ids=("c1",), at=START))
    assert told.types == ["call.ringing", "call.answered", "call.ended"]


def test_an_outbound_call_rings_with_who_calls_whom_and_says_who_answered() -> None:
    told = Told()
    told.flow.put(opened(direction=Direction.OUTBOUND))
    came = (
        {"type": "ringing", "t_ms": 0.0, "detail": "183"},
        verdict("ivr", 900.0),
        verdict("human", 2900.0, corrects="ivr"),
        message_left(9900.0, delivered=False, why="picked_up"),
        {"type": "who_answered_told", "t_ms": 900.0, "answered_by": "a_parrot"},  # of another version
    )
    told.flow.put(CallEvents(call_id="c1", events=came))
    assert told.types[:3] == ["call.queued", "call.ringing", "call.answered_by"]
    assert told.types[3:] == ["call.answered_by", "call.message_left"]
    ringing, answered_by, corrected, message = (event["data"] for event in told.events[1:])
    assert (ringing["called"], ringing["persona"], ringing["sip_status"]) == ("+15550100", "clinic.Reception", 183)
    assert (answered_by["answered_by"], answered_by["corrects"], answered_by["t_ms"]) == ("ivr", None, 900.0)
    assert (answered_by["probability"], answered_by["reasons"], answered_by["action"]) == (0.9, ["words"], "talk")
    assert (corrected["answered_by"], corrected["corrects"]) == ("human", "ivr")
    assert message == {"call_id": "c1", "t_ms": 9900.0, "delivered": False, "why": "picked_up"}


def test_outbound_calls_are_queued_and_lost_ones_end() -> None:
    told = Told()
    told.flow.put(opened(direction=Direction.OUTBOUND))
    told.flow.put(WorkerLost(call_ids=("c1",), at=START))
    assert told.types == ["call.queued", "call.ended"]
    assert told.events[1]["data"]["outcome"] == "worker_lost"


def test_a_refused_attempt_is_an_end_with_who_called_whom() -> None:
    told = Told()
    told.flow.put(detail(outcome=Outcome.REFUSED, refused_by="dialplan", recording=None))
    assert told.types == ["call.ended"]
    assert (told.events[0]["data"]["called"], told.events[0]["data"]["outcome"]) == ("+15550100", "refused")


def test_calls_of_a_gateway_that_died_end_at_the_next_start() -> None:
    told = Told()
    told.hub.were_lost([detail("c7", outcome=None)])
    assert told.types == ["call.ended"]
    assert (told.events[0]["data"]["call_id"], told.events[0]["data"]["outcome"]) == ("c7", "gateway_lost")


def test_transfers() -> None:
    told = Told()
    told.flow.put(opened())
    told.flow.put(transfer_began())
    told.flow.put(transfer_ended())
    started, ended = told.events[1:]
    assert (started["type"], ended["type"]) == ("transfer.started", "transfer.failed")
    assert started["data"]["transfer_id"] == ended["data"]["transfer_id"]
    assert ended["data"]["outcome"]


def test_hidden_digits_stay_hidden_and_long_results_are_cut() -> None:
    told = Told()
    events = (DigitReceived(ANSWER, "•"), FunctionCallOutput(ANSWER, "t1", "look_up", "x" * 20_000, False, 3.0))
    told.flow.put(CallEvents(call_id="c1", events=tuple(event_on_axis(event, ANSWER) for event in events)))
    digit, tool = told.events
    assert digit["data"]["digit"] == "•"
    assert len(tool["data"]["output"]) == 8_000


@pytest.mark.parametrize("event", [{}, {"type": "user_message"}, {"type": "user_message", "t_ms": 1.0}, {"type": 7}])
def test_events_of_another_version_are_passed_over(event: dict[str, Any]) -> None:
    told = Told()
    told.flow.put(CallEvents(call_id="c1", events=(event,)))
    assert told.events == []


def test_ids_are_in_the_order_of_time_also_when_the_clock_is_set_back() -> None:
    times = iter([1000, 2000, 2000, 1500, 3000])
    ids: list[str] = []
    hub = EventHub(deliver=lambda event, _: ids.append(event.id), now_ms=lambda: next(times))
    for _ in range(3):
        hub.tell(example(EventType.CALL_ENDED))
    assert ids == sorted(set(ids))
    assert len(ids) == 3


def test_on_the_wire_it_is_what_standard_webhooks_ask_for() -> None:
    at = datetime(2026, 11, 27, 20, 0, 0, 123456, tzinfo=UTC)
    event = Event("id1", at, CallHandoff.model_validate({"call_id": "c1", "t_ms": 1.5, "from": "héllo", "to": "b"}))
    assert event.to_json() == (
        '{"id":"id1","type":"call.handoff","timestamp":"2026-11-27T20:00:00.123Z",'
        '"data":{"call_id":"c1","t_ms":1.5,"from":"héllo","to":"b"}}'
    )


@pytest.mark.parametrize(
    ("patterns", "expected"), [(["*"], True), (["call.*"], True), (["call.ended"], True), (["transfer.*"], False)]
)
def test_patterns(patterns: list[str], expected: bool) -> None:
    assert matches("call.ended", patterns) is expected


def test_the_docs_have_the_catalogue_as_it_is() -> None:
    """If not: `python -m gateway.events`."""
    page = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    assert with_catalogue(page) == page


@pytest.mark.parametrize("kind", EventType)
def test_each_kind_has_an_example_and_says_when_it_is_told_and_what_it_holds(kind: EventType) -> None:
    model = EVENTS[kind]
    sent = json.loads(Event("id1", START, example(kind)).to_json())
    assert (sent["type"], sent["data"]) == (kind, dict(model.example))
    assert model.__doc__ and model.__doc__ != EVENTS[EventType.CALL_QUEUED].__base__.__doc__
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_records_of_calls_that_are_over_are_forgotten() -> None:
    told = Told()
    for n in range(50):
        told.flow.put(opened_part(detail(f"c{n}")))
        told.flow.put(closed(f"c{n}"))
    assert told.hub._translator._going_on == {}
