"""Tones a phone network plays, as 8 kHz 16-bit PCM. Levels are dBFS (a full-scale sine is -3.01)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telephony.media.frames import SAMPLE_RATE

__all__ = [
    "NETWORKS",
    "SPECIAL_INFORMATION",
    "Cadence",
    "busy",
    "fax_answers",
    "fax_calls",
    "gliding",
    "network",
    "ringback",
    "silence",
    "special_information",
    "tone",
]

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


# Variants of the three tones: ITU-T E.180, and North America's by what is meant (Hz, ms).
SPECIAL_INFORMATION: dict[str, tuple[tuple[float, float], ...]] = {
    "E.180": ((950, 330), (1400, 330), (1800, 330)),
    "no circuit": ((985.2, 380), (1428.5, 380), (1776.7, 380)),
    "intercept": ((913.8, 274), (1370.6, 274), (1776.7, 380)),
    "vacant": ((985.2, 380), (1370.6, 274), (1776.7, 380)),
    "reorder": ((913.8, 274), (1428.5, 380), (1776.7, 380)),
}


def special_information(variant: str = "E.180", gap_ms: float = 0) -> bytes:
    """The three rising tones before "the number you have dialed", and a second of silence."""
    tones = (tone(hertz, ms, -16.0) + silence(gap_ms) for hertz, ms in SPECIAL_INFORMATION[variant])
    return b"".join(tones) + silence(1000)


@dataclass(frozen=True, slots=True)
class Cadence:
    """Frequencies (Hz), and lengths by turns on and off (ms)."""

    hertz: tuple[float, ...]
    ms: tuple[float, ...]


# ITU-T E.180, supplement 2.
NETWORKS: dict[str, dict[str, Cadence]] = {
    "us": {
        "dial": Cadence((350, 440), (4000,)),
        "ringback": Cadence((440, 480), (2000, 4000)),
        "busy": Cadence((480, 620), (500, 500)),
        "congestion": Cadence((480, 620), (250, 250)),
    },
    "gb": {
        "dial": Cadence((350, 440), (4000,)),
        "ringback": Cadence((400, 450), (400, 200, 400, 2000)),
        "busy": Cadence((400,), (375, 375)),
        "congestion": Cadence((400,), (400, 350, 225, 525)),
    },
    "de": {
        "dial": Cadence((425,), (4000,)),
        "ringback": Cadence((425,), (1000, 4000)),
        "busy": Cadence((425,), (480, 480)),
        "congestion": Cadence((425,), (240, 240)),
    },
    "fr": {
        "dial": Cadence((440,), (4000,)),
        "ringback": Cadence((440,), (1500, 3500)),
        "busy": Cadence((440,), (500, 500)),
        "congestion": Cadence((440,), (250, 250)),
    },
    "es": {
        "dial": Cadence((425,), (4000,)),
        "ringback": Cadence((425,), (1500, 3000)),
        "busy": Cadence((425,), (200, 200)),
        "congestion": Cadence((425,), (200, 200, 200, 200, 200, 600)),
    },
    "it": {
        "dial": Cadence((425,), (200, 200, 600, 1000)),
        "ringback": Cadence((425,), (1000, 4000)),
        "busy": Cadence((425,), (500, 500)),
        "congestion": Cadence((425,), (200, 200)),
    },
}


def network(country: str, what: str, cycles: int = 2, level_dbfs: float = -20.0) -> bytes:
    """A tone of NETWORKS."""
    cadence = NETWORKS[country][what]
    pieces = (silence(ms) if k % 2 else tone(cadence.hertz, ms, level_dbfs) for k, ms in enumerate(cadence.ms))
    return b"".join(pieces) * cycles


def fax_calls(cycles: int = 2) -> bytes:
    """CNG (ITU-T T.30): 1,100 Hz, 0.5 s on, 3 s off."""
    return (tone(1100, 500) + silence(3000)) * cycles


def fax_answers(ms: float = 3300, *, reversals: bool = True) -> bytes:
    """CED: 2,100 Hz for 2.6 to 4 s; with its phase reversed each 450 ms where a modem answers (ITU-T V.8)."""
    t = np.arange(round(ms * SAMPLE_RATE / 1000)) / SAMPLE_RATE
    turned = np.pi * np.floor(t / 0.45) if reversals else 0.0
    return _shaped(32767 * 10 ** (-13 / 20) * math.sqrt(2) * np.sin(2 * np.pi * 2100 * t + turned))


def gliding(first: float, last: float, ms: float, level_dbfs: float = -13.0) -> bytes:
    """A beep that rises or falls evenly."""
    t = np.arange(round(ms * SAMPLE_RATE / 1000)) / SAMPLE_RATE
    phase = 2 * np.pi * (first * t + (last - first) * t * t / (2 * ms / 1000))
    return _shaped(32767 * 10 ** (level_dbfs / 20) * math.sqrt(2) * np.sin(phase))
