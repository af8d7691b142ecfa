"""Derives when speech began and ended in the audio from speech probabilities and frame levels. Pure.

A speech detector (Silero) answers late: its probability rises one window after the onset and falls one to three windows
after the end. So the level of the 20 ms frames within the detected speech dates both ends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.turns.signals import SpeechEnded, SpeechStarted

__all__ = ["VoiceActivity", "VoiceEvent", "VoiceSettings"]

FRAME_S = 0.02


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """Thresholds are probabilities 0..1, levels are dB."""

    start_threshold: float = 0.5
    stop_threshold: float = 0.35
    strong_threshold: float = 0.8  # one window with this probability is enough to begin
    min_speech_windows: int = 2
    min_silence_ms: float = 96  # below stop_threshold for this long before an end is reported
    above_floor_db: float = 8.0  # a frame is loud when this far above the noise floor
    below_peak_db: float = 35.0  # and not further than this below the loudest frame of the same speech
    max_lag_ms: float = 400  # the level may date an end at most this long before the last certain window


VoiceEvent = SpeechStarted | SpeechEnded


class VoiceActivity:
    """Feed each frame's level, then the windows that it completed."""

    def __init__(self, settings: VoiceSettings | None = None, *, window_ms: float = 32.0) -> None:
        self.settings = settings or VoiceSettings()
        self.window_s = window_ms / 1000
        self.speaking = False
        self.noise_floor_db = -60.0
        self._levels: deque[tuple[float, float]] = deque(maxlen=50)  # (at, dB), the last second
        self._candidate_windows = 0
        self._candidate_at = 0.0
        self._started_at = 0.0
        self._last_sure_at = 0.0
        self._peak_db = -100.0

    def frame(self, level_db: float, at: float) -> None:
        """A 20 ms frame of this level (dBFS, RMS) ended at `at`."""
        self._levels.append((at, level_db))
        if self.speaking:
            self._peak_db = max(self._peak_db, level_db)
        elif not self._candidate_windows:
            self._track_floor(level_db)

    def window(self, probability: float, at: float) -> tuple[VoiceEvent, ...]:
        """A window whose last sample is at `at` is speech with this probability."""
        return self._while_speaking(probability, at) if self.speaking else self._while_quiet(probability, at)

    def cut(self, at: float) -> tuple[VoiceEvent, ...]:
        """Stop listening for now; later audio is unrelated to earlier audio."""
        ended = (SpeechEnded(self._end(), at),) if self.speaking else ()
        self.speaking = False
        self._candidate_windows = 0
        self._levels.clear()
        return ended

    def _while_quiet(self, probability: float, at: float) -> tuple[VoiceEvent, ...]:
        if probability < self.settings.start_threshold:
            self._candidate_windows = 0
            return ()
        if not self._candidate_windows:
            self._candidate_at = at - self.window_s
        self._candidate_windows += 1
        sure = probability >= self.settings.strong_threshold
        if not sure and self._candidate_windows < self.settings.min_speech_windows:
            return ()
        self._candidate_windows = 0
        self.speaking = True
        self._last_sure_at = at
        self._started_at = self._onset(self._candidate_at)
        self._peak_db = max((level for when, level in self._levels if when > self._started_at), default=-100.0)
        return (SpeechStarted(self._started_at, at),)

    def _while_speaking(self, probability: float, at: float) -> tuple[VoiceEvent, ...]:
        if probability >= self.settings.stop_threshold:
            self._last_sure_at = at
            return ()
        if (at - self._last_sure_at) * 1000 < self.settings.min_silence_ms - 1e-6:
            return ()
        self.speaking = False
        return (SpeechEnded(self._end(), at),)

    def _track_floor(self, level_db: float) -> None:
        # Falls fast, rises slowly: the first loud frames arrive before speech is noticed and must not raise it.
        difference = level_db - self.noise_floor_db
        self.noise_floor_db += min(0.3, 0.02 * difference) if difference > 0 else 0.2 * difference
        self.noise_floor_db = min(-35.0, max(-62.0, self.noise_floor_db))

    def _is_loud(self, level_db: float) -> bool:
        least = max(self.noise_floor_db + self.settings.above_floor_db, self._peak_db - self.settings.below_peak_db)
        return level_db >= least

    def _onset(self, window_start: float) -> float:
        """The start of the run of loud frames that reaches into the first sure window, at most 200 ms before it."""
        self._peak_db = -100.0
        onset: float | None = None
        for when, level in reversed(self._levels):
            starts_at = when - FRAME_S
            if self._is_loud(level) and starts_at >= window_start - 0.2:
                onset = starts_at
            elif starts_at < window_start:
                break
        return window_start if onset is None else onset

    def _end(self) -> float:
        earliest = max(self._started_at, self._last_sure_at - self.settings.max_lag_ms / 1000)
        for when, level in reversed(self._levels):
            if when <= earliest:
                return earliest
            if when - FRAME_S < self._last_sure_at - 1e-6 and self._is_loud(level):
                return when
        return self._last_sure_at
