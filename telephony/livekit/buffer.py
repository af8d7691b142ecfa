"""The small adaptive buffer between a remote track, which arrives on the loop, and a leg's clock. Pure.

LiveKit's SDK has already removed the network's jitter; what remains is the loop's jitter and the drift of the two
clocks. So the buffer starts with one frame, grows by one when it runs empty, and shrinks by one when it held too much
for a while, which gets longer each time that shrinking was a mistake.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from telephony.media.frames import FRAME_MS

__all__ = ["TrackBuffer", "quiet"]

_MOST_FRAMES = 5  # 100 ms; also the most that a leg finds after not pulling (on hold)
_CALM_POPS = 5_000 // FRAME_MS
_LONGEST_CALM_POPS = 160_000 // FRAME_MS
_QUIET = 400  # largest sample of a frame that may be dropped unnoticed
_INSIST_POPS = 2_000 // FRAME_MS  # after this long without a quiet frame, any frame is dropped


class TrackBuffer:
    """`push` on the loop, `pop` on the media thread: only deque operations are shared."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=_MOST_FRAMES)
        self._target = 1
        self._filling = True
        self._calm = _CALM_POPS
        self._pops = 0  # since it last ran empty or shrank
        self._least_left = _MOST_FRAMES
        self._too_much_for = 0  # pops since it was found to hold too much
        self._shrunk = False
        self.underruns = 0

    @property
    def held_ms(self) -> int:
        return len(self._frames) * FRAME_MS

    def push(self, frame: bytes) -> None:
        self._frames.append(frame)

    def pop(self) -> bytes | None:
        """The next frame; None (silence) if there is none yet."""
        frames = self._frames
        if self._filling:
            if len(frames) < self._target:
                return None
            self._filling = False
        try:
            frame = frames.popleft()
        except IndexError:
            self._ran_empty()
            return None
        self._pops += 1
        if len(frames) < self._least_left:
            self._least_left = len(frames)
        if self._pops >= self._calm and self._least_left:
            return self._shrink(frame)
        if self._pops >= self._calm:
            self._pops, self._least_left = 0, _MOST_FRAMES
        return frame

    def _ran_empty(self) -> None:
        self.underruns += 1
        self._filling = True
        self._target = min(self._target + 1, _MOST_FRAMES - 1)
        if self._shrunk:  # the frame it gave up was needed
            self._calm = min(self._calm * 2, _LONGEST_CALM_POPS)
            self._shrunk = False
        self._pops, self._least_left, self._too_much_for = 0, _MOST_FRAMES, 0

    def _shrink(self, frame: bytes) -> bytes:
        self._too_much_for += 1
        if self._too_much_for < _INSIST_POPS and not quiet(frame):
            return frame
        self._shrunk = True
        self._target = max(1, self._target - 1)
        self._pops, self._least_left, self._too_much_for = 0, _MOST_FRAMES, 0
        try:
            return self._frames.popleft()
        except IndexError:
            return frame


def quiet(frame: bytes) -> bool:
    """Whether dropping it would go unnoticed."""
    return bool(np.abs(np.frombuffer(frame, dtype="<i2").astype(np.int32)).max(initial=0) < _QUIET)
