"""Tones a phone network plays, as 8 kHz 16-bit PCM. Levels are dBFS (a full-scale sine is -3.01)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from telephony.media.frames import SAMPLE_RATE

__all__ = ["busy", "ringback", "silence", "special_information", "tone"]

_EDGE_MS = 4  # raised-cosine edges: a tone that is cut off abruptly clicks


def _shaped(signal: npt.NDArray[np.float64]) -> bytes:
    edge = min(_EDGE_MS * SAMPLE_RATE // 1000, len(signal) // 2)
    if edge:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
        signal[:edge] *= ramp
        signal[-edge:] *= ramp[::-1]
    return np.clip(np.rint(signal), -32768, 32767).astype("<i2").tobytes()


def tone(frequencies: float | Sequence[float], ms: float, level_dbfs: float = -13.0) -> bytes:
    """One or more frequencies (Hz) at equal level, with soft edges."""
    several = [frequencies] if isinstance(frequencies, int | float) else list(frequencies)
    t = np.arange(round(ms * SAMPLE_RATE / 1000)) / SAMPLE_RATE
    amplitude = 32767 * 10 ** (level_dbfs / 20) * math.sqrt(2 / len(several))
    total = np.zeros(len(t))
    for frequency in several:
        total += amplitude * np.sin(2 * np.pi * frequency * t)
    return _shaped(total)


def silence(ms: float) -> bytes:
    return bytes(2 * round(ms * SAMPLE_RATE / 1000))


def ringback(cycles: int = 1) -> bytes:
    """North America: 440 + 480 Hz, 2 s on, 4 s off."""
    return (tone((440, 480), 2000, -19.0) + silence(4000)) * cycles


def busy(cycles: int = 1) -> bytes:
    """North America: 480 + 620 Hz, 0.5 s on, 0.5 s off."""
    return (tone((480, 620), 500, -24.0) + silence(500)) * cycles


def special_information() -> bytes:
    """The three rising tones before "the number you have dialed" (ITU-T E.180)."""
    return b"".join(tone(frequency, 330, -16.0) for frequency in (950, 1400, 1800)) + silence(1000)
