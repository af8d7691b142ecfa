"""Comparing what happened with what a fixture expects."""

from __future__ import annotations

from typing import Any

from agent.events import AgentMessage, TurnLatency, UserMessage
from agent.testing.expectation import EventMatcher, Expectation, compare
from agent.testing.happened import Happened, digest, event_types, from_record, from_session


def said(at: float, text: str, **fields: Any) -> Happened:
    return Happened("agent_message", at, {"text": text, "kind": "reply", "interrupted": False, **fields})


def heard(at: float, text: str) -> Happened:
    return Happened("user_message", at, {"text": text, "source": "speech"})


def called(at: float, name: str, **arguments: Any) -> Happened:
    return Happened("function_call", at, {"name": name, "arguments": arguments})


CALL = (
    said(2.0, "Sunrise Clinic, how can I help?", kind="greeting"),
    heard(5.0, "an appointment tomorrow"),
    called(5.1, "free_slots", day="tomorrow", part="morning"),
    said(9.0, "I have 9:30.", interrupted=True),
    Happened("agent_stopped_speaking", 9.0, {"interrupted": True}),
)


def texts(*events: EventMatcher, **expected: Any) -> list[str]:
    return [str(problem) for problem in compare(Expectation(events, **expected), CALL, "agent", "agent_ended")]


def test_events_in_order_with_others_between() -> None:
    assert (
        texts(EventMatcher("agent_message", contains=("how can i HELP",)), EventMatcher("agent_stopped_speaking")) == []
    )
    assert texts(EventMatcher("function_call", arguments={"part": "morning"}, equal={"name": "free_slots"})) == []


def test_words_are_whole_words() -> None:
    assert texts(EventMatcher("user_message", contains=("point",))) != []
    assert texts(EventMatcher("user_message", any_of=("never", "tomorrow"))) == []
    assert texts(EventMatcher("agent_message", contains=("9:30",))) == []


def test_the_wrong_order_is_told_with_what_came_instead() -> None:
    (problem,) = texts(EventMatcher("function_call"), EventMatcher("user_message", line=7))
    assert problem.startswith("line 7: expected user_message")
    assert "after     5.10 s  function_call free_slots" in problem
    assert "one came before:     5.00 s" in problem


def test_near_misses_say_why() -> None:
    (problem,) = texts(EventMatcher("function_call", arguments={"part": "afternoon"}))
    assert "part is 'morning'" in problem
    (problem,) = texts(EventMatcher("agent_message", equal={"interrupted": False, "kind": "reply"}))
    assert "kind is 'greeting'" in problem and "interrupted is True" in problem


def test_within_counts_from_the_expected_event_before() -> None:
    first = EventMatcher("user_message")
    assert texts(first, EventMatcher("function_call", within_ms=101)) == []
    (problem,) = texts(first, EventMatcher("function_call", within_ms=50))
    assert "50 ms too late" in problem
    assert texts(EventMatcher("agent_message", within_ms=2000)) == []


def test_a_later_candidate_is_tried_when_the_next_needs_it() -> None:
    assert texts(EventMatcher("agent_message"), EventMatcher("agent_stopped_speaking", within_ms=10)) == []


def test_never_and_strict_and_the_end() -> None:
    (problem,) = texts(never=(EventMatcher("agent_message", equal={"interrupted": True}, line=3),))
    assert problem.startswith("line 3: must never happen, but did:     9.00 s")
    (problem,) = texts(EventMatcher("agent_message"), strict=True)
    assert "unexpected (strict)" in problem and "9.00 s" in problem
    assert texts(EventMatcher("agent_message"), EventMatcher("agent_message"), strict=True) == []
    assert texts(ended_by="agent", end_reason="agent_ended") == []
    assert texts(ended_by="caller") == ["ended_by should be caller, was agent"]


def test_many_candidates_are_searched_in_no_time() -> None:
    events = [heard(index, "word") for index in range(400)]
    matchers = tuple(EventMatcher("user_message", within_ms=1000) for _ in range(30))
    problems = compare(Expectation((*matchers, EventMatcher("session_closed"))), events, "", "")
    assert len(problems) == 1


def test_latency_of_a_turn() -> None:
    event = TurnLatency(12.0, 1, 11.0, 11.55, 11.3, 11.56, 11.6, 11.62)
    (happened,) = from_session([event], answered_at=10.0)
    assert happened.at == 2.0 and happened.fields["speech_ended_at"] == 1.0
    assert happened.latency_ms == 620
    for limit, problems in ((620, 0), (600, 1)):
        found = compare(Expectation((EventMatcher("turn_latency", within_ms=limit),)), [happened], "", "")
        assert len(found) == problems


def test_sessions_and_records_give_the_same() -> None:
    events = [
        UserMessage(1005.25, "hello", 1003.0, 1004.5, "speech"),
        AgentMessage(1008.0, "Hi.", "Hi.", False, 1006.0, "reply"),
    ]
    recorded = [{**event.to_dict(), "t_ms": round((event.at - 1000) * 1000, 1)} for event in events]
    assert from_record(recorded) == from_session(events, 1000.0)
    assert from_session(events, 1000.0)[0].fields["ended_at"] == 4.5
    assert digest(from_record(recorded)) == digest(from_session(events, 1000.0))
    assert digest(from_record(recorded)) != digest(from_session(events, 1000.1))


def test_every_event_has_a_name() -> None:
    assert {"session_started", "user_message", "turn_latency", "function_call_output"} <= set(event_types())


def test_another_hearing_of_the_same_words() -> None:
    for text, alike in (("an appointment for tomorrow", True), ("appointments tomorrow", True), ("yes please", False)):
        problems = texts(EventMatcher("user_message", like=text))
        assert (problems == []) is alike
    assert 'is not like "yes please"' in texts(EventMatcher("user_message", like="yes please"))[0]
