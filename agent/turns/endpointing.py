"""When is the caller done? Pure: the shell calls `tick` at `deadline`.

    idle --speech_started--> speech --speech_ended--> silence --end_silence_ms--> idle, TurnDecided("silence")
                               ^  |                      |
                               |  +--max_turn_ms: TurnDecided("forced"), a new turn begins
                               +------speech_started-----+ (the same turn goes on)

`hold` lets all of it stand still and asks for the text; `resume` decides at once what the caller had said before.

In silence, after `flush_after_ms`, FlushSpeech asks the recogniser for the text of this piece of speech, so that it
is there when the silence is over. Speech that goes on after a flush is another piece of the same turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EndpointAction", "Endpointing", "FlushSpeech", "TurnDecided"]


@dataclass(frozen=True, slots=True)
class FlushSpeech:
    """Ask for the final text of what was said since the last flush."""


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """The caller is done. `at` is when that was due, `speech_ended_at` when the last sound of speech was heard."""

    at: float
    started_at: float
    speech_ended_at: float
    reason: Literal["silence", "forced"]


EndpointAction = FlushSpeech | TurnDecided


class Endpointing:
    def __init__(self, *, end_silence_ms: float, flush_after_ms: float, max_turn_ms: float) -> None:
        self._end_silence_s = end_silence_ms / 1000
        self._flush_after_s = min(flush_after_ms, end_silence_ms) / 1000
        self._max_turn_s = max_turn_ms / 1000
        self.state: Literal["idle", "speech", "silence"] = "idle"
        self.started_at = 0.0  # of the turn
        self.ended_at = 0.0  # of its latest piece of speech
        self.flushed = False
        self._held = False

    @property
    def deadline(self) -> float | None:
        """Loop-clock time at which `tick` is due."""
        if self._held:
            return None
        if self.state == "speech":
            return self.started_at + self._max_turn_s
        if self.state == "silence":
            return self.ended_at + (self._end_silence_s if self.flushed else self._flush_after_s)
        return None

    def speech_started(self, at: float, now: float) -> tuple[EndpointAction, ...]:
        if self.state == "idle":
            self.started_at = at
        self.state = "speech"
        self.flushed = False
        return self.tick(now)

    def speech_ended(self, at: float, now: float) -> tuple[EndpointAction, ...]:
        if self.state != "speech":
            raise ValueError(f"speech_ended in state {self.state}")
        self.state = "silence"
        self.ended_at = at
        return self.tick(now)

    def tick(self, now: float) -> tuple[EndpointAction, ...]:
        if self.state == "speech" and now >= self.started_at + self._max_turn_s:
            decided = TurnDecided(now, self.started_at, now, "forced")
            self.started_at = now
            return FlushSpeech(), decided
        actions: tuple[EndpointAction, ...] = ()
        if self._held:
            return actions
        if self.state == "silence" and not self.flushed and now >= self.ended_at + self._flush_after_s:
            self.flushed = True
            actions = (FlushSpeech(),)
        if self.state == "silence" and now >= self.ended_at + self._end_silence_s:
            self.state = "idle"
            decided_at = max(now, self.ended_at + self._end_silence_s)
            actions = (*actions, TurnDecided(decided_at, self.started_at, self.ended_at, "silence"))
        return actions

    def hold(self) -> tuple[EndpointAction, ...]:
        """The caller hears nothing and is not heard. Speech that was going on has been ended before."""
        self._held = True
        if self.state != "silence" or self.flushed:
            return ()
        self.flushed = True
        return (FlushSpeech(),)

    def resume(self, now: float) -> tuple[EndpointAction, ...]:
        """What had been said before the hold is a turn."""
        self._held = False
        if self.state != "silence":
            return ()
        self.state = "idle"
        return (TurnDecided(now, self.started_at, self.ended_at, "silence"),)

    def discard(self) -> None:
        """What was said is no turn (a backchannel). Speech that is going on begins a new one."""
        if self.state == "silence":
            self.state = "idle"
