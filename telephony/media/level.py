"""Levels of 16-bit audio. dBFS is based on the RMS: 0 is a full-scale square wave, -3.01 a full-scale sine."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from telephony.media.frames import FRAME_SAMPLES

__all__ = ["FLOOR_DBFS", "dbfs", "dbfs_power", "frame_levels_dbfs", "gain", "power_dbfs"]

FLOOR_DBFS = -96.0  # digital silence


def dbfs(pcm: bytes) -> float:
    """Level of the whole audio; FLOOR_DBFS for silence or no audio."""
    if not pcm:
        return FLOOR_DBFS
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    mean_square = float(np.mean(samples**2))
    return max(FLOOR_DBFS, 10 * math.log10(mean_square / 32768**2)) if mean_square else FLOOR_DBFS


def power_dbfs(mean_square: float) -> float:
    """Level of samples with this mean square."""
    return max(FLOOR_DBFS, 10 * math.log10(mean_square / 32768**2)) if mean_square > 0 else FLOOR_DBFS


def dbfs_power(level_dbfs: float) -> float:
    """The mean square of samples at this level."""
    return float(32768**2 * 10 ** (level_dbfs / 10))


def frame_levels_dbfs(pcm: bytes, frame_samples: int = FRAME_SAMPLES) -> npt.NDArray[np.float64]:
    """Level of each whole frame, in order."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    frames = samples[: len(samples) - len(samples) % frame_samples].reshape(-1, frame_samples)
    mean_square = np.mean(frames**2, axis=1) if len(frames) else np.zeros(0)
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(mean_square, 1e-9) / 32768**2)
    return np.maximum(levels, FLOOR_DBFS, dtype=np.float64)


def gain(pcm: bytes, db: float) -> bytes:
    """Amplified or attenuated, saturated."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64) * 10 ** (db / 20)
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
