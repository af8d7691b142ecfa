"""The model of a record: the call, its legs, its transfers, its conversation. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime

from gateway.record.answering import AnsweringRecord, MessageRecord
from gateway.record.legs import LegRecord, MediaAlarm, Outcome, TransferRecord
from telephony.call import Direction, EndedBy, MediaStatistics
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "LIVEKIT_WORKER",
    "CallDetail",
    "CallRecord",
    "Latency",
    "Recording",
    "Tokens",
    "ToolUse",
    "Turn",
    "duration_between",
]

LIVEKIT_WORKER = "livekit"  # `worker` of calls whose record `trunkline worker` writes


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

    `text` is the words said and heard, `full_text` the complete text of an interrupted reply. `kind` is the origin of
    an agent's words (greeting, reply, …), who a human is (as they were called), or what a system entry is about
    (handoff, provider_failed, error).
    """

    speaker: Literal["caller", "agent", "human", "system"]
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
    """One attempt, without its conversation. `media`, `first_rtp_ms` and `media_alarms` are those of
    the customer's leg."""

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
    gateway_id: str = ""  # whose call it was, where gateways share a database
    attempts: int = 1  # more: attempts of one source over the rate, summed up from `started_at` to `ended_at`
    answered_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    duration_ms: int | None = None  # answer to end; 0 if never answered; None while in progress
    outcome: Outcome | None = None
    sip_status: int | None = None
    q850_cause: int | None = None  # of the end: as the peer says, else that of `sip_status` (RFC 3398)
    ended_by: EndedBy | None = None
    end_reason: str = ""
    refused_by: str = ""
    recording: Recording | None = None
    media: MediaStatistics | None = None
    first_rtp_ms: float | None = None
    media_alarms: tuple[MediaAlarm, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)
    answered_by: AnsweredBy | None = None  # of calls that we place; None: not known
    answering: AnsweringRecord | None = None  # how that is known
    message: MessageRecord | None = None  # None: none was to be left


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetail(CallRecord):
    """A record with its conversation, its legs and transfers in the order in which they began. `events` are
    `SessionEvent.to_dict()` with `t_ms` on the call's axis."""

    legs: tuple[LegRecord, ...] = ()
    transfers: tuple[TransferRecord, ...] = ()
    turns: tuple[Turn, ...] = ()
    events: tuple[dict[str, Any], ...] = ()


def duration_between(answered_at: datetime | None, ended_at: datetime | None) -> int:
    """Milliseconds from answer to end; 0 when either did not happen."""
    if answered_at is None or ended_at is None:
        return 0
    return max(0, round((ended_at - answered_at).total_seconds() * 1000))
