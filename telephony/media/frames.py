"""Audio inside Trunkline: 8 kHz, 16-bit signed little-endian mono, in frames of 20 ms."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FRAME_BYTES", "FRAME_MS", "FRAME_SAMPLES", "SAMPLE_RATE", "SILENCE", "AudioFrame", "duration_ms"]

SAMPLE_RATE = 8000  # Hz
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000  # 160
FRAME_BYTES = FRAME_SAMPLES * 2  # 320
SILENCE = bytes(FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One 20 ms frame of received audio.

    `pcm` is exactly `FRAME_BYTES` long. `at` is the loop-clock time in seconds at which the frame's
    last sample was heard (taken out of the jitter buffer): speech is timed by the audio, not by when
    a busy loop got round to it.
    """

    pcm: bytes
    at: float


def duration_ms(pcm: bytes) -> float:
    """Length of 8 kHz 16-bit mono audio in milliseconds."""
    return len(pcm) * 1000 / (2 * SAMPLE_RATE)
