"""What happens in a conversation, as frozen events. The terminal, the call record, replays and tests all read these.

`at` is loop-clock time in seconds. Each event has a `type` name for JSON: its class name in snake case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "AgentHandoff",
    "AgentMessage",
    "AgentPaused",
    "AgentResumed",
    "AgentStartedSpeaking",
    "AgentStoppedSpeaking",
    "CallbackAsked",
    "CallerBack",
    "CallerHeld",
    "DigitReceived",
    "FunctionBlocked",
    "FunctionCall",
    "FunctionCallOutput",
    "MessageLeft",
    "OptedOut",
    "ProviderFailed",
    "RecordingPaused",
    "RecordingResumed",
    "ResultReported",
    "SessionClosed",
    "SessionEvent",
    "SessionStarted",
    "SilencePrompted",
    "TaskCompleted",
    "TaskStarted",
    "TurnLatency",
    "UserMessage",
    "UserStartedSpeaking",
    "UserStoppedSpeaking",
    "UserTurnEnded",
    "WhoAnsweredTold",
    "event_from_dict",
]


@dataclass(frozen=True, slots=True)
class SessionEvent:
    at: float

    @property
    def type(self) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, **asdict(self)}


@dataclass(frozen=True, slots=True)
class SessionStarted(SessionEvent):
    """`llm`: the names of the models, as in `openai | rules`."""

    persona: str
    llm: str = ""


@dataclass(frozen=True, slots=True)
class UserStartedSpeaking(SessionEvent):
    """`at`: when speech began in the audio, which is before it was noticed."""

    noticed_at: float


@dataclass(frozen=True, slots=True)
class UserStoppedSpeaking(SessionEvent):
    """`at`: when speech ended in the audio; the end silence starts here."""

    noticed_at: float


@dataclass(frozen=True, slots=True)
class UserTurnEnded(SessionEvent):
    """The turn machine decided that the caller is done. `reason`: silence, end_of_turn (by the recogniser), committed
    (by the application), digits, or forced (endless talk). `why`: the reason, for people."""

    speech_ended_at: float
    reason: Literal["silence", "end_of_turn", "committed", "digits", "forced"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class UserMessage(SessionEvent):
    """The caller's final message. `started_at`..`ended_at`: its position in the audio. Empty text is not reported."""

    text: str
    started_at: float
    ended_at: float
    source: Literal["speech", "dtmf", "text"]
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class DigitReceived(SessionEvent):
    """The caller pressed a key; `•` if it is hidden (agent.privacy)."""

    digit: str


@dataclass(frozen=True, slots=True)
class RecordingPaused(SessionEvent):
    """From `at` on the recording is silent, on the same time axis. `reason`: secret (hidden digits are being asked for
    or keyed), asked (by the persona)."""

    reason: Literal["secret", "asked"]


@dataclass(frozen=True, slots=True)
class RecordingResumed(SessionEvent):
    pass


@dataclass(frozen=True, slots=True)
class AgentStartedSpeaking(SessionEvent):
    """The first frame of a reply was taken by the leg."""


@dataclass(frozen=True, slots=True)
class AgentPaused(SessionEvent):
    """Output was paused at a first sign of speech."""


@dataclass(frozen=True, slots=True)
class AgentResumed(SessionEvent):
    """It was not an interruption after all."""


@dataclass(frozen=True, slots=True)
class AgentStoppedSpeaking(SessionEvent):
    interrupted: bool


@dataclass(frozen=True, slots=True)
class AgentMessage(SessionEvent):
    """A finished reply. `text`: the part that was heard (everything unless interrupted); `full_text`: the complete
    text. `kind`: where the words came from. `started_at`..`at` is its place in the audio."""

    text: str
    full_text: str
    interrupted: bool
    started_at: float
    kind: Literal["greeting", "reply", "say", "silence_prompt", "canned", "farewell", "message"]


@dataclass(frozen=True, slots=True)
class FunctionCall(SessionEvent):
    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionCallOutput(SessionEvent):
    call_id: str
    name: str
    output: str
    is_error: bool
    duration_ms: float


@dataclass(frozen=True, slots=True)
class FunctionBlocked(SessionEvent):
    """A function of the persona (`tool look_up`, `Host.on_enter`) blocked the event loop and with it all calls of its
    process, up to now. `stack`: file, line and name of each frame, innermost last."""

    name: str
    blocked_ms: float
    stack: Sequence[str]


@dataclass(frozen=True, slots=True)
class AgentHandoff(SessionEvent):
    from_persona: str
    to_persona: str


@dataclass(frozen=True, slots=True)
class TaskStarted(SessionEvent):
    """A tool or a hook of `persona` (which may be a task itself) awaits `task`, which talks and listens from now on."""

    task: str
    persona: str


@dataclass(frozen=True, slots=True)
class TaskCompleted(SessionEvent):
    """Its waiter continues. `outcome`: failed (`result` is the error), timed_out, handed_over (the caller talks
    to another persona now), cancelled (what awaited it was, or the call is over)."""

    task: str
    outcome: Literal["completed", "failed", "timed_out", "handed_over", "cancelled"]
    result: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class SilencePrompted(SessionEvent):
    """A rung of the silence ladder: 1 asks, 2 asks again, the last one ends the call."""

    rung: int


@dataclass(frozen=True, slots=True)
class CallerHeld(SessionEvent):
    """The caller has put us on hold, or (`by_us`) has been: held, or with somebody else. Speech has been cut off here;
    nothing is heard or said until `CallerBack`."""

    by_us: bool = False


@dataclass(frozen=True, slots=True)
class CallerBack(SessionEvent):
    """The caller hears us again."""

    held_ms: float


@dataclass(frozen=True, slots=True)
class WhoAnsweredTold(SessionEvent):
    """Of a call that we place: who has answered, and what is done about it. `corrects`: an earlier verdict that was
    wrong; empty: this is the first one. The names are those of `AnsweredBy` and `AnsweringAction`."""

    answered_by: str
    probability: float
    reasons: Sequence[str]
    action: str
    corrects: str = ""


@dataclass(frozen=True, slots=True)
class MessageLeft(SessionEvent):
    """A message was to be left for a voicemail. `delivered`: all of it was played after the greeting's end. `why`: what
    began it (beep, greeting_end, limit); or hung_up, picked_up (by a person), corrected (it was no voicemail),
    speech_failed, never_began."""

    delivered: bool
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class ResultReported(SessionEvent):
    """What the call has come to, as its persona says it (`ctx.result`): JSON. The last one stands."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OptedOut(SessionEvent):
    """Whoever is talked with does not want to be called again (`ctx.opt_out`). `words`: theirs, or why."""

    words: str


@dataclass(frozen=True, slots=True)
class CallbackAsked(SessionEvent):
    """Whoever is talked with has asked to be called again (`ctx.call_back`). `when`: ISO 8601 with a time zone."""

    when: str


@dataclass(frozen=True, slots=True)
class ProviderFailed(SessionEvent):
    """`action`: the reaction; "fallback": the next provider of the list was used."""

    provider: str
    part: Literal["vad", "stt", "llm", "tts"]
    error: str
    action: Literal["retry", "canned", "ignored", "fallback"]


@dataclass(frozen=True, slots=True)
class TurnLatency(SessionEvent):
    """The waterfall of one reply, each as loop-clock time; None: did not happen in this turn."""

    turn: int
    speech_ended_at: float | None
    decided_at: float | None
    transcript_at: float | None
    first_token_at: float | None
    first_audio_at: float | None
    first_packet_at: float | None


@dataclass(frozen=True, slots=True)
class SessionClosed(SessionEvent):
    """The last event. `reason`: agent_ended, caller_silent, caller_wordless, max_length, held_too_long, leg_ended,
    drained, error; or who had answered a call that we placed, if that was nobody to talk to: voicemail, mailbox_full,
    screener, ivr, fax, silence."""

    reason: str
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


_TYPES: dict[str, type[SessionEvent]] = {
    cls.__name__: cls for cls in globals().values() if isinstance(cls, type) and issubclass(cls, SessionEvent)
}


def event_from_dict(data: Mapping[str, Any]) -> SessionEvent:
    """The inverse of `SessionEvent.to_dict`. Raises ValueError for an unknown type."""
    fields = dict(data)
    name = "".join(part.title() for part in str(fields.pop("type", "")).split("_"))
    if name not in _TYPES:
        raise ValueError(f"no session event is called {data.get('type')!r}")
    return _TYPES[name](**fields)
