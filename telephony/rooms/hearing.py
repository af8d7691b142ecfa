"""What an agent hears, on its way from media threads to the loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from telephony.media.frames import FRAME_MS, AudioFrame

__all__ = ["HearingQueue"]

_EARLY_FRAMES = 5000 // FRAME_MS  # 5 s are kept for a session that is still starting


class HearingQueue:
    """Implements `AudioInput`. `wake` runs a callable on the loop, from any thread (`loop.call_soon_threadsafe`);
    it is called once a batch, however many frames have come since the loop last looked."""

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake = wake
        self._frames: deque[AudioFrame] = deque()
        self._on_frame: Callable[[AudioFrame], None] | None = None
        self._scheduled = False

    def subscribe(self, on_frame: Callable[[AudioFrame], None]) -> None:
        self._on_frame = on_frame
        self._schedule()

    def feed(self, frame: AudioFrame) -> None:
        """Called on the media thread."""
        self._frames.append(frame)
        if self._on_frame is not None:
            self._schedule()
        elif len(self._frames) > _EARLY_FRAMES:
            self._frames.popleft()

    def close(self) -> None:
        """Forget the subscriber; frames that are under way are dropped."""
        self._on_frame = None
        self._frames.clear()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._wake(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False  # before the queue is emptied: a frame that comes meanwhile schedules anew
        frames = self._frames
        try:
            while frames and self._on_frame is not None:
                self._on_frame(frames.popleft())
        finally:
            if frames and self._on_frame is not None:  # a subscriber that raised must not hold up later frames
                self._schedule()
