from __future__ import annotations

import random

from agent.events import (
    AgentMessage,
    CallerBack,
    CallerHeld,
    FunctionCall,
    FunctionCallOutput,
    TaskCompleted,
    TaskStarted,
    TurnLatency,
    UserMessage,
)
from gateway.record import event_on_axis
from gateway.transcript import build_turns, mask_typed_digits, transcript_text
from tests.unit.store.records import conversation


def test_the_conversation_lies_on_the_recordings_axis() -> None:
    turns = build_turns(conversation())
    assert [(t.speaker, t.text, t.start_ms, t.end_ms) for t in turns] == [
        ("agent", "Hello.", 300.0, 2000.0),
        ("caller", "a slot tomorrow", 2500.0, 4000.0),
        ("agent", "There is nine", 4600.0, 5500.0),
        ("caller", "42#", 6000.0, 6200.0),
        ("system", "clinic.Reception handed over to clinic.Billing", 7000.0, 7000.0),
        ("system", "tts espeak failed (canned): no voice", 8000.0, 8000.0),
    ]
    assert [t.source for t in turns if t.speaker == "caller"] == ["speech", "dtmf"]


def test_a_reply_has_its_tools_its_waterfall_and_what_was_not_heard() -> None:
    reply = build_turns(conversation())[2]
    assert reply.interrupted
    assert reply.full_text == "There is nine thirty."
    (tool,) = reply.tool_calls
    assert (tool.name, tool.arguments, tool.output, tool.at_ms) == ("free_slots", {"day": "tomorrow"}, "9:30", 4300.0)
    assert reply.latency is not None
    stages = ("decided_ms", "transcript_ms", "first_token_ms", "first_audio_ms", "first_packet_ms")
    assert [getattr(reply.latency, stage) for stage in stages] == [150.0, 200.0, 250.0, 450.0, 600.0]
    assert reply.latency.speech_end_ms == 4000.0


def test_a_greeting_has_no_waterfall_as_it_answers_nobody() -> None:
    assert build_turns(conversation())[0].latency is None


def test_tasks_stand_in_it_with_what_came_of_them() -> None:
    events = [
        event_on_axis(event, 0.0)
        for event in (
            TaskStarted(1.0, "Pin", "Bank"),
            TaskCompleted(2.0, "Pin", "completed", "4711", 1000.0),
            TaskStarted(3.0, "Pin", "Bank"),
            TaskCompleted(4.0, "Pin", "timed_out", "Pin got no result within 1 s.", 1000.0),
        )
    ]
    assert [(turn.speaker, turn.kind, turn.text) for turn in build_turns(events)] == [
        ("system", "task_started", "Bank began the task Pin"),
        ("system", "task_completed", "the task Pin is complete: 4711"),
        ("system", "task_started", "Bank began the task Pin"),
        ("system", "task_completed", "the task Pin timed out"),
    ]
    assert "4711" not in str(build_turns(map(mask_typed_digits, events)))


def test_an_interrupted_reply_stands_before_the_words_that_interrupted_it() -> None:
    events = [
        UserMessage(3.0, "wait", 1.5, 2.5, "speech"),
        AgentMessage(1.8, "Let me", "Let me explain.", True, 1.0, "reply"),
    ]
    assert [t.speaker for t in build_turns(event_on_axis(e, 0.0) for e in events)] == ["agent", "caller"]


def test_a_tool_whose_answer_came_while_the_agent_spoke_keeps_its_place() -> None:
    events = [
        FunctionCall(1.0, "t1", "slow", {}),
        AgentMessage(2.0, "One moment.", "One moment.", False, 1.1, "say"),
        FunctionCallOutput(3.0, "t1", "slow", "done", True, 2000.0),
    ]
    (turn,) = build_turns(event_on_axis(e, 0.0) for e in events)
    assert (turn.tool_calls[0].output, turn.tool_calls[0].is_error) == ("done", True)


def test_a_tool_without_any_words_is_still_in_the_transcript() -> None:
    (turn,) = build_turns([event_on_axis(FunctionCall(1.0, "t1", "end_call", {}), 0.0)])
    assert (turn.speaker, turn.tool_calls[0].name, turn.tool_calls[0].output) == ("system", "end_call", None)


def test_a_turn_cut_before_its_first_packet_leaves_its_waterfall_with_the_caller() -> None:
    events = [
        UserMessage(1.2, "hello", 0.5, 1.0, "speech"),
        TurnLatency(1.9, 3, 1.0, 1.5, 1.2, None, None, None),
    ]
    (turn,) = build_turns(event_on_axis(e, 0.0) for e in events)
    assert turn.latency is not None
    assert (turn.latency.decided_ms, turn.latency.first_packet_ms) == (500.0, None)


def test_foreign_and_broken_events_do_not_cost_the_rest() -> None:
    events = conversation()
    broken = [{}, {"type": "leg_held"}, {"type": "user_message"}, {"type": "agent_message", "text": "x", "t_ms": "?"}]
    random.Random(1).shuffle(broken)
    assert build_turns([*broken, *events, *broken]) == build_turns(events)


def test_as_text_one_line_an_entry() -> None:
    lines = transcript_text(build_turns(conversation())).splitlines()
    assert lines[2] == "00:04.6 agent [interrupted]: There is nine"
    assert lines[3] == "00:06.0 caller [typed]: 42#"


def test_words_cannot_make_up_an_entry() -> None:
    event = UserMessage(61.0, "hi\n00:09.0 agent: you won", 60.5, 61.0, "text")
    assert transcript_text(build_turns([event_on_axis(event, 0.0)])).count("\n") == 1


def test_masked_digits_are_nowhere() -> None:
    events = [
        *conversation(),
        event_on_axis(
            FunctionCall(1010.0, "t9", "pay", {"card": "4111 1111-1111 1111", "n": 41111, "ok": True}), 1000.0
        ),
        event_on_axis(FunctionCallOutput(1010.0, "t9", "pay", "card 4111111111111111 ok", False, 5.0), 1000.0),
    ]
    masked = [mask_typed_digits(event) for event in events]
    assert [e["digit"] for e in masked if e["type"] == "digit_received"] == ["•", "•"]
    assert [t.text for t in build_turns(masked) if t.source == "dtmf"] == ["•••"]
    assert masked[-2]["arguments"] == {"card": "•••• ••••-•••• ••••", "n": "•••••", "ok": True}
    assert "4111" not in str(masked[-1])
    assert events[-2]["arguments"]["n"] == 41111, "the original is not changed"


def test_a_hold_is_one_entry_with_both_ends_whoever_tells_of_it() -> None:
    leg = [{"type": "leg_held", "at": 12.0, "t_ms": 2000.0}, {"type": "leg_resumed", "at": 82.0, "t_ms": 72000.0}]
    session = [event_on_axis(CallerHeld(12.001), 10.0), event_on_axis(CallerBack(82.001, 70000.0), 10.0)]
    for events in (leg, session, [leg[0], session[0], leg[1], session[1]]):
        (hold,) = build_turns(events)
        assert (hold.speaker, hold.kind) == ("system", "hold")
        assert (round(hold.start_ms), round(hold.end_ms)) in {(2000, 72000), (2001, 72001)}
        assert hold.text == "the caller put the call on hold for 70.0 s"
    (still,) = build_turns(leg[:1])
    assert (still.text, still.start_ms, still.end_ms) == ("the caller put the call on hold", 2000.0, 2000.0)
