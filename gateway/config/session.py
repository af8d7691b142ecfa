"""What can be set of a conversation, in the settings and, for single numbers, in a dialplan's `session:`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from agent.options import SessionOptions

__all__ = ["SessionSettings", "turn_detection_problem"]

DETECT_TURNS = frozenset({"instant/turns"})  # the stt providers whose streams do, by their names

_IN_SECONDS = ("max_call_s", "max_hold_s")  # the session counts all in milliseconds


class SessionSettings(BaseModel):
    """How a conversation goes. A dialplan may set each of these for one number."""

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
        description="Silence after which the recogniser is asked, ahead of that.",
    )
    max_turn_ms: int = Field(
        default=60_000, ge=1000, le=600_000, description="Talk without a pause that is answered in the middle of it."
    )
    preemptive: bool = Field(
        default=True, description="Model and synthesis begin, unheard, before the turn is decided."
    )
    inaudible: Literal["ask_again", "tell_model"] = Field(
        default="ask_again",
        description='Speech without words: `didnt_catch`, or "[inaudible]" for the model.',
    )
    inaudible_min_ms: int = Field(
        default=600, ge=0, le=60_000, description="Shorter speech without a word in it is passed over."
    )

    # interruption
    min_interruption_ms: int = Field(
        default=400, ge=0, le=5000, description="Wordless sounds shorter than this never stop the agent for good."
    )
    backchannel_max_ms: int = Field(
        default=1000, ge=0, le=5000, description='"Okay", "uh-huh" and the like up to this length let the agent go on.'
    )
    max_pause_ms: int = Field(
        default=2000, ge=100, le=10000, description="A paused agent goes on after this if nothing came of it."
    )

    # limits
    away_ms: int | None = Field(
        default=7000,
        ge=1000,
        le=120000,
        description="Silence after which the caller is asked if still there; null: never.",
    )
    max_call_s: int = Field(default=1800, ge=10, le=86400, description="Longest call; then the agent says goodbye.")
    max_hold_s: int = Field(
        default=600, ge=1, le=86400, description="A caller may put the agent on hold for so long; then the call ends."
    )
    max_tool_steps: int = Field(default=5, ge=1, le=20, description="Rounds of tool calls in one reply.")
    max_reply_characters: int = Field(
        default=8000, ge=100, le=100_000, description="The rest of a longer reply is neither said nor kept."
    )
    max_context_characters: int = Field(
        default=100_000, ge=1000, le=10_000_000, description="Of a longer conversation the model gets the latest turns."
    )
    max_context_messages: int = Field(default=400, ge=2, le=100_000, description="The same, in messages.")
    max_user_characters: int = Field(
        default=4000, ge=100, le=100_000, description="The rest of a longer message of the caller is cut off."
    )
    max_tool_result_characters: int = Field(
        default=16_000, ge=100, le=1_000_000, description="The rest of a longer result of a tool is cut off."
    )
    max_tool_calls: int = Field(default=16, ge=1, le=100, description="Of one reply; the rest is not run.")
    max_keys_a_second: float = Field(
        default=20, ge=2, le=1000, description="Keys that come faster for long are dropped; a hand presses ten."
    )
    min_key_turn_ms: int = Field(
        default=500, ge=0, le=10_000, description="Turns of keys that come faster are told to the model together."
    )
    filler_ms: int | None = Field(
        default=3200,
        ge=500,
        le=60_000,
        description="An answer is owed and nothing heard for so long: canned `one_moment`; null: never.",
    )
    max_wordless_turns: int | None = Field(
        default=8,
        ge=1,
        le=1000,
        description="Turns in a row without a word (a television), over a minute: the call ends; null: never.",
    )
    farewell_margin_ms: int = Field(
        default=5000, ge=500, le=60_000, description="A farewell of which nothing moves for so long is given up."
    )

    # providers
    llm_first_token_ms: int = Field(
        default=5000, ge=100, le=60_000, description="A reply of which nothing has come by then has failed."
    )
    llm_stall_ms: int = Field(default=5000, ge=100, le=60_000, description="The same between two pieces of it.")
    tts_first_audio_ms: int = Field(
        default=3000, ge=100, le=60_000, description="Speech of which nothing has come by then has failed."
    )
    tts_stall_ms: int = Field(default=5000, ge=100, le=60_000, description="The same between two pieces of it.")
    stt_final_ms: int = Field(
        default=2000,
        ge=100,
        le=60_000,
        description="A recogniser that was asked and has given no text by then has failed.",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Further tries after an error that may pass; one at most after a time-out."
    )
    retry_backoff_ms: int = Field(default=200, ge=0, le=10_000, description="Wait before the first of them.")
    max_failures: int = Field(default=3, ge=1, le=100, description="Failed replies in a row; then the call ends.")
    queue_ahead_ms: int = Field(
        default=10_000, ge=200, le=60_000, description="Audio that is made ahead of what is being heard, at most."
    )

    # privacy
    mask_digits: Literal["secret", "cards", "all"] = Field(
        default="cards",
        description="Digits that nobody but the persona sees, in records, logs, rooms and recordings. secret: what a "
        "persona collects as secret. cards: that, and 12 digits or more, keyed or said. all: every key.",
    )

    def overridden(self, changes: Mapping[str, Any]) -> SessionSettings:
        """With a route's changes, which have been validated by the dialplan."""
        return self.model_copy(update=dict(changes))

    def contradiction(self) -> tuple[str, str] | None:
        """The field to name and what is wrong with it."""
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
        from agent.options import SessionOptions  # here, so that reading settings does not load the agent

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
