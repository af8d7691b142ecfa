"""One look at each 20 ms frame, for all detectors of tones: is most of it one or two sines, and which? Pure.

The look is coarse: 40 ms, 25 Hz a bin. Frames below `QUIET_DBFS` are not looked at. `fine` looks at up to 160 ms that
are thought to hold one tone: only so 440 + 480 Hz are told from 460 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telephony.media.frames import FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["QUIET_DBFS", "Components", "Peaks", "Spectrum", "fine"]

Array = npt.NDArray[np.float32]

QUIET_DBFS = -50.0
_QUIET = 32768**2 * 10 ** (QUIET_DBFS / 10)  # mean square
_WINDOW = 2 * FRAME_SAMPLES
_HANN = np.hanning(_WINDOW + 1)[:_WINDOW].astype(np.float32)
_BIN = SAMPLE_RATE / _WINDOW  # Hz
_LOW, _HIGH = 8, 137  # bins that count: 200 to 3,400 Hz
_TONAL = 0.75  # least share of one or two peaks
_SECOND = 0.08
_FINE = 2048
_FINE_LOW, _FINE_HIGH = 200 * _FINE // SAMPLE_RATE, 3400 * _FINE // SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Peaks:
    """Of a frame that is one tone or two. Shares are of its power between 200 and 3,400 Hz."""

    hertz: float
    share: float
    second_share: float
    second_hertz: float = 0.0  # to a bin

    @property
    def purity(self) -> float:
        return self.share + self.second_share


@dataclass(frozen=True, slots=True)
class Components:
    """The one or two sines that a tone consists of; `second_hertz` is 0 where there is but one."""

    hertz: float
    share: float
    second_hertz: float
    second_share: float

    @property
    def purity(self) -> float:
        return self.share + self.second_share


class Spectrum:
    """Keeps the last 40 ms. `power`: mean square of the last frame; `bins`: the coarse spectrum, None if quiet."""

    def __init__(self) -> None:
        self._samples = np.zeros(_WINDOW, np.float32)
        self.power = 0.0
        self.bins: Array | None = None

    def look(self, frame: Array) -> Peaks | None:
        samples = self._samples
        samples[:FRAME_SAMPLES] = samples[FRAME_SAMPLES:]
        samples[FRAME_SAMPLES:] = frame
        self.power = float(frame.dot(frame)) / FRAME_SAMPLES
        if self.power < _QUIET:
            self.bins = None
            return None
        parts = np.fft.rfft(samples * _HANN)[_LOW:_HIGH].view(np.float32)
        parts *= parts
        self.bins = parts[0::2] + parts[1::2]
        return _peaks(self.bins.tolist())


def _peaks(powers: list[float]) -> Peaks | None:
    whole = sum(powers) + 1e-9
    top = max(powers)
    at = powers.index(top)
    low = at - 2 if at > 2 else 0
    share = sum(powers[low : at + 3]) / whole
    second = second_hertz = 0.0
    if share < 0.93:
        if share < 0.35:
            return None
        rest = [*powers[:low], 0.0, 0.0, 0.0, *powers[at + 3 :]]
        other = rest.index(max(rest))
        second = sum(rest[max(0, other - 2) : other + 3]) / whole
        if second < _SECOND:
            second = 0.0
        second_hertz = (_LOW + other) * _BIN if second else 0.0
        if share + second < _TONAL:
            return None
    if not 0 < at < len(powers) - 1:
        return Peaks((_LOW + at) * _BIN, share, second, second_hertz)
    left, right = powers[at - 1] ** 0.5, powers[at + 1] ** 0.5
    # Of a Hann window, the larger neighbour's amplitude tells where between two bins the peak is.
    middle = top**0.5
    off = (2 * right - middle) / (middle + right) if right > left else -(2 * left - middle) / (middle + left)
    return Peaks((_LOW + at + off) * _BIN, share, second, second_hertz)


def fine(samples: Array) -> Components:
    """Of at least 20 ms that are thought to be one tone throughout."""
    n = min(len(samples), _FINE)
    parts = np.fft.rfft(samples[-n:] * np.hanning(n), _FINE)[_FINE_LOW:_FINE_HIGH]
    powers = parts.real**2 + parts.imag**2
    whole = float(powers.sum()) + 1e-9
    lobe = max(3, round(2.2 * _FINE / n))  # half the main lobe of the window
    hertz, share = _peak(powers, lobe, whole)
    second_hertz, second_share = _peak(powers, lobe, whole)
    if second_share < _SECOND:
        return Components(hertz, share, 0.0, 0.0)
    return Components(hertz, share, second_hertz, second_share)


def _peak(powers: npt.NDArray[np.float64], lobe: int, whole: float) -> tuple[float, float]:
    """The highest peak, which is taken out."""
    at = int(powers.argmax())
    off = 0.0
    if 0 < at < len(powers) - 1:
        left, middle, right = np.log(powers[at - 1 : at + 2] + 1e-12)
        bend = left - 2 * middle + right
        off = float(0.5 * (left - right) / bend) if bend < 0 else 0.0
    low, high = max(0, at - lobe), at + lobe + 1
    share = float(powers[low:high].sum()) / whole
    powers[low:high] = 0
    return (_FINE_LOW + at + off) * SAMPLE_RATE / _FINE, share
