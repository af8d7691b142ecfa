"""The settings of one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from agent.chat_context import ContextLimits
from agent.turns.signals import TurnDetection

__all__ = ["SessionOptions"]

_CAPS = (
    *("max_context_characters", "max_context_messages", "max_user_characters", "max_tool_result_characters"),
    *("max_tool_calls", "max_reply_characters"),
)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Contradictions raise ValueError."""

    # turns
    turn_detection: TurnDetection = "vad"  # who says when the caller is done; "realtime" is not available yet
    end_silence_ms: float = 550  # from the end of speech in the audio until the turn is decided
    flush_after_ms: float = 160  # silence after which the recogniser is asked for the text, ahead of the decision
    endpointing: Literal["fixed", "dynamic"] = "fixed"  # dynamic: end_silence_ms is only the initial value
    min_delay_ms: float = 300  # the same silence if a recogniser or model thinks that the caller has finished
    max_delay_ms: float = 3000  # and if not; or if a recogniser that ends turns itself does not
    likely_finished: float = 0.5  # from this likelihood on, min_delay_ms applies
    max_turn_ms: float = 60_000  # of uninterrupted talk; then the turn is decided anyway
    preemptive: bool = True  # model and TTS begin before the turn is decided, unheard and without tools
    inaudible: Literal["ask_again", "tell_model"] = "ask_again"  # speech without words
    inaudible_min_ms: float = 600  # shorter speech without words is ignored

    # greeting of a call
    greet: Literal["on_media", "on_answer"] = "on_media"
    greet_limit_ms: float | None = None  # the longest wait for media; None: 400, and 1000 for calls that we place

    # interruption
    min_interruption_ms: float = 400
    backchannel_max_ms: float = 1000
    max_pause_ms: float = 2000

    # limits; None: none
    away_ms: float | None = 7000  # a step of the silence ladder
    max_call_ms: float | None = 30 * 60_000
    max_hold_ms: float | None = 10 * 60_000  # how long a caller may put us on hold
    max_tool_steps: int = 5
    max_context_characters: int = 100_000  # about four per token; a longer conversation loses its oldest turns
    max_context_messages: int = 400
    max_keys_a_second: float = 20  # keys arriving faster for long are dropped; a person presses at most ten
    min_key_turn_ms: float = 500  # key turns closer together are combined for the model
    max_user_characters: int = 4000  # of one message of the caller; the rest is cut off
    max_tool_result_characters: int = 16_000  # for the model and the record; the rest is cut off
    max_tool_calls: int = 16  # of one answer; the rest is not run
    max_reply_characters: int = 8000  # about ten minutes; the rest of a longer reply is neither spoken nor kept
    filler_ms: float | None = 3200  # silence while an answer is due before canned "one_moment"
    max_wordless_turns: int | None = 8  # consecutive, over at least a minute; then the call ends
    farewell_margin_ms: float = 5000  # give up on a farewell that makes no playback progress for this long

    # providers
    llm_first_token_ms: float = 5000
    llm_stall_ms: float = 5000
    tts_first_audio_ms: float = 3000
    tts_stall_ms: float = 5000
    stt_final_ms: float = 2000
    retries: int = 2  # after a transient error; only one after a timeout or an empty answer
    retry_backoff_ms: float = 200
    max_failures: int = 3  # consecutive failed replies; then the call ends
    queue_ahead_ms: float = 10_000  # most audio waiting in the output

    # privacy: which digits only the persona sees (agent.privacy)
    mask_digits: Literal["secret", "cards", "all"] = "cards"

    def __post_init__(self) -> None:
        if self.turn_detection not in get_args(TurnDetection):
            modes = ", ".join(get_args(TurnDetection))
            raise ValueError(f"turn_detection must be one of {modes}, not {self.turn_detection!r}")
        if self.greet not in ("on_media", "on_answer"):
            raise ValueError(f"greet must be on_media or on_answer, not {self.greet!r}")
        if not 0 <= self.likely_finished <= 1:
            raise ValueError(f"likely_finished must be in 0..1, not {self.likely_finished}")
        if not 0 < self.min_delay_ms <= self.max_delay_ms:
            raise ValueError("min_delay_ms must be positive and not more than max_delay_ms")
        for name in ("end_silence_ms", "max_turn_ms", "max_pause_ms", "llm_first_token_ms", "tts_first_audio_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.max_hold_ms is not None and self.max_hold_ms <= 0:
            raise ValueError(f"max_hold_ms must be positive, not {self.max_hold_ms}")
        if self.filler_ms is not None and self.filler_ms <= 0:
            raise ValueError(f"filler_ms must be positive, not {self.filler_ms}")
        if self.max_wordless_turns is not None and self.max_wordless_turns < 1:
            raise ValueError(f"max_wordless_turns must be at least 1, not {self.max_wordless_turns}")
        if self.backchannel_max_ms < self.min_interruption_ms:
            raise ValueError("backchannel_max_ms must not be less than min_interruption_ms")
        for name in _CAPS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_keys_a_second <= 0 or self.min_key_turn_ms < 0:
            raise ValueError("max_keys_a_second must be positive, min_key_turn_ms at least 0")
        if self.max_tool_steps < 0 or self.retries < 0 or self.max_failures < 1:
            raise ValueError("max_tool_steps and retries must be at least 0, max_failures at least 1")

    @property
    def context_limits(self) -> ContextLimits:
        longest = max(self.max_user_characters, self.max_tool_result_characters, self.max_reply_characters) + 100
        return ContextLimits(self.max_context_messages, self.max_context_characters, longest)
