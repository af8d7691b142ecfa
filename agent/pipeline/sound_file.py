"""A sound file as something to say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from agent.providers.base import SpokenAudio
from telephony.media.frames import SAMPLE_RATE
from telephony.media.wav import read_channels_at

__all__ = ["as_stream", "load_sound", "played"]

_KEPT = 16  # files, for all calls of a process
_PIECE_BYTES = 2 * SAMPLE_RATE // 5  # 200 ms


def load_sound(path: Path | str) -> bytes:
    """A WAV file as 8 kHz 16-bit mono: resampled once, channels mixed, cached for the next call. Blocks. Raises
    OSError or BadWavFile."""
    file = Path(path)
    state = file.stat()
    return _load(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=_KEPT)
def _load(file: Path, mtime_ns: int, size: int) -> bytes:
    rate, channels = read_channels_at(file)
    samples = np.mean([np.frombuffer(channel, dtype="<i2").astype(np.float32) for channel in channels], axis=0)
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples.astype(np.float32), rate, SAMPLE_RATE)
    return bytes(np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes())


async def as_stream(made: Iterable[SpokenAudio]) -> AsyncGenerator[SpokenAudio, None]:
    """Finished speech in the form that a synthesis returns."""
    for audio in made:
        yield audio


async def played(pcm: bytes) -> AsyncGenerator[SpokenAudio, None]:
    """In the form that a synthesis returns."""
    for start in range(0, len(pcm), _PIECE_BYTES):
        yield SpokenAudio(pcm[start : start + _PIECE_BYTES])
