"""Options of a conversation, in the settings and, for single numbers, in a dialplan's `session:`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from agent.options import SessionOptions

__all__ = ["SessionSettings", "turn_detection_problem"]

DETECT_TURNS = frozenset({"instant/turns"})  # the stt providers whose streams do, by their names

_IN_SECONDS = ("max_call_s", "max_hold_s")  # the session counts in milliseconds


class SessionSettings(BaseModel):
    """Options of a conversation. A dialplan may set each of them for one number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # turns
    turn_detection: Literal["vad", "stt", "manual", "realtime"] = Field(
        default="vad",
        description="Who says when the caller's turn is over: silence (vad), a recogniser that detects turns (stt), or "
        "the persona's code (manual). realtime is not available yet.",
    )
    end_silence_ms: int = Field(
        default=550, ge=100, le=5000, description="Silence after which the caller's turn is over."
    )
    endpointing: Literal["fixed", "dynamic"] = Field(
        default="fixed",
        description="dynamic: that silence is learnt from the caller's own pauses, from min_delay_ms to max_delay_ms.",
    )
    min_delay_ms: int = Field(
        default=300, ge=20, le=5000, description="The same when a recogniser or model says that it likely is."
    )
    max_delay_ms: int = Field(
        default=3000,
        ge=100,
        le=10_000,
        description="The same when it says that it likely is not, or when one that detects turns does not end one.",
    )
    likely_finished: float = Field(
        default=0.5, ge=0, le=1, description="The likelihood from which on a turn counts as likely over."
    )
    flush_after_ms: int = Field(
        default=160,
        ge=20,
        le=5000,
        description="Silence after which the recogniser is asked for a transcript ahead of time.",
    )
    max_turn_ms: int = Field(
        default=60_000,
        ge=1000,
        le=600_000,
        description="Speech without a pause longer than this is answered while it continues.",
    )
    preemptive: bool = Field(
        default=True, description="Start model and synthesis speculatively before the turn is decided."
    )
    inaudible: Literal["ask_again", "tell_model"] = Field(
        default="ask_again",
        description='On speech without words: say `didnt_catch`, or give the model "[inaudible]".',
    )
    inaudible_min_ms: int = Field(default=600, ge=0, le=60_000, description="Shorter speech without words is ignored.")

    # greeting
    greet: Literal["on_media", "on_answer"] = Field(
        default="on_media",
        description="When the agent begins to speak: with the other side's first packet, which proves that it is "
        "heard, or at once. A persona may say it for itself.",
    )
    greet_limit_ms: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="With on_media: the longest wait for that packet, from the answer. null: 400, and 1000 for calls "
        "that we place.",
    )

    # interruption
    min_interruption_ms: int = Field(
        default=400, ge=0, le=5000, description="Wordless sounds shorter than this never interrupt the agent."
    )
    backchannel_max_ms: int = Field(
        default=1000,
        ge=0,
        le=5000,
        description='"Okay", "uh-huh" and the like up to this length do not interrupt the agent.',
    )
    max_pause_ms: int = Field(
        default=2000, ge=100, le=10000, description="A paused agent continues after this without a decision."
    )

    # limits
    away_ms: int | None = Field(
        default=7000,
        ge=1000,
        le=120000,
        description="Silence after which the caller is asked whether they are still there; null: never.",
    )
    max_call_s: int = Field(default=1800, ge=10, le=86400, description="Longest call; then the agent says goodbye.")
    max_hold_s: int = Field(default=600, ge=1, le=86400, description="Longest hold; then the call ends.")
    max_tool_steps: int = Field(default=5, ge=1, le=20, description="Rounds of tool calls in one reply.")
    max_reply_characters: int = Field(
        default=8000, ge=100, le=100_000, description="Longest reply; the rest is neither said nor kept."
    )
    max_context_characters: int = Field(
        default=100_000, ge=1000, le=10_000_000, description="Longest context of the model; older turns are left out."
    )
    max_context_messages: int = Field(default=400, ge=2, le=100_000, description="The same, in messages.")
    max_user_characters: int = Field(
        default=4000, ge=100, le=100_000, description="Longest message of the caller; the rest is cut off."
    )
    max_tool_result_characters: int = Field(
        default=16_000, ge=100, le=1_000_000, description="Longest result of a tool; the rest is cut off."
    )
    max_tool_calls: int = Field(default=16, ge=1, le=100, description="Most tool calls per reply; the rest is not run.")
    max_keys_a_second: float = Field(
        default=20,
        ge=2,
        le=1000,
        description="Keys arriving faster than this for long are dropped; a person presses at most ten.",
    )
    min_key_turn_ms: int = Field(
        default=500, ge=0, le=10_000, description="Key turns closer together than this are combined for the model."
    )
    filler_ms: int | None = Field(
        default=3200,
        ge=500,
        le=60_000,
        description="Silence while an answer is due before canned `one_moment`; null: never.",
    )
    max_wordless_turns: int | None = Field(
        default=8,
        ge=1,
        le=1000,
        description="Consecutive turns without words (a television), over a minute, that end the call; null: never.",
    )
    farewell_margin_ms: int = Field(
        default=5000,
        ge=500,
        le=60_000,
        description="Give up on a farewell that makes no playback progress for this long.",
    )

    # providers
    llm_first_token_ms: int = Field(
        default=5000, ge=100, le=60_000, description="A reply without a first token by then has failed."
    )
    llm_stall_ms: int = Field(default=5000, ge=100, le=60_000, description="The same between two tokens.")
    tts_first_audio_ms: int = Field(
        default=3000, ge=100, le=60_000, description="Synthesis without audio by then has failed."
    )
    tts_stall_ms: int = Field(default=5000, ge=100, le=60_000, description="The same between two pieces of audio.")
    stt_final_ms: int = Field(
        default=2000,
        ge=100,
        le=60_000,
        description="A recogniser without a final transcript by then has failed.",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Retries after a transient error; at most one after a timeout."
    )
    retry_backoff_ms: int = Field(default=200, ge=0, le=10_000, description="Wait before the first retry.")
    max_failures: int = Field(default=3, ge=1, le=100, description="Consecutive failed replies that end the call.")
    queue_ahead_ms: int = Field(
        default=10_000, ge=200, le=60_000, description="How far synthesis may run ahead of playback."
    )

    # privacy
    mask_digits: Literal["secret", "cards", "all"] = Field(
        default="cards",
        description="Digits hidden from everything but the persona: records, logs, "
        "rooms and recordings. secret: what a "
        "persona collects as secret. cards: that, and 12 or more digits, keyed or spoken. all: every key.",
    )

    def overridden(self, changes: Mapping[str, Any]) -> SessionSettings:
        """With a route's overrides, which the dialplan has validated."""
        return self.model_copy(update=dict(changes))

    def contradiction(self) -> tuple[str, str] | None:
        """The offending field and its error."""
        if self.away_ms is not None and self.end_silence_ms >= self.away_ms:
            return "end_silence_ms", f"{self.end_silence_ms} must be less than away_ms ({self.away_ms})"
        if self.max_delay_ms < self.min_delay_ms:
            return "max_delay_ms", f"{self.max_delay_ms} must be at least min_delay_ms ({self.min_delay_ms})"
        if self.backchannel_max_ms < self.min_interruption_ms:
            least = self.min_interruption_ms
            return "backchannel_max_ms", f"{self.backchannel_max_ms} must be at least min_interruption_ms ({least})"
        return None

    def options(self) -> SessionOptions:
        """For the agent's session."""
        from agent.options import SessionOptions  # imported here so that reading settings does not load the agent

        same = self.model_dump(exclude=set(_IN_SECONDS))
        return SessionOptions(**same, max_call_ms=self.max_call_s * 1000, max_hold_ms=self.max_hold_s * 1000)


def turn_detection_problem(detection: str, vad: str | None, stt: Sequence[str]) -> str:
    """Why turns cannot be detected so by these providers; empty: they can."""
    match detection:
        case "vad" if vad is None:
            return "vad needs a VAD, and speech.vad is null"
        case "stt" if stt[0] not in DETECT_TURNS:
            return f"stt needs a recogniser that detects turns, and {stt[0]} does not: use vad"
        case "realtime":
            return "realtime is not available yet: use vad, stt or manual"
        case "vad" | "stt" | "manual":
            return ""
    return f"must be vad, stt or manual, not {detection!r}"
