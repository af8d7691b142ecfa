"""Keys in the audio itself (in band): detection by the limits of ITU-T Q.24 and of Mitel's CM7291 test tape. Pure.

Windows of 20 ms, 2.5 ms apart, are compared with the eight frequencies. A window shows a key when a low and a high
frequency carry nearly all of its energy, neither much louder than the other, and both turn as fast as that key's do. A
press is a steady row of such windows. What may be accepted and what must be refused:

| | accepted | refused |
| --- | --- | --- |
| press | from 40 ms | up to 23 ms |
| pause between two of one key | from 50 ms | up to 40 ms: the same press, with packets lost |
| frequency | 1.5 % off | 3.5 % off |
| low group above the high one | up to 8 dB | |
| high group above the low one | up to 4 dB | |
| level of each | from -25 dBm0 | |
| noise | up to 15 dB below the weaker one | |

A dial tone (350 and 440 Hz, or 425 Hz) that was there before is filtered out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telephony.media.dtmf import COLUMNS, KEYS, ROWS
from telephony.media.frames import SAMPLE_RATE

__all__ = ["DtmfDetector", "DtmfHeard"]

Array = npt.NDArray[np.float64]

_WINDOW = 160  # samples
_HOP = 20
_HOP_MS = _HOP * 1000 / SAMPLE_RATE
_LEAST_HITS = 8  # windows in a row: 40 ms have 9 at least, 23 ms have 5
_MOST_MISSES = 2  # windows that noise may spoil within a press
_PAUSE = 22  # windows without the key: a pause of 50 ms has 24 at least, one of 40 ms has 21
_LEAST_POWER = (
    32768**2 / 2 * 10 ** ((-25 - 3.14 - 3.5) / 10)
)  # mean square of each tone; 0 dBm0 is 3.14 dB below a full sine
_QUIET = 250  # peak: 13 dB below the two of that power together
_SOME = 0.35  # of a frame's energy: half of what a key has that is off by as much as may be, in as much noise
_LEAST_OF_ONE = 0.03
_LEAST_SHARE = 0.8  # of the window's energy in the two
_LOW_ABOVE = 10 ** (9 / 10)
_HIGH_ABOVE = 10 ** (5 / 10)
_MOST_OFF = 0.025  # mean deviation of frequency
_MOST_SPREAD = 0.012  # its standard deviation
_MOST_CHANGE = 10 ** (3.5 / 10)  # of power within the row
_DIAL_TONE = (350.0, 440.0, 425.0)
_DIAL_HOPS, _DIAL_MOST = 16, 80  # it counts after 40 ms, and is remembered for some time

_HANN = np.hanning(_WINDOW + 1)[:_WINDOW]
_FREQUENCIES = np.array(ROWS + COLUMNS + _DIAL_TONE)
_WAVES = np.exp(-2j * np.pi * np.outer(np.arange(_WINDOW) / SAMPLE_RATE, _FREQUENCIES)) * _HANN[:, None]
_TO_POWER = 2 / _HANN.sum() ** 2
_ENERGY = _HANN**2 / (_HANN**2).sum()
_TURN = np.exp(-2j * np.pi * _FREQUENCIES * _HOP / SAMPLE_RATE)  # undoes how far each turns from window to window
_HZ = SAMPLE_RATE / (2 * np.pi * _HOP)


def _above_dial_tone() -> Array:
    """A high-pass filter: 440 Hz is 40 dB down, 680 Hz passes."""
    k = np.arange(61) - 30
    ideal = -2 * 560 / SAMPLE_RATE * np.sinc(2 * 560 / SAMPLE_RATE * k)
    ideal[30] += 1
    shaped: Array = ideal * np.kaiser(61, 5.0)
    return shaped


_FILTER = _above_dial_tone()
_KEPT = _WINDOW - _HOP + len(_FILTER) - 1  # samples that the next windows, filtered, begin with


@dataclass(frozen=True, slots=True)
class DtmfHeard:
    """A key press, as soon as it is certain: 40 to 60 ms after it began. `started_ms`: from the start of the audio."""

    digit: str
    started_ms: float


@dataclass(frozen=True, slots=True)
class _Hit:
    """A window that shows a key. Deviations are shares of the frequency, powers mean squares."""

    key: str
    low_off: float
    high_off: float
    low: float
    high: float


class DtmfDetector:
    """Takes 8 kHz PCM in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._kept = np.zeros(_KEPT)
        self._quiet = _KEPT  # samples since one that may belong to a key
        self._put_off = np.zeros(0, "<i2")  # a frame that shows no key, but may begin one
        self._last = np.zeros(len(_FREQUENCIES), np.complex128)  # the window before
        self._hops = 0
        self._row: list[_Hit] = []
        self._misses = _PAUSE
        self._pressed = ""  # reported, and not over yet
        self._dial_tone = 0

    def push(self, pcm: bytes) -> list[DtmfHeard]:
        audio = self._rest + pcm
        whole = len(audio) - len(audio) % (2 * _HOP)
        self._rest = audio[whole:]
        if not whole:
            return []
        samples = np.frombuffer(audio[:whole], "<i2")
        before, self._put_off = self._put_off, samples[:0]
        quiet = self._is_quiet(samples)
        if quiet or (not self._row and not self._dial_tone and _is_plain(samples)):
            self._skip(before)
            if quiet:
                self._skip(samples)
            else:
                self._put_off = samples
            return []
        heard: list[DtmfHeard] = []
        for hit in self._windows(np.concatenate([before, samples]).astype(np.float64)):
            self._hops += 1
            if digit := self._step(hit):
                heard.append(DtmfHeard(digit, max(0.0, (self._hops - _LEAST_HITS) * _HOP_MS - 15)))
        return heard

    def _is_quiet(self, samples: npt.NDArray[np.int16]) -> bool:
        """No window that ends here can show a key."""
        before = self._quiet
        peak = max(int(samples.max()), -int(samples.min()))
        self._quiet = before + len(samples) if peak < _QUIET else 0
        return self._quiet > 0 and before >= _KEPT

    def _skip(self, samples: npt.NDArray[np.int16]) -> None:
        """As `_windows` and `_step` without a hit."""
        if not len(samples):
            return
        self._kept = np.concatenate([self._kept, samples])[-_KEPT:]
        self._hops += len(samples) // _HOP
        self._misses += len(samples) // _HOP
        if self._misses > _MOST_MISSES:
            self._row.clear()
        if self._misses >= _PAUSE:
            self._pressed = ""

    def _windows(self, samples: Array) -> list[_Hit | None]:
        audio = np.concatenate([self._kept, samples])
        self._kept = audio[-_KEPT:]
        spectra, powers, energy = _measure(_slides(audio[len(_FILTER) - 1 :]))
        self._note_dial_tone(powers, energy)
        if self._dial_tone > _DIAL_HOPS:
            spectra, powers, energy = _measure(_slides(np.convolve(audio, _FILTER, "valid")))
        hits = self._hits(spectra, powers, energy)
        self._last = spectra[-1]
        return hits

    def _note_dial_tone(self, powers: Array, energy: Array) -> None:
        first, second, single = powers[:, 8:].mean(axis=0)
        whole = float(energy.mean())
        both = first + second
        if whole > 100 and ((both > 0.8 * whole and min(first, second) > 0.1 * whole) or single > 0.85 * whole):
            self._dial_tone = min(self._dial_tone + len(energy), _DIAL_MOST)
        elif not self._row and both < 0.2 * whole and single < 0.2 * whole:
            self._dial_tone = max(0, self._dial_tone - 2 * len(energy))

    def _hits(self, spectra: npt.NDArray[np.complex128], powers: Array, energy: Array) -> list[_Hit | None]:
        at = np.arange(len(energy))
        row, column = powers[:, :4].argmax(axis=1), 4 + powers[:, 4:8].argmax(axis=1)
        low, high = powers[at, row], powers[at, column]
        likely = (np.minimum(low, high) > _LEAST_POWER / 1.5) & (low + high > 0.6 * energy)
        if not likely.any():
            return [None] * len(energy)
        before = np.concatenate([self._last[None], spectra[:-1]])
        turned = np.angle(spectra * np.conj(before) * _TURN) * _HZ
        low_off, high_off = turned[at, row], turned[at, column]
        low, high = low / _response(low_off), high / _response(high_off)
        good = (
            likely
            & (np.minimum(low, high) >= _LEAST_POWER)
            & (low <= _LOW_ABOVE * high)
            & (high <= _HIGH_ABOVE * low)
            & (low + high >= _LEAST_SHARE * energy)
        )
        return [
            _Hit(
                KEYS[row[i]][column[i] - 4],
                float(low_off[i] / _FREQUENCIES[row[i]]),
                float(high_off[i] / _FREQUENCIES[column[i]]),
                float(low[i]),
                float(high[i]),
            )
            if good[i]
            else None
            for i in at
        ]

    def _step(self, hit: _Hit | None) -> str:
        """The key that is certain with this window, or empty."""
        if hit is None:
            self._misses += 1
            if self._misses > _MOST_MISSES:
                self._row.clear()
            if self._misses >= _PAUSE:
                self._pressed = ""
            return ""
        self._misses = 0
        if self._row and self._row[-1].key != hit.key:
            self._row.clear()
        self._row.append(hit)
        if hit.key == self._pressed or len(self._row) < _LEAST_HITS or not _steady(self._row[-_LEAST_HITS:]):
            return ""
        self._pressed = hit.key
        return hit.key


def _is_plain(samples: npt.NDArray[np.int16]) -> bool:
    """Neither a key nor a dial tone fills this frame of 20 ms. A press that counts fills one at least; looking at all
    windows of each frame costs four times as much."""
    if len(samples) != _WINDOW:
        return False
    audio = samples.astype(np.float64)
    spectrum = audio @ _WAVES
    powers = (spectrum.real**2 + spectrum.imag**2) * _TO_POWER
    energy = float((audio * audio) @ _ENERGY)
    low, high, dial = float(powers[:4].max()), float(powers[4:8].max()), float(powers[8:].max())
    return dial < _SOME * energy and (low + high < _SOME * energy or min(low, high) < _LEAST_OF_ONE * energy)


def _slides(audio: Array) -> Array:
    """Its windows."""
    return np.lib.stride_tricks.sliding_window_view(audio, _WINDOW)[::_HOP]


def _measure(windows: Array) -> tuple[npt.NDArray[np.complex128], Array, Array]:
    """Spectra, mean squares of a tone at each frequency, and the energy of each window."""
    spectra = windows.astype(np.complex128) @ _WAVES
    return spectra, (spectra.real**2 + spectra.imag**2) * _TO_POWER, (windows * windows) @ _ENERGY


def _response(off_hz: Array) -> Array:
    """Of the window, in power, to a tone so far from its frequency; a quarter at least."""
    bins = np.abs(off_hz) * _WINDOW / SAMPLE_RATE
    bins = np.where(np.abs(bins - 1) < 1e-3, 1.001, bins)
    return np.maximum(0.25, (np.sinc(bins) / (1 - bins * bins)) ** 2)


def _steady(row: list[_Hit]) -> bool:
    off = np.array([(hit.low_off, hit.high_off) for hit in row])
    power = np.array([(hit.low, hit.high) for hit in row[1:-1]])
    return bool(
        (np.abs(off.mean(axis=0)) <= _MOST_OFF).all()
        and (off.std(axis=0) <= _MOST_SPREAD).all()
        and (power.max(axis=0) <= _MOST_CHANGE * power.min(axis=0)).all()
    )
