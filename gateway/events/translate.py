"""Record messages in, events out. Pure except for its memory of live calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gateway.events import kinds, queue_kinds
from gateway.events.data import EventData
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
from gateway.record.answering import MESSAGE, VERDICT
from telephony.call import Direction, EndedBy, TransferEnd

__all__ = ["Translator", "lost_call"]

_TEXT_LIMIT = 8_000  # characters of one turn or result; the record has all of it


class Translator:
    """`events` gets every record message in order, with the registry's result for it, where
    an answer and an end are reported once."""

    def __init__(self) -> None:
        self._going_on: dict[str, dict[str, Any]] = {}  # call id -> who called whom
        self._transfers: dict[str, set[str]] = {}  # in progress, by call

    def events(self, message: RecordMessage, facts: Sequence[CallFact]) -> list[EventData]:
        made = list(self._of_message(message))
        made += [self._of_fact(fact, message) for fact in facts]
        made += _recording(message)
        return made

    def _of_message(self, message: RecordMessage) -> Iterator[EventData]:
        match message:
            case CallOpened() if message.call_id not in self._going_on:
                self._going_on[message.call_id] = parties = _parties(message)
                if message.direction is Direction.INBOUND:
                    yield kinds.CallRinging(**parties, started_at=message.started_at)
                else:
                    yield kinds.CallQueued(**parties, started_at=message.started_at)
            case CallEvents():
                for event in message.events:
                    yield from self._of_session(message.call_id, event)
            case TransferBegan():
                known = self._transfers.setdefault(message.call_id, set())
                if message.transfer_id in known:  # its leg is told
                    return
                known.add(message.transfer_id)
                yield kinds.TransferStarted(
                    call_id=message.call_id, transfer_id=message.transfer_id, kind=message.kind, target=message.target,
                    headers=dict(message.headers), user_to_user=message.user_to_user,
                )  # fmt: skip
            case TransferEnded():
                self._transfers.get(message.call_id, set()).discard(message.transfer_id)
                done = message.outcome == TransferEnd.TRANSFERRED
                yield (kinds.TransferCompleted if done else kinds.TransferFailed)(
                    call_id=message.call_id, transfer_id=message.transfer_id, outcome=message.outcome,
                    sip_status=message.sip_status, reason=message.reason,
                )  # fmt: skip

    def _of_session(self, call_id: str, event: Mapping[str, Any]) -> Iterable[EventData]:
        make = _SESSION.get(str(event.get("type")))
        if make is None:
            return ()
        try:
            return (make(self._going_on.get(call_id) or {"call_id": call_id}, event),)
        except (KeyError, ValueError, TypeError, ValidationError):  # an event of another version
            return ()

    def _of_fact(self, fact: CallFact, message: RecordMessage) -> EventData:
        if isinstance(fact, CallAnswered):
            parties = self._going_on.get(fact.call_id, {"call_id": fact.call_id})
            return kinds.CallAnswered(**parties, after_s=round(fact.after_s, 3))
        return self._end(fact, message)

    def _end(self, fact: CallEnded, message: RecordMessage) -> EventData:
        self._transfers.pop(fact.call_id, None)
        parties = self._going_on.pop(fact.call_id, None)
        if parties is None:
            parties = _parties(message) if isinstance(message, CallRecord) else {"call_id": fact.call_id}
        return kinds.CallEnded(
            **parties, outcome=fact.outcome, ended_by=fact.ended_by, end_reason=fact.reason, sip_status=fact.sip_status,
            q850_cause=fact.q850_cause, duration_s=fact.duration_s, attempts=fact.attempts,
        )  # fmt: skip


def lost_call(call: CallRecord) -> EventData:
    """The end of a call whose gateway died."""
    return kinds.CallEnded(
        **_parties(call), outcome=Outcome.GATEWAY_LOST, ended_by=EndedBy.SYSTEM, end_reason="gateway_lost",
        attempts=call.attempts,
    )  # fmt: skip


def _parties(message: CallOpened | CallRecord) -> dict[str, Any]:
    return {
        "call_id": message.call_id,
        "direction": message.direction,
        "trunk": message.trunk,
        "called": message.called,
        "caller": message.caller,
        "persona": message.persona,
    }


def _recording(message: RecordMessage) -> list[EventData]:
    if not isinstance(message, CallClosed | CallRecord) or message.recording is None or not message.recording.path:
        return []
    url = f"/v1/calls/{message.call_id}/recording"
    return [kinds.RecordingReady(call_id=message.call_id, duration_ms=message.recording.duration_ms, url=url)]


def _caller_turn(call_id: str, event: Mapping[str, Any]) -> EventData:
    return kinds.CallTurn(
        call_id=call_id, t_ms=event["t_ms"], speaker="caller", text=event["text"][:_TEXT_LIMIT], source=event["source"]
    )


def _talk_turn(call_id: str, event: Mapping[str, Any]) -> EventData:
    """With, or of, a human whom the caller is transferred to."""
    speaks = event["speaker"]
    return kinds.CallTurn(
        call_id=call_id, t_ms=event["t_ms"], speaker=speaks, text=event["text"][:_TEXT_LIMIT], source="speech",
        kind=event["name"] if speaks == "human" else None,
    )  # fmt: skip


def _agent_turn(call_id: str, event: Mapping[str, Any]) -> EventData:
    return kinds.CallTurn(
        call_id=call_id, t_ms=event["t_ms"], speaker="agent", text=event["text"][:_TEXT_LIMIT],
        interrupted=event["interrupted"], kind=event["kind"],
    )  # fmt: skip


def _tool(call_id: str, event: Mapping[str, Any]) -> EventData:
    return kinds.CallTool(
        call_id=call_id, t_ms=event["t_ms"], name=event["name"], output=event["output"][:_TEXT_LIMIT],
        is_error=event["is_error"], duration_ms=event["duration_ms"],
    )  # fmt: skip


def _digit(call_id: str, event: Mapping[str, Any]) -> EventData:
    return kinds.CallDigit(call_id=call_id, t_ms=event["t_ms"], digit=event["digit"])


def _handoff(call_id: str, event: Mapping[str, Any]) -> EventData:
    said = {"from": event["from_persona"], "to": event["to_persona"]}
    return kinds.CallHandoff.model_validate({"call_id": call_id, "t_ms": event["t_ms"], **said})


def _answered_by(call_id: str, event: Mapping[str, Any]) -> EventData:
    return kinds.CallAnsweredBy(
        call_id=call_id, t_ms=event["t_ms"], answered_by=event["answered_by"], probability=event["probability"],
        reasons=event["reasons"], action=event["action"], corrects=event["corrects"] or None,
    )  # fmt: skip


def _as_it_is(kind: type[EventData], *fields: str) -> Callable[[str, Mapping[str, Any]], EventData]:
    """For kinds whose fields are those of the call's story."""
    return lambda call_id, event: kind.model_validate(
        {"call_id": call_id, "t_ms": event["t_ms"], **{name: event[name] for name in fields}}
    )


def _of_transfer(kind: type[EventData]) -> Callable[[str, Mapping[str, Any]], EventData]:
    return lambda call_id, event: kind.model_validate({"call_id": call_id, "transfer_id": event["transfer_id"]})


def _of_queue(kind: type[EventData], *fields: str) -> Callable[[str, Mapping[str, Any]], EventData]:
    return lambda call_id, event: kind.model_validate(
        {"call_id": call_id, **{name: event[name] for name in ("queue", *fields)}}
    )


Parties = Mapping[str, Any]


def _alone(
    make: Callable[[str, Mapping[str, Any]], EventData],
) -> Callable[[Parties, Mapping[str, Any]], EventData]:
    """For kinds that say no more about the call than its id."""
    return lambda parties, event: make(parties["call_id"], event)


def _ringing(parties: Parties, event: Mapping[str, Any]) -> EventData:
    return kinds.CallRinging(**parties, sip_status=int(event["detail"]))


_SESSION: Mapping[str, Callable[[Parties, Mapping[str, Any]], EventData]] = {
    "user_message": _alone(_caller_turn),
    "agent_message": _alone(_agent_turn),
    "ringing": _ringing,
    VERDICT: _alone(_answered_by),
    MESSAGE: _alone(_as_it_is(kinds.CallMessageLeft, "delivered", "why")),
    "digit_received": _alone(_digit),
    "function_call_output": _alone(_tool),
    "agent_handoff": _alone(_handoff),
    "call_held": _alone(_as_it_is(kinds.CallHeld)),
    "call_resumed": _alone(_as_it_is(kinds.CallResumed)),
    "digits_sent": _alone(_as_it_is(kinds.CallDigitsSent, "leg_id", "way", "count")),
    "digits_failed": _alone(_as_it_is(kinds.CallDigitsFailed, "leg_id", "error", "reason", "sip_status")),
    "call_muted": _alone(_as_it_is(kinds.CallMuted, "who")),
    "call_unmuted": _alone(_as_it_is(kinds.CallUnmuted, "who")),
    "supervisor_joined": _alone(_as_it_is(kinds.CallListened, "leg_id", "mode")),
    "supervisor_mode": _alone(_as_it_is(kinds.CallListened, "leg_id", "mode")),
    "talk_message": _alone(_talk_turn),
    "leg_replaced": _alone(_as_it_is(kinds.CallLegReplaced, "leg_id", "caller", "source")),
    "queue_joined": _alone(_of_queue(queue_kinds.QueueJoined, "position", "wait_s", "priority")),
    "queue_offered": _alone(_of_queue(queue_kinds.QueueOffered, "members")),
    "queue_answered": _alone(_of_queue(queue_kinds.QueueAnswered, "waited_s", "member", "leg_id")),
    "queue_left": _alone(_of_queue(queue_kinds.QueueLeft, "waited_s")),
    "queue_abandoned": _alone(_of_queue(queue_kinds.QueueAbandoned, "waited_s")),
    "queue_overflowed": _alone(_of_queue(queue_kinds.QueueOverflowed, "waited_s", "reason", "to")),
    "queue_callback": _alone(_of_queue(queue_kinds.QueueCallback, "waited_s", "to")),
    "transfer_ringing": _alone(_of_transfer(kinds.TransferRinging)),
    "transfer_answered": _alone(_of_transfer(kinds.TransferAnswered)),
}
