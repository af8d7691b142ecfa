"""Mix-minus: everybody hears everybody but themselves. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["FrameQueue", "faded", "mix", "mix_minus"]

_CAP_FRAMES = 3
_TRIM_EVERY = 50  # pops: a queue that never ran low for this long only adds delay


class FrameQueue:
    """Frames of one source on their way to another clock: at most 60 ms, the oldest are dropped. One frame is dropped
    when the queue was never empty for a second, as it only adds delay. Push and pop may run on different threads."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=_CAP_FRAMES)
        self._pops = 0
        self._least_left = _CAP_FRAMES

    def push(self, frame: bytes) -> None:
        self._frames.append(frame)

    def pop(self) -> bytes | None:
        """The next frame; None (silence) if nothing arrived."""
        frames = self._frames
        try:
            frame = frames.popleft()
        except IndexError:
            frame = None
        left = len(frames)
        if left < self._least_left:
            self._least_left = left
        self._pops += 1
        if self._pops == _TRIM_EVERY:
            if self._least_left and frames:
                frames.popleft()
            self._pops, self._least_left = 0, _CAP_FRAMES
        return frame

    def clear(self) -> None:
        self._frames.clear()


def _samples(frame: bytes) -> npt.NDArray[np.int16]:
    return np.frombuffer(frame, dtype="<i2")


def _saturated(total: npt.NDArray[np.int32]) -> bytes:
    return np.clip(total, -32768, 32767).astype("<i2").tobytes()


def mix(frames: Sequence[bytes]) -> bytes | None:
    """The sum of frames, saturated. A single frame is returned as the same object; None (silence) for no frames."""
    if len(frames) < 2:
        return frames[0] if frames else None
    total = _samples(frames[0]).astype(np.int32)
    for frame in frames[1:]:
        total += _samples(frame)
    return _saturated(total)


def mix_minus(frames: Sequence[bytes | None]) -> list[bytes | None]:
    """For each participant, in order, what it hears; None in and out stands for silence."""
    talking = [frame for frame in frames if frame is not None]
    if len(talking) <= 2:
        return [
            mix([other for j, other in enumerate(frames) if j != i and other is not None]) for i in range(len(frames))
        ]
    total = _samples(talking[0]).astype(np.int32)
    for frame in talking[1:]:
        total += _samples(frame)
    everyone = _saturated(total)
    return [everyone if own is None else _saturated(total - _samples(own)) for own in frames]


def faded(frame: bytes, first: float, last: float) -> bytes:
    """The frame with a gain (1.0: unchanged) ramped linearly from `first` to `last`."""
    samples = _samples(frame)
    gains = np.linspace(first, last, len(samples), dtype=np.float32)
    return bytes(np.clip(samples * gains, -32768, 32767).astype("<i2").tobytes())
