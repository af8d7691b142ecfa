"""Changing the sample rate of 16-bit mono audio, with soxr. Once, at the boundary where the other rate comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

__all__ = ["Resampler", "resample"]

# soxr's "HQ" is 20 bits: more than 16-bit telephony can show. "MQ" passes 3.4 kHz all the same, at half the delay.
_QUALITY = "MQ"


def resample(pcm: bytes, from_rate: int, to_rate: int) -> bytes:
    """Convert a whole clip. Rates are in Hz."""
    if from_rate == to_rate:
        return pcm
    converted = soxr.resample(np.frombuffer(pcm, dtype="<i2"), from_rate, to_rate, quality=_QUALITY)
    return bytes(converted.astype("<i2").tobytes())


class Resampler:
    """Converts a stream piece by piece. What comes out lags by a few milliseconds until `last`."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._same = from_rate == to_rate
        self._stream: Any = None  # soxr has no types
        if not self._same:
            self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="int16", quality=_QUALITY)

    def push(self, pcm: bytes, *, last: bool = False) -> bytes:
        """Feed any whole number of samples; return what is ready (maybe nothing). `last` flushes the stream."""
        if self._same:
            return pcm
        return bytes(self._stream.resample_chunk(np.frombuffer(pcm, dtype="<i2"), last=last).tobytes())
