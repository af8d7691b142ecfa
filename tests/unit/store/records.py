"""Records for tests: one conversation, and the messages of calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.events import (
    AgentHandoff,
    AgentMessage,
    DigitReceived,
    FunctionCall,
    FunctionCallOutput,
    MessageLeft,
    ProviderFailed,
    SessionClosed,
    SessionEvent,
    SessionStarted,
    TurnLatency,
    UserMessage,
    WhoAnsweredTold,
)
from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    LegClosed,
    LegOpened,
    MediaAlarm,
    Outcome,
    Recording,
    Tokens,
    TransferBegan,
    TransferEnded,
    TransferKind,
    WorkerLost,
    event_on_axis,
    leg_id_of,
)
from telephony.call import CallInfo, Direction, EndedBy, LegRole, MediaStatistics

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ANSWER = 1000.0  # loop clock

MEDIA = MediaStatistics("PCMU", 500, 3, 1, 0, 0, 501, 2, 4.5, 9.0, 60.0, 80.0, 4, 21.5)


def opened(call_id: str = "c1", *, minutes: float = 0, **changes: Any) -> CallOpened:
    info = CallInfo(
        call_id,
        changes.pop("direction", Direction.INBOUND),
        changes.pop("called", "+15550100"),
        changes.pop("caller", "+15557777"),
        changes.pop("trunk", "local"),
        sip_call_id=f"{call_id}@trunk",
    )
    fields = {"persona": "clinic.Reception", "rule": "numbers[+15550100][0]", "worker": "w1"} | changes
    return CallOpened.of(info, started_at=START + timedelta(minutes=minutes), **fields)


def verdict(answered_by: str, t_ms: float, *, corrects: str = "", action: str = "talk") -> dict[str, Any]:
    """Who answered a call that we placed, as an event of it."""
    told = WhoAnsweredTold(ANSWER + t_ms / 1000, answered_by, 0.9, ["words"], action, corrects)
    return event_on_axis(told, ANSWER)


def message_left(t_ms: float, *, delivered: bool, why: str) -> dict[str, Any]:
    return event_on_axis(MessageLeft(ANSWER + t_ms / 1000, delivered, why, "Please call Ada."), ANSWER)


def closed(call_id: str = "c1", **changes: Any) -> CallClosed:
    fields: dict[str, Any] = {
        "outcome": Outcome.ANSWERED,
        "ended_by": EndedBy.CALLER,
        "ended_at": START + timedelta(seconds=32),
        "answered_at": START + timedelta(seconds=2),
        "sip_status": 200,
        "q850_cause": 31,
        "end_reason": "caller hung up",
        "recording": Recording(path=f"{call_id}.wav", duration_ms=30_000),
        "media": MEDIA,
        "first_rtp_ms": 12.5,
        "media_alarms": (MediaAlarm(t_ms=4000, kind="loss", detail="3 %"),),
        "tokens": Tokens(prompt=120, completion=30),
    }
    return CallClosed(call_id=call_id, **fields | changes)


def leg_opened(call_id: str = "c1", number: int = 2, *, seconds: float = 10, **changes: Any) -> LegOpened:
    """The leg of somebody called in by the agent."""
    fields: dict[str, Any] = {
        "role": LegRole.HUMAN,
        "direction": Direction.OUTBOUND,
        "trunk": "desk",
        "called": "sip:human@desk.example",
        "caller": "+15550100",
        "sip_call_id": f"{call_id}-{number}@us",
        "worker": "w2",
    }
    return LegOpened(
        leg_id=leg_id_of(call_id, number),
        call_id=call_id,
        started_at=START + timedelta(seconds=seconds),
        **fields | changes,
    )


def leg_closed(call_id: str = "c1", number: int = 2, **changes: Any) -> LegClosed:
    fields: dict[str, Any] = {
        "outcome": Outcome.ANSWERED,
        "ended_at": START + timedelta(seconds=30),
        "answered_at": START + timedelta(seconds=15),
        "sip_status": 200,
        "q850_cause": 31,
        "end_reason": "the human hung up",
        "ended_by": EndedBy.HUMAN,
        "media": MEDIA,
        "first_rtp_ms": 20.0,
        "media_alarms": (MediaAlarm(t_ms=900, kind="jitter"),),
    }
    return LegClosed(leg_id=leg_id_of(call_id, number), call_id=call_id, **fields | changes)


def transfer_began(call_id: str = "c1", transfer_id: str = "c1-t1", **changes: Any) -> TransferBegan:
    fields: dict[str, Any] = {
        "kind": TransferKind.WARM,
        "target": "sip:human@desk.example",
        "began_at": START + timedelta(seconds=9),
        "leg_id": leg_id_of(call_id, 2),
        "headers": {"X-Account": "4711"},  # for events alone
    }
    return TransferBegan(transfer_id=transfer_id, call_id=call_id, **fields | changes)


def transfer_ended(call_id: str = "c1", transfer_id: str = "c1-t1", **changes: Any) -> TransferEnded:
    fields: dict[str, Any] = {
        "outcome": Outcome.ANSWERED,
        "ended_at": START + timedelta(seconds=20),
        "sip_status": 200,
        "reason": "joined",
    }
    return TransferEnded(transfer_id=transfer_id, call_id=call_id, **fields | changes)


CONVERSATION: tuple[SessionEvent, ...] = (
    SessionStarted(ANSWER, "clinic.Reception"),
    TurnLatency(ANSWER + 0.3, 0, None, None, None, None, ANSWER + 0.2, ANSWER + 0.3),
    AgentMessage(ANSWER + 2.0, "Hello.", "Hello.", False, ANSWER + 0.3, "greeting"),
    UserMessage(ANSWER + 4.2, "a slot tomorrow", ANSWER + 2.5, ANSWER + 4.0, "speech"),
    FunctionCall(ANSWER + 4.3, "t1", "free_slots", {"day": "tomorrow"}),
    FunctionCallOutput(ANSWER + 4.4, "t1", "free_slots", "9:30", False, 100.0),
    TurnLatency(ANSWER + 4.6, 1, ANSWER + 4.0, ANSWER + 4.15, ANSWER + 4.2, ANSWER + 4.25, ANSWER + 4.45, ANSWER + 4.6),
    AgentMessage(ANSWER + 5.5, "There is nine", "There is nine thirty.", True, ANSWER + 4.6, "reply"),
    DigitReceived(ANSWER + 6.0, "4"),
    DigitReceived(ANSWER + 6.2, "2"),
    UserMessage(ANSWER + 6.5, "42#", ANSWER + 6.0, ANSWER + 6.2, "dtmf"),
    AgentHandoff(ANSWER + 7.0, "clinic.Reception", "clinic.Billing"),
    ProviderFailed(ANSWER + 8.0, "espeak", "tts", "no voice", "canned"),
    SessionClosed(ANSWER + 9.0, "leg_ended"),
)


def conversation() -> list[dict[str, Any]]:
    return [event_on_axis(event, ANSWER) for event in CONVERSATION]


def talked(call_id: str, events: Iterable[dict[str, Any]]) -> CallEvents:
    return CallEvents(call_id=call_id, events=tuple(events))


def worker_lost(call_ids: Iterable[str], *, at: datetime = START) -> WorkerLost:
    return WorkerLost(call_ids=tuple(call_ids), at=at)
