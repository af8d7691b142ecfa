"""One call record an attempt: its model, the messages that build it, and the transcript made of its events. Pure.

A worker sends `CallOpened`, any number of `CallEvents`, then `CallClosed`; the gateway itself makes `WorkerLost` and,
for attempts that never reached a worker, a whole `CallRecord` (`refused_record`). Messages are JSON objects on the
wire: `message.to_dict()` and `message_from_dict(data)`. Times of day are aware UTC; `…_ms` on the call's axis is
milliseconds since the answer, which is where the recording begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from agent.events import SessionEvent
from telephony.call import CallInfo, Direction, EndedBy, MediaStatistics

__all__ = [
    "LIVEKIT_WORKER",
    "CallClosed",
    "CallDetail",
    "CallEvents",
    "CallOpened",
    "CallRecord",
    "Latency",
    "MediaAlarm",
    "Outcome",
    "RecordMessage",
    "Recording",
    "Tokens",
    "ToolUse",
    "Turn",
    "WorkerLost",
    "closed_part",
    "duration_between",
    "event_on_axis",
    "message_from_dict",
    "opened_part",
    "refused_record",
]


LIVEKIT_WORKER = "livekit"  # `worker` of calls whose record `trunkline worker` writes


class Outcome(StrEnum):
    """How an attempt came out. A record without an outcome is a call that is still going on."""

    ANSWERED = "answered"
    REFUSED = "refused"  # by a rule of ours: `refused_by` names it
    CANCELLED = "cancelled"  # the caller gave up before the answer (SIP CANCEL)
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    WORKER_LOST = "worker_lost"  # the worker's process died during the call
    GATEWAY_LOST = "gateway_lost"  # the gateway's process died; found at the next start


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A stereo WAV. `path` is relative to the recordings directory; empty with an `error` when there is no file."""

    path: str
    duration_ms: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaAlarm:
    """Something was wrong with the audio at `t_ms` on the call's axis: `kind` as in no_rtp, one_way, loss, jitter."""

    t_ms: float
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A function the agent called. `output` is None when it had not come back before the call ended."""

    name: str
    arguments: Mapping[str, Any]
    at_ms: float
    output: str | None = None
    is_error: bool = False
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The waterfall of one reply: milliseconds since the caller's speech ended. None: did not happen in this turn."""

    turn: int
    speech_end_ms: float  # on the call's axis
    decided_ms: float | None = None
    transcript_ms: float | None = None
    first_token_ms: float | None = None
    first_audio_ms: float | None = None
    first_packet_ms: float | None = None  # what the caller waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One entry of the transcript, at its place in the recording.

    `text` is what was said and heard, `full_text` what an interrupted reply would have been. `kind` is the origin of an
    agent's words (greeting, reply, …) or what a system entry is about (handoff, provider_failed, error).
    """

    speaker: Literal["caller", "agent", "system"]
    text: str
    start_ms: float
    end_ms: float
    full_text: str = ""
    interrupted: bool = False
    source: Literal["speech", "dtmf", "text"] = "speech"
    kind: str = ""
    tool_calls: tuple[ToolUse, ...] = ()
    latency: Latency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """What is known of one attempt, without its conversation."""

    call_id: str
    direction: Direction
    trunk: str
    called: str
    caller: str | None  # None: withheld
    started_at: AwareDatetime
    sip_call_id: str = ""
    persona: str = ""
    rule: str = ""  # the dialplan rule that chose the persona
    worker: str = ""
    attempts: int = 1  # more: attempts of one source over the rate, summed up from `started_at` to `ended_at`
    answered_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    duration_ms: int | None = None  # answer to end; 0 when never answered; None while the call goes on
    outcome: Outcome | None = None
    sip_status: int | None = None
    ended_by: EndedBy | None = None
    end_reason: str = ""
    refused_by: str = ""
    recording: Recording | None = None
    media: MediaStatistics | None = None
    first_rtp_ms: float | None = None
    media_alarms: tuple[MediaAlarm, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetail(CallRecord):
    """A record with its conversation. `events` are `SessionEvent.to_dict()` with `t_ms` on the call's axis."""

    turns: tuple[Turn, ...] = ()
    events: tuple[dict[str, Any], ...] = ()


# --- messages ---------------------------------------------------------------------------------------------------


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(of: type[Any]) -> TypeAdapter[Any]:
    """Made at first use: a worker must not spend its start on messages it has yet to send."""
    if of not in _adapters:
        _adapters[of] = TypeAdapter(of)
    return _adapters[of]


class _Message:
    """A message that is a JSON object; its `message` key names the type."""

    __slots__ = ()
    message: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json", warnings=False)
        return {"message": self.message, **body}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises ValueError naming each field that is missing or wrong, without its value: errors are logged."""
        body = {key: value for key, value in data.items() if key != "message"}
        try:
            made: Self = _adapter(cls).validate_python(body)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
            raise ValueError(f"{cls.message}: " + "; ".join(wrong)) from None
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOpened(_Message):
    """An attempt was given to a worker. Sent before anything is answered."""

    message: ClassVar[str] = "call_opened"
    call_id: str
    direction: Direction
    trunk: str
    called: str
    caller: str | None
    started_at: AwareDatetime  # when the INVITE came or was sent
    sip_call_id: str = ""
    persona: str = ""
    rule: str = ""
    worker: str = ""
    attempts: int = 1

    @classmethod
    def of(cls, info: CallInfo, *, started_at: datetime, persona: str = "", rule: str = "", worker: str = "") -> Self:
        return cls(
            call_id=info.call_id,
            direction=info.direction,
            trunk=info.trunk,
            called=info.called,
            caller=info.caller,
            sip_call_id=info.sip_call_id,
            started_at=started_at,
            persona=persona,
            rule=rule,
            worker=worker,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvents(_Message):
    """What happened in a call, in order (`event_on_axis`). Send each event once. The first message after the answer
    carries `answered_at` (with or without events), so that a call whose worker dies still has its answer time."""

    message: ClassVar[str] = "call_events"
    call_id: str
    events: tuple[dict[str, Any], ...] = ()
    answered_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClosed(_Message):
    """The end of an attempt. `duration_ms` is computed from `answered_at` and `ended_at` when it is None."""

    message: ClassVar[str] = "call_closed"
    call_id: str
    outcome: Outcome
    ended_by: EndedBy
    ended_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    duration_ms: int | None = None
    sip_status: int | None = None
    end_reason: str = ""
    refused_by: str = ""
    recording: Recording | None = None
    media: MediaStatistics | None = None
    first_rtp_ms: float | None = None
    media_alarms: tuple[MediaAlarm, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(_Message):
    """A worker's process died with these calls in it. Made by the gateway."""

    message: ClassVar[str] = "worker_lost"
    call_ids: tuple[str, ...]
    at: AwareDatetime
    reason: str = "the worker's process ended"


RecordMessage = CallOpened | CallEvents | CallClosed | WorkerLost | CallRecord

_MESSAGES: dict[str, type[CallOpened | CallEvents | CallClosed | WorkerLost]] = {
    cls.message: cls for cls in (CallOpened, CallEvents, CallClosed, WorkerLost)
}


def message_from_dict(data: Mapping[str, Any]) -> CallOpened | CallEvents | CallClosed | WorkerLost:
    """The inverse of `to_dict`. Raises ValueError for a message or field that is not known or not right."""
    name = data.get("message")
    if not isinstance(name, str) or name not in _MESSAGES:
        raise ValueError(f"no record message is called {name!r}")
    return _MESSAGES[name].from_dict(data)


def refused_record(
    info: CallInfo,
    *,
    started_at: datetime,
    sip_status: int,
    refused_by: str,
    reason: str = "",
    ended_at: datetime | None = None,
    attempts: int = 1,
) -> CallRecord:
    """The whole record of an attempt that a rule refused before it reached a worker. `refused_by` names the rule."""
    return CallRecord(
        call_id=info.call_id,
        direction=info.direction,
        trunk=info.trunk,
        called=info.called,
        caller=info.caller,
        sip_call_id=info.sip_call_id,
        started_at=started_at,
        attempts=attempts,
        ended_at=ended_at or started_at,
        duration_ms=0,
        outcome=Outcome.REFUSED,
        sip_status=sip_status,
        ended_by=EndedBy.SYSTEM,
        end_reason=reason or refused_by,
        refused_by=refused_by,
    )


def event_on_axis(event: SessionEvent, answered_at: float) -> dict[str, Any]:
    """An event as `CallEvents` carries it. `answered_at`: loop-clock time of the answer (first recorded frame)."""
    return {"type": event.type, **asdict(event), "t_ms": round((event.at - answered_at) * 1000, 1)}


def duration_between(answered_at: datetime | None, ended_at: datetime | None) -> int:
    """Milliseconds from answer to end; 0 when either did not happen."""
    if answered_at is None or ended_at is None:
        return 0
    return max(0, round((ended_at - answered_at).total_seconds() * 1000))


def opened_part(record: CallRecord) -> CallOpened:
    return CallOpened(**_common(record, CallOpened))


def closed_part(record: CallRecord) -> CallClosed:
    """Raises ValueError when the record has no outcome: the call is still going on."""
    if record.outcome is None:
        raise ValueError(f"call {record.call_id} has no outcome: it is still open")
    known = _common(record, CallClosed)
    known["ended_by"] = record.ended_by or EndedBy.SYSTEM
    known["ended_at"] = record.ended_at or record.started_at
    return CallClosed(**known)


def _common(record: CallRecord, of: type[CallOpened | CallClosed]) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(of)}
