"""In-band DTMF (ITU-T Q.23, Q.24): generation, and detection with the Goertzel algorithm. Pure.

The detector is for callers' in-band keys; nothing uses it yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from telephony.media.frames import SAMPLE_RATE
from telephony.media.tones import silence, tone

__all__ = ["DIGITS", "DtmfDetector", "DtmfHeard", "dtmf"]

_ROWS = (697.0, 770.0, 852.0, 941.0)
_COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
_KEYS = ("123A", "456B", "789C", "*0#D")
DIGITS = "0123456789*#ABCD"
_PAIRS = {key: (_ROWS[r], _COLUMNS[c]) for r, row in enumerate(_KEYS) for c, key in enumerate(row)}


def dtmf(digits: str, *, on_ms: int = 100, off_ms: int = 80, level_dbfs: float = -10.0) -> bytes:
    """Digits as 8 kHz PCM; `w` is a pause of 500 ms. Raises ValueError for other characters."""
    pieces: list[bytes] = []
    for digit in digits:
        if digit == "w":
            pieces.append(silence(500))
        elif digit in _PAIRS:
            pieces.append(tone(_PAIRS[digit], on_ms, level_dbfs) + silence(off_ms))
        else:
            raise ValueError(f"invalid DTMF digit {digit!r}")
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class DtmfHeard:
    """A key press found in the audio. Times are milliseconds from the start of the pushed audio."""

    digit: str
    started_ms: float
    ended_ms: float


_BLOCK = 102  # samples, 12.75 ms: three blocks fit in the shortest press of Q.24 (40 ms), bins are 78 Hz wide
_BLOCK_MS = _BLOCK * 1000 / SAMPLE_RATE
_LEAST_BLOCKS = 2
_LEAST_LEVEL = 10 ** (-36 / 20) * 32768
_LEAST_PURITY = 0.72  # share of the block's energy in the two tones: speech rarely exceeds a half
_TWIST = 10 ** (8 / 10)  # the stronger tone of the pair may be 8 dB above the weaker
_OTHERS = 10 ** (6 / 10)  # and must be 6 dB above its neighbours
_WAVES = np.exp(-2j * np.pi * np.outer(np.array(_ROWS + _COLUMNS) / SAMPLE_RATE, np.arange(_BLOCK)))


class DtmfDetector:
    """Detects keys in 8 kHz audio, in pieces of any size. A key is reported when it ends."""

    def __init__(self) -> None:
        self._rest = b""
        self._blocks = 0  # processed so far
        self._digit = ""
        self._since = 0
        self._misses = 0

    def push(self, pcm: bytes) -> list[DtmfHeard]:
        audio = self._rest + pcm
        whole = len(audio) - len(audio) % (2 * _BLOCK)
        self._rest = audio[whole:]
        heard: list[DtmfHeard] = []
        for block in np.frombuffer(audio[:whole], dtype="<i2").reshape(-1, _BLOCK):
            heard += self._step(_digit_of(block.astype(np.float64)))
        return heard

    def _step(self, digit: str) -> list[DtmfHeard]:
        heard: list[DtmfHeard] = []
        if digit == self._digit:
            self._misses = 0
        elif self._digit and not digit and self._misses == 0:
            self._misses = 1  # one spoiled block does not end a press
        else:
            end = self._blocks - self._misses
            if self._digit and end - self._since >= _LEAST_BLOCKS:
                heard.append(DtmfHeard(self._digit, self._since * _BLOCK_MS, end * _BLOCK_MS))
            self._digit, self._since, self._misses = digit, self._blocks, 0
        self._blocks += 1
        return heard


def _digit_of(block: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The key in one block, or empty."""
    energy = float(np.mean(block**2))
    if energy < _LEAST_LEVEL**2:
        return ""
    power = np.abs(_WAVES @ block) ** 2 * 2 / _BLOCK**2  # mean square of each tone
    rows, columns = power[:4], power[4:]
    row, column = int(np.argmax(rows)), int(np.argmax(columns))
    low, high = float(rows[row]), float(columns[column])
    if low + high < _LEAST_PURITY * energy or max(low, high) > _TWIST * min(low, high):
        return ""
    if np.any(np.delete(rows, row) * _OTHERS > low) or np.any(np.delete(columns, column) * _OTHERS > high):
        return ""
    return _KEYS[row][column]
