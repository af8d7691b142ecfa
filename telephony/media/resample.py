"""Resamples 16-bit mono clips with soxr. Done once, at the boundary where audio with another rate comes in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

__all__ = ["resample"]

_QUALITY = "HQ"


def resample(pcm: bytes, from_rate: int, to_rate: int) -> bytes:
    """Convert a whole clip. Rates are in Hz."""
    if from_rate == to_rate:
        return pcm
    return _to_pcm(soxr.resample(_to_floats(pcm), from_rate, to_rate, quality=_QUALITY))


def _to_floats(pcm: bytes) -> npt.NDArray[np.float32]:
    # soxr dithers 16-bit output at random, so no two replays of a call would be alike.
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


def _to_pcm(samples: npt.NDArray[np.float32]) -> bytes:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
