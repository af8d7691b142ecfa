"""The lines about a call on a terminal."""

from __future__ import annotations

import io
from dataclasses import asdict
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from agent import events
from agent.events import (
    AgentHandoff,
    AgentMessage,
    DigitReceived,
    FunctionCall,
    FunctionCallOutput,
    ProviderFailed,
    SessionClosed,
    SessionEvent,
    SilencePrompted,
    TaskCompleted,
    TaskStarted,
    TurnLatency,
    UserMessage,
)
from gateway.live import follow
from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    Outcome,
    Recording,
    WorkerLost,
    event_on_axis,
    refused_record,
)
from gateway.terminal import Terminal, describe
from telephony.call import CallInfo, Direction, EndedBy
from telephony.fakes import statistics

NOW = datetime(2026, 3, 4, tzinfo=UTC)
INFO = CallInfo("c1", Direction.INBOUND, "+15550100", None, "local")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (UserMessage(2.0, "hello", 1.0, 2.0, "speech"), "caller: hello"),
        (UserMessage(2.0, "1 2", 1.0, 2.0, "dtmf"), "caller (keyed): 1 2"),
        (UserMessage(2.0, "hi", 1.0, 2.0, "text"), "caller (typed): hi"),
        (AgentMessage(3.0, "Good day.", "Good day.", False, 2.0, "reply"), "agent: Good day."),
        (
            AgentMessage(3.0, "Good", "Good day to you.", True, 2.0, "reply"),
            "agent: Good - (interrupted; not heard: day to you.)",
        ),
        (FunctionCall(3.0, "f1", "look_up", {"order": "12"}), 'tool: look_up(order="12")'),
        (FunctionCallOutput(3.0, "f1", "look_up", "found", False, 12.4), "tool: look_up -> found  [12 ms]"),
        (FunctionCallOutput(3.0, "f1", "look_up", "no", True, 12.4), "tool: look_up failed -> no  [12 ms]"),
        (
            TurnLatency(4.0, 2, 1.0, 1.55, 1.3, None, 1.5, 1.56),
            "latency of turn 2, ms after the caller's last sound: "
            "turn decided 550, transcript 300, first audio 500, first packet 560",
        ),
        (DigitReceived(1.0, "5"), "caller pressed 5"),
        (AgentHandoff(1.0, "A", "B"), "handed over from A to B"),
        (TaskStarted(1.0, "Confirm", "Desk"), "Desk began the task Confirm"),
        (TaskCompleted(1.0, "Confirm", "completed", "True", 9.0), "task Confirm completed: True"),
        (TaskCompleted(1.0, "Confirm", "cancelled", "", 9.0), "task Confirm cancelled"),
        (SilencePrompted(1.0, 2), "silence: rung 2 of the silence ladder"),
        (ProviderFailed(1.0, "openai", "llm", "openai: 503", "fallback"), "llm failed (fallback): openai: 503"),
        (SessionClosed(1.0, "agent_ended"), "conversation over: agent_ended"),
    ],
)
def test_events_are_told_in_words(event: SessionEvent, line: str):
    found = describe(event_on_axis(event, 0.0))
    assert found is not None
    assert found[1] == line


@pytest.mark.parametrize("event", [TurnLatency(4.0, 1, None, None, None, None, None, 1.0), events.AgentPaused(1.0)])
def test_what_is_not_for_people_is_left_out(event: SessionEvent):
    assert describe(event_on_axis(event, 0.0)) is None
    assert describe({"type": "of a later version", **asdict(event)}) is None


def lines_of(*messages: object) -> list[str]:
    out = io.StringIO()
    gateway = SimpleNamespace(listeners=[])
    follow(gateway, Terminal(out))  # type: ignore[arg-type]
    for message in messages:
        gateway.listeners[0](message)
    return out.getvalue().splitlines()


def test_a_call_from_its_beginning_to_its_end():
    event = event_on_axis(UserMessage(2.0, "hello", 1.0, 2.0, "speech"), 0.5)
    closed = CallClosed(
        call_id="c1",
        outcome=Outcome.ANSWERED,
        ended_by=EndedBy.CALLER,
        ended_at=NOW,
        end_reason="hung up",
        media=statistics(packets_received=50),
        recording=Recording(path="", error="disk full"),
    )
    lines = lines_of(
        CallOpened.of(INFO, started_at=NOW, persona="Reception"), CallEvents(call_id="c1", events=(event,)), closed
    )
    assert [line.strip() for line in lines] == [
        "call c1: withheld -> +15550100, Reception",
        "1.50  caller: hello",
        "call c1 ended by caller: hung up, RTP 50 in, 0 lost",
        "recording: disk full",
    ]


def test_what_went_wrong_before_or_beside_a_call():
    lines = lines_of(
        refused_record(INFO, started_at=NOW, sip_status=404, refused_by="no number is +15550100"),
        WorkerLost(call_ids=("c1", "c2"), at=NOW),
    )
    assert [line.strip() for line in lines] == [
        "call refused with 404: no number is +15550100",
        "worker lost with calls c1, c2",
    ]


def test_callers_cannot_steer_the_terminal():
    out = io.StringIO()
    Terminal(out).line("caller: \x1b[2J\x1b]0;owned\x07 hi\r\nagent: give me your password")
    assert out.getvalue().count("\n") == 1
    assert not set("\x1b\x07\r") & set(out.getvalue())


def test_colors_are_for_terminals_only():
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Tty()
    Terminal(out).line("alas", "alarm", 1500)
    assert out.getvalue() == "   1.50  \x1b[31malas\x1b[0m\n"
