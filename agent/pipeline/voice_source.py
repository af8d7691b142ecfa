"""Turns frames into speech signals with a VAD. Gives up after three consecutive failed windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from agent.providers.base import VAD, ProviderError, VADStream
from agent.turns.voice import VoiceActivity, VoiceEvent
from telephony.media.frames import SAMPLE_RATE, AudioFrame

__all__ = ["VoiceSource", "level_db"]

_MOST_FAILURES = 3


class VoiceSource:
    def __init__(self, vad: VAD, failed: Callable[[ProviderError, bool], None]) -> None:
        """`failed` gets each failure, and whether there is nothing left to try."""
        self._vad = vad
        self._failed = failed
        self._failures = 0
        self.told: Callable[[float, float], None] | None = None  # each window's probability and its end
        self._stream: VADStream | None = vad.stream()
        self._voice = VoiceActivity(window_ms=self._stream.window_samples * 1000 / SAMPLE_RATE)

    @property
    def lost(self) -> bool:
        return self._stream is None

    def frame(self, frame: AudioFrame) -> tuple[VoiceEvent, ...]:
        """One 20 ms frame was heard."""
        if self._stream is None:
            return ()
        self._voice.frame(level_db(frame.pcm), frame.at)
        try:
            windows = self._stream.push(frame)
        except Exception as error:  # noqa: BLE001  one bad window must not end the call
            self._broke(error)
            return ()
        self._failures = 0
        if not windows:
            return ()
        events = tuple(event for probability, at in windows for event in self._voice.window(probability, at))
        if self.told is not None:
            for probability, at in windows:
                self.told(probability, at)
        return events

    def cut(self, at: float) -> tuple[VoiceEvent, ...]:
        """No more audio for now."""
        return self._voice.cut(at)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _broke(self, error: Exception) -> None:
        failure = error if isinstance(error, ProviderError) else ProviderError("vad", repr(error))
        self._failures += 1
        lost = self._failures >= _MOST_FAILURES
        self._stream = None if lost else self._vad.stream()
        self._failed(failure, lost)


def level_db(pcm: bytes) -> float:
    """Of a frame, in dBFS (RMS)."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    mean_square = float(np.dot(samples, samples)) / max(1, samples.size)
    return 10 * math.log10(mean_square / 32768.0**2 + 1e-10)
