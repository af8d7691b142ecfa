"""The catalogue of events: what each kind says. Pure. `python -m gateway.events` writes it into docs/events.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field

from gateway.events import queue_kinds, trunk_kinds
from gateway.events.data import EXAMPLE_CALL, CallTold, EventData, EventType
from gateway.record import Outcome, TransferKind
from telephony.call import Direction, EndedBy, TransferEnd
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "EVENTS",
    "CallAnswered",
    "CallAnsweredBy",
    "CallDigit",
    "CallEnded",
    "CallHandoff",
    "CallHeld",
    "CallLegReplaced",
    "CallListened",
    "CallMessageLeft",
    "CallMuted",
    "CallQueued",
    "CallResumed",
    "CallRinging",
    "CallTold",
    "CallTool",
    "CallTurn",
    "CallUnmuted",
    "EventData",
    "EventType",
    "RecordingReady",
    "TransferAnswered",
    "TransferCompleted",
    "TransferFailed",
    "TransferRinging",
    "TransferStarted",
]


class _Parties(CallTold):
    direction: Direction | None = Field(default=None, description="`inbound` or `outbound`.")
    trunk: str = Field(default="", description="The trunk's name in the settings.")
    called: str = Field(default="", description="The number that was called.")
    caller: str | None = Field(default=None, description="The number that calls; null: withheld.")
    persona: str = Field(default="", description="Who answers or calls, as the dialplan names it.")


class _OnAxis(CallTold):
    t_ms: float = Field(description="Milliseconds on the call's recording.")


_PARTIES = {
    "call_id": "8b0f5a1c2d3e4f60",
    "direction": "outbound",
    "trunk": "carrier",
    "called": "+15551234567",
    "caller": "+15550199",
    "persona": "clinic.Reminder",
}


class CallQueued(_Parties):
    """An outbound call was accepted and is about to be placed."""

    type = EventType.CALL_QUEUED
    example = _PARTIES | {"started_at": "2026-11-27T20:00:00Z"}

    started_at: AwareDatetime = Field(description="When the call began.")


class CallRinging(_Parties):
    """An inbound call has come and is being answered; an outbound call rings at the other side."""

    type = EventType.CALL_RINGING
    example = _PARTIES | {"started_at": "2026-11-27T20:00:00Z", "sip_status": 180}

    started_at: AwareDatetime | None = Field(default=None, description="When the call began.")
    sip_status: int | None = Field(default=None, description="The SIP status; of outbound calls 180 or 183.")


class CallAnswered(_Parties):
    """An inbound caller has our answer; somebody or something has answered an outbound call."""

    type = EventType.CALL_ANSWERED
    example = _PARTIES | {"after_s": 6.2}

    after_s: float = Field(description="Seconds since the call began.")


class CallAnsweredBy(_OnAxis):
    """It is known who answered an outbound call, or an earlier event was wrong about it."""

    type = EventType.CALL_ANSWERED_BY
    example = EXAMPLE_CALL | {
        "t_ms": 1840.0, "answered_by": "human", "probability": 0.97, "reasons": ["short greeting"], "action": "talk",
        "corrects": None,
    }  # fmt: skip

    answered_by: AnsweredBy = Field(description=", ".join(f"`{each}`" for each in AnsweredBy) + ".")
    probability: float = Field(ge=0, le=1, description="How sure that is.")
    reasons: tuple[str, ...] = Field(description="What it is known from, the most telling first.")
    action: str = Field(description="What is done about it ([answering.md](answering.md)).")
    corrects: AnsweredBy | None = Field(default=None, description="What was told before; null: nothing.")


class CallMessageLeft(_OnAxis):
    """A message for a voicemail was left, or could not be."""

    type = EventType.CALL_MESSAGE_LEFT
    example = EXAMPLE_CALL | {"t_ms": 11320.0, "delivered": True, "why": "beep"}

    delivered: bool = Field(description="Whether all of it was played after the greeting's end.")
    why: str = Field(
        description="What it began on: `beep`, `greeting_end`, `limit`; else why it was not delivered: `hung_up`, "
        "`picked_up`, `corrected`, `speech_failed`, `never_began`."
    )


class CallDigit(_OnAxis):
    """The customer pressed a key."""

    type = EventType.CALL_DIGIT
    example = EXAMPLE_CALL | {"t_ms": 9120.0, "digit": "5"}

    digit: str = Field(description="The key; `•` where it is hidden.", repr=False)


class CallDigitsSent(_OnAxis):
    """Keys have been sent to a leg."""

    type = EventType.CALL_DIGITS_SENT
    example = EXAMPLE_CALL | {"t_ms": 2400.0, "leg_id": "8b0f5a1c2d3e4f60-1", "way": "rfc4733", "count": 5}

    leg_id: str = Field(description="The leg's ID.")
    way: Literal["rfc4733", "info", "inband"] | None = Field(description="How; null if another worker has the leg.")
    count: int = Field(description="How many. The keys themselves are not told.")


class CallDigitsFailed(_OnAxis):
    """Keys were not sent to a leg, or not all of them."""

    type = EventType.CALL_DIGITS_FAILED
    example = EXAMPLE_CALL | {
        "t_ms": 2400.0, "leg_id": "8b0f5a1c2d3e4f60-1", "error": "refused",
        "reason": "the peer refuses keys by INFO: 415 Unsupported Media Type", "sip_status": 415,
    }  # fmt: skip

    leg_id: str = Field(description="The leg's ID.")
    error: str = Field(
        description="`refused` (the other side refuses INFO), `no_answer`, `no_events` (it takes no RFC 4733), "
        "`unknown_leg`, `not_possible`, `failed`."
    )
    reason: str = Field(description="In words.")
    sip_status: int | None = Field(default=None, description="The answer to the INFO.")


class CallTurn(_OnAxis):
    """One side has finished saying something."""

    type = EventType.CALL_TURN
    example = EXAMPLE_CALL | {
        "t_ms": 4600.0, "speaker": "caller", "text": "Tomorrow at nine, please.", "source": "speech",
        "interrupted": False, "kind": None,
    }  # fmt: skip

    speaker: Literal["caller", "agent", "human"] = Field(
        description="`caller` is the customer, also of outbound calls; `human`: whom they are transferred to."
    )
    text: str = Field(description="The words; of an interrupted reply those that were heard.")
    source: str | None = Field(default=None, description="Of the caller: `speech`, `dtmf` or `text`.")
    interrupted: bool = Field(default=False, description="Whether the caller cut the agent short.")
    kind: str | None = Field(
        default=None, description="Of the agent: `greeting`, `reply`, `say`, …; of a human: who it is."
    )


class CallTool(_OnAxis):
    """A function of the persona has returned."""

    type = EventType.CALL_TOOL
    example = EXAMPLE_CALL | {
        "t_ms": 5310.0, "name": "free_slots", "output": "9:00, 9:30", "is_error": False, "duration_ms": 112.5,
    }  # fmt: skip

    name: str = Field(description="The function's name.")
    output: str = Field(description="Its result as the model sees it.")
    is_error: bool = Field(description="Whether it failed; then `output` says how.")
    duration_ms: float = Field(description="How long it took.")


class CallHandoff(_OnAxis):
    """Another persona has taken over."""

    type = EventType.CALL_HANDOFF
    example = EXAMPLE_CALL | {"t_ms": 12050.0, "from": "Reception", "to": "Billing"}

    from_: str = Field(alias="from", description="The persona that spoke before.")
    to: str = Field(description="The persona that speaks now.")


class CallEnded(_Parties):
    """Once for each attempt, refused ones included."""

    type = EventType.CALL_ENDED
    example = _PARTIES | {
        "outcome": "answered", "ended_by": "caller", "end_reason": "leg_ended", "sip_status": 200, "q850_cause": 16,
        "duration_s": 41.3, "attempts": 1,
    }  # fmt: skip

    outcome: Outcome = Field(description="As in the record ([records.md](records.md)).")
    ended_by: EndedBy = Field(description="`caller`, `agent`, `human` or `system`.")
    end_reason: str = Field(description="Why; of refused calls the rule that refused it.")
    sip_status: int | None = Field(default=None, description="The final SIP status; null: none is known.")
    q850_cause: int | None = Field(default=None, description="The Q.850 cause; null: none is known.")
    duration_s: float | None = Field(default=None, description="From answer to end; null: unknown.")
    attempts: int = Field(default=1, description="More: that many attempts of a flood, told as one.")


class _Transfer(CallTold):
    transfer_id: str = Field(description="As in the record's `transfers`.")


class TransferStarted(_Transfer):
    """The customer is to be brought to somebody."""

    type = EventType.TRANSFER_STARTED
    example = EXAMPLE_CALL | {"transfer_id": "8b0f5a1c2d3e4f60-t1", "kind": "warm", "target": "+15557654321"} | {
        "headers": {"X-Account": "4711"}, "user_to_user": "",
    }  # fmt: skip

    kind: TransferKind = Field(description="`warm` or `cold`.")
    target: str = Field(description="To whom: a number or a SIP address.")
    headers: dict[str, str] = Field(default={}, description="Of the call to them, for their screen: X-….")
    user_to_user: str = Field(default="", description="The same, of its User-to-User header, as text.")


class TransferRinging(_Transfer):
    """The target rings."""

    type = EventType.TRANSFER_RINGING
    example = EXAMPLE_CALL | {"transfer_id": "8b0f5a1c2d3e4f60-t1"}


class TransferAnswered(_Transfer):
    """The target has answered."""

    type = EventType.TRANSFER_ANSWERED
    example = EXAMPLE_CALL | {"transfer_id": "8b0f5a1c2d3e4f60-t1"}


class _TransferEnd(_Transfer):
    outcome: TransferEnd | Outcome = Field(description="`transferred`, or why not ([transfers.md](transfers.md)).")
    sip_status: int | None = Field(default=None, description="The target's final SIP status; null: there was none.")
    reason: str = Field(default="", description="In words.")


class TransferCompleted(_TransferEnd):
    """The target has the customer."""

    type = EventType.TRANSFER_COMPLETED
    example = EXAMPLE_CALL | {
        "transfer_id": "8b0f5a1c2d3e4f60-t1", "outcome": "transferred", "sip_status": 200, "reason": "OK",
    }  # fmt: skip


class TransferFailed(_TransferEnd):
    """The customer was not brought to the target."""

    type = EventType.TRANSFER_FAILED
    example = EXAMPLE_CALL | {
        "transfer_id": "8b0f5a1c2d3e4f60-t1",
        "outcome": "busy",
        "sip_status": 486,
        "reason": "Busy",
    }


class CallHeld(_OnAxis):
    """We have put the customer on hold."""

    type = EventType.CALL_HELD
    example = EXAMPLE_CALL | {"t_ms": 21000.0}


class CallResumed(_OnAxis):
    """The customer is no longer on hold."""

    type = EventType.CALL_RESUMED
    example = EXAMPLE_CALL | {"t_ms": 30500.0}


class CallMuted(_OnAxis):
    """Somebody is muted from now on."""

    type = EventType.CALL_MUTED
    example = EXAMPLE_CALL | {"t_ms": 21000.0, "who": "agent"}

    who: Literal["agent", "caller"] = Field(
        description="`agent`: the customer does not hear it; `caller`: the reverse."
    )


class CallUnmuted(_OnAxis):
    """They are heard again."""

    type = EventType.CALL_UNMUTED
    example = EXAMPLE_CALL | {"t_ms": 30500.0, "who": "agent"}

    who: Literal["agent", "caller"] = Field(description="As in `call.muted`.")


class CallListened(_OnAxis):
    """A supervisor has answered, or is heard by others from now on."""

    type = EventType.CALL_LISTENED
    example = EXAMPLE_CALL | {"t_ms": 15000.0, "leg_id": "8b0f5a1c2d3e4f60-2", "mode": "listen"}

    leg_id: str = Field(description="The supervisor's leg.")
    mode: Literal["listen", "whisper", "barge", "take_over"] = Field(
        description="Who hears them ([transfers.md](transfers.md))."
    )


class CallLegReplaced(_OnAxis):
    """Another phone has taken over one side of the call (INVITE with Replaces)."""

    type = EventType.CALL_LEG_REPLACED
    example = EXAMPLE_CALL | {
        "t_ms": 21000.0,
        "leg_id": "8b0f5a1c2d3e4f60-2",
        "caller": "204",
        "source": "udp:10.0.0.7:5060",
    }

    leg_id: str = Field(description="The leg, whose id stays.")
    caller: str | None = Field(default=None, description="Who has it now; null: withheld.")
    source: str = Field(description="Transport, address and port of the phone.")


class RecordingReady(CallTold):
    """The recording can be fetched."""

    type = EventType.RECORDING_READY
    example = EXAMPLE_CALL | {"duration_ms": 41300, "url": "/v1/calls/8b0f5a1c2d3e4f60/recording"}

    duration_ms: int = Field(description="Its length.")
    url: str = Field(description="Its path in this API.")


OTHERS = (queue_kinds, trunk_kinds)  # whose kinds are in the catalogue by being defined


def _kinds(of: type[EventData]) -> list[type[EventData]]:
    return [each for inner in of.__subclasses__() for each in (inner, *_kinds(inner))]


_MODELS = {each.type: each for each in _kinds(EventData) if "type" in vars(each)}
EVENTS: Mapping[EventType, type[EventData]] = {kind: _MODELS[kind] for kind in EventType}
