"""The time axis of a recording, which continues while nothing ticks. No I/O."""

from __future__ import annotations

from telephony.media.frames import FRAME_MS, SILENCE
from telephony.rooms.protocol import Recorder

__all__ = ["RecordedTime"]

_GAP_S = 0.6  # exceeds the backlog a media clock catches up in a burst (0.5 s in PJMEDIA): nobody pulled at all
_LONGEST_GAP_S = 3600.0


class RecordedTime:
    """Tracks the recording's position. Nothing ticks while the clock leg is on hold or between two legs, or while a
    connection is being resumed; the missed time is recorded as silence."""

    def __init__(self) -> None:
        self._last_tick: float | None = None  # seconds, loop clock; None: not started

    def tick(self, recorder: Recorder, at: float) -> None:
        """Call before writing each frame."""
        last, self._last_tick = self._last_tick, at
        if last is not None and at - last > _GAP_S:
            for _ in range(round(min(at - last, _LONGEST_GAP_S) * 1000 / FRAME_MS) - 1):
                recorder.write(SILENCE, SILENCE)
