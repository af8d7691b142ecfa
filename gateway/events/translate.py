"""Record messages in, events out. Pure except for its memory of live calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.events.catalogue import EventType
from gateway.live_calls import CallAnswered, CallEnded, CallFact
from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    CallRecord,
    Outcome,
    RecordMessage,
    TransferBegan,
    TransferEnded,
)
from telephony.call import Direction, EndedBy

__all__ = ["Draft", "Translator", "lost_call"]

_TEXT_LIMIT = 8_000  # characters of one turn or result; the record has all of it


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without its id and time."""

    type: EventType
    call_id: str
    data: Mapping[str, Any]


class Translator:
    """`drafts` gets every record message in order, with the registry's result for it, where
    an answer and an end are reported once."""

    def __init__(self) -> None:
        self._going_on: dict[str, dict[str, Any]] = {}  # call id -> who called whom

    def drafts(self, message: RecordMessage, facts: Sequence[CallFact]) -> list[Draft]:
        made = list(self._of_message(message))
        made += [self._of_fact(fact, message) for fact in facts]
        made += _recording(message)
        return made

    def _of_message(self, message: RecordMessage) -> Iterator[Draft]:
        match message:
            case CallOpened() if message.call_id not in self._going_on:
                self._going_on[message.call_id] = parties = _parties(message)
                inbound = message.direction is Direction.INBOUND
                began = {"started_at": message.started_at.isoformat()}
                yield Draft(
                    EventType.CALL_RINGING if inbound else EventType.CALL_QUEUED, message.call_id, parties | began
                )
            case CallEvents():
                for event in message.events:
                    yield from _of_session(message.call_id, event)
            case TransferBegan():
                data = {"transfer_id": message.transfer_id, "kind": message.kind, "target": message.target}
                yield Draft(EventType.TRANSFER_STARTED, message.call_id, {"call_id": message.call_id, **data})
            case TransferEnded():
                ended: dict[str, Any] = {
                    "transfer_id": message.transfer_id,
                    "outcome": message.outcome,
                    "sip_status": message.sip_status,
                    "reason": message.reason,
                }
                yield Draft(EventType.TRANSFER_ENDED, message.call_id, {"call_id": message.call_id, **ended})

    def _of_fact(self, fact: CallFact, message: RecordMessage) -> Draft:
        if isinstance(fact, CallAnswered):
            parties = self._going_on.get(fact.call_id, {"call_id": fact.call_id})
            return Draft(EventType.CALL_ANSWERED, fact.call_id, parties | {"after_s": round(fact.after_s, 3)})
        return Draft(EventType.CALL_ENDED, fact.call_id, self._end(fact, message))

    def _end(self, fact: CallEnded, message: RecordMessage) -> dict[str, Any]:
        parties = self._going_on.pop(fact.call_id, None)
        if parties is None:
            parties = _parties(message) if isinstance(message, CallRecord) else {"call_id": fact.call_id}
        return parties | {
            "outcome": fact.outcome,
            "ended_by": fact.ended_by,
            "end_reason": fact.reason,
            "sip_status": fact.sip_status,
            "q850_cause": fact.q850_cause,
            "duration_s": fact.duration_s,
            "attempts": fact.attempts,
        }


def lost_call(call: CallRecord) -> Draft:
    """The end of a call whose gateway died."""
    end = {"outcome": Outcome.GATEWAY_LOST, "ended_by": EndedBy.SYSTEM, "end_reason": "gateway_lost"}
    unknown = {"sip_status": None, "q850_cause": None, "duration_s": None, "attempts": call.attempts}
    return Draft(EventType.CALL_ENDED, call.call_id, _parties(call) | end | unknown)


def _parties(message: CallOpened | CallRecord) -> dict[str, Any]:
    return {
        "call_id": message.call_id,
        "direction": message.direction,
        "trunk": message.trunk,
        "called": message.called,
        "caller": message.caller,
        "persona": message.persona,
    }


def _recording(message: RecordMessage) -> list[Draft]:
    if not isinstance(message, CallClosed | CallRecord) or message.recording is None or not message.recording.path:
        return []
    data = {
        "call_id": message.call_id,
        "duration_ms": message.recording.duration_ms,
        "url": f"/v1/calls/{message.call_id}/recording",
    }
    return [Draft(EventType.RECORDING_READY, message.call_id, data)]


def _of_session(call_id: str, event: Mapping[str, Any]) -> Iterable[Draft]:
    made = _SESSION.get(str(event.get("type")))
    if made is None:
        return ()
    event_type, data = made
    try:
        return (Draft(event_type, call_id, {"call_id": call_id, "t_ms": event["t_ms"], **data(event)}),)
    except (KeyError, ValueError):  # an event of another version
        return ()


def _caller_turn(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"speaker": "caller", "text": event["text"][:_TEXT_LIMIT], "source": event["source"]}


def _agent_turn(event: Mapping[str, Any]) -> dict[str, Any]:
    said = {"text": event["text"][:_TEXT_LIMIT], "interrupted": event["interrupted"], "kind": event["kind"]}
    return {"speaker": "agent", **said}


def _tool(event: Mapping[str, Any]) -> dict[str, Any]:
    output = {"output": event["output"][:_TEXT_LIMIT], "is_error": event["is_error"]}
    return {"name": event["name"], **output, "duration_ms": event["duration_ms"]}


_SESSION: Mapping[str, tuple[EventType, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "user_message": (EventType.CALL_TURN, _caller_turn),
    "agent_message": (EventType.CALL_TURN, _agent_turn),
    "ringing": (EventType.CALL_RINGING, lambda event: {"sip_status": int(event["detail"])}),
    "digit_received": (EventType.CALL_DIGIT, lambda event: {"digit": event["digit"]}),
    "function_call_output": (EventType.CALL_TOOL, _tool),
    "agent_handoff": (EventType.CALL_HANDOFF, lambda event: {"from": event["from_persona"], "to": event["to_persona"]}),
}
