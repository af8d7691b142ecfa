"""What is reported to the gateway about a call, on the recording's time axis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.events import DigitReceived
from gateway.calls.journal import Journal, LegJournal
from gateway.record import CallClosed, CallEvents, Outcome, message_from_dict
from telephony.call import DigitSource, EndedBy, LegDigit, LegEnded, LegHeld, LegResumed
from telephony.fakes import statistics
from telephony.media.frames import SILENCE


class Audio:
    def __init__(self) -> None:
        self.pulled: list[float] = []
        self.pushed: list[float] = []

    def push(self, pcm: bytes, at: float) -> None:
        self.pushed.append(at)

    def pull(self, at: float) -> bytes:
        self.pulled.append(at)
        return SILENCE


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.sent: list[Any] = []
        self.journal = Journal("c1", lambda body: self.sent.append(message_from_dict(body)), lambda: self.now)
        self.customer = LegJournal("c1-1", lambda: self.now)

    def close(self, ended: LegEnded | None = None) -> CallClosed:
        self.journal.close(
            outcome=Outcome.ANSWERED, customer=self.customer, ended=ended, by=EndedBy.CALLER, reason="hung up",
            tokens=(3, 4), recording=None,
        )  # fmt: skip
        closed = self.sent[-1]
        assert isinstance(closed, CallClosed)
        return closed


def test_the_axis_begins_with_the_first_frame_that_the_leg_takes():
    world, audio = World(), Audio()
    world.journal.answered(99.0)
    clocked = world.journal.clocked(audio)
    clocked.push(SILENCE, 99.4)
    world.journal.event(DigitReceived(100.0, "1"))  # before any audio: since the answer
    for at in (99.5, 99.52, 99.54):
        assert clocked.pull(at) == SILENCE
    world.journal.event(DigitReceived(100.0, "2"))
    assert [message.events[0]["t_ms"] for message in world.sent if message.events] == [1000.0, 500.0]
    assert (audio.pulled, audio.pushed) == ([99.5, 99.52, 99.54], [99.4])


def test_the_answer_is_told_at_once_with_its_time_of_day():
    world = World()
    world.journal.answered(98.0)
    (message,) = world.sent
    assert isinstance(message, CallEvents)
    assert (datetime.now(UTC) - message.answered_at).total_seconds() == pytest.approx(2.0, abs=0.5)


def test_hold_is_part_of_the_story_and_other_leg_events_have_their_own_place():
    world = World()
    world.journal.answered(99.0)
    world.journal.leg_event(LegHeld(99.5))
    world.journal.leg_event(LegDigit("1", 99.6, DigitSource.RTP))
    world.journal.leg_event(LegResumed(100.0))
    events = [event for message in world.sent for event in message.events]
    assert [(event["type"], event["t_ms"]) for event in events] == [("leg_held", 500.0), ("leg_resumed", 1000.0)]


def test_the_closing_record_has_what_the_leg_said_last():
    world = World()
    world.journal.answered(90.0)
    world.customer.answered(90.0)
    world.customer.first_media(90.25)
    world.journal.alarm("livekit_lost", "the connection broke", 96.0)
    world.customer.alarm("no_rtp", "RTP packets have been missing for 2 s", 95.0)
    figures = statistics(packets_received=400)
    closed = world.close(LegEnded(98.0, True, 200, "bye", figures))
    assert (closed.outcome, closed.ended_by, closed.end_reason) == ("answered", "caller", "hung up")
    assert (closed.media, closed.first_rtp_ms, closed.sip_status) == (figures, 250.0, 200)
    assert [(alarm.t_ms, alarm.kind) for alarm in closed.media_alarms] == [
        (5000.0, "no_rtp"),
        (6000.0, "livekit_lost"),
    ]
    assert (closed.ended_at - closed.answered_at).total_seconds() == pytest.approx(8.0, abs=0.05)
    assert (closed.tokens.prompt, closed.tokens.completion) == (3, 4)


def test_an_answered_call_that_ends_before_the_conversation_has_a_story_too():
    world = World()
    world.journal.answered(90.0)
    world.close(LegEnded(90.3, True, 200, "bye", None))
    events = [event for message in world.sent if isinstance(message, CallEvents) for event in message.events]
    assert [(event["type"], event["t_ms"], event["reason"]) for event in events] == [("leg_ended", 300.0, "hung up")]
    world = World()
    world.journal.answered(90.0)
    world.journal.event(DigitReceived(90.1, "1"))
    world.close(LegEnded(90.3, True, 200, "bye", None))
    assert len([message for message in world.sent if isinstance(message, CallEvents) and message.events]) == 1


def test_a_call_that_was_never_answered_and_never_confirmed_still_has_an_end():
    closed = World().close()
    assert (closed.answered_at, closed.sip_status, closed.media, closed.first_rtp_ms) == (None, None, None, None)
    assert (datetime.now(UTC) - closed.ended_at).total_seconds() == pytest.approx(0.0, abs=0.5)
