"""What an agent hears, on its way from media threads to the loop."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from telephony.media.frames import FRAME_MS, AudioFrame

__all__ = ["HearingQueue"]

_EARLY_FRAMES = 5000 // FRAME_MS  # 5 s are kept for a session that is still starting
_log = logging.getLogger(__name__)


class HearingQueue:
    """Implements `AudioInput`. `wake` runs a callable on the loop, from any thread (`loop.call_soon_threadsafe`);
    it is called once a batch, however many frames have come since the loop last looked."""

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake = wake
        self._frames: deque[AudioFrame] = deque()
        self._subscribers: tuple[Callable[[AudioFrame], None], ...] = ()  # replaced as a whole: media threads read it
        self._scheduled = False

    def subscribe(self, on_frame: Callable[[AudioFrame], None]) -> Callable[[], None]:
        self._subscribers = (*self._subscribers, on_frame)
        self._schedule()

        def unsubscribe() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not on_frame)

        return unsubscribe

    def feed(self, frame: AudioFrame) -> None:
        """Called on the media thread."""
        self._frames.append(frame)
        if self._subscribers:
            self._schedule()
        elif len(self._frames) > _EARLY_FRAMES:
            self._frames.popleft()

    def close(self) -> None:
        """Forget the subscribers; frames in transit are dropped."""
        self._subscribers = ()
        self._frames.clear()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._wake(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False  # before the queue is drained: a frame arriving meanwhile schedules again
        frames = self._frames
        while frames and self._subscribers:
            frame = frames.popleft()
            for on_frame in self._subscribers:
                try:
                    on_frame(frame)
                except Exception:  # noqa: BLE001 - a failing listener must not hold up later frames or other listeners
                    _log.exception("a listener failed on a frame")
