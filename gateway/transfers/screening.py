"""Who has answered a transfer's second leg: gives a detector what the human's leg says, until somebody is joined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from telephony.media.answering.model import AnsweredBy, AnsweringEvent, Verdict, WhoAnswered
from telephony.media.frames import AudioFrame
from telephony.rooms.protocol import AudioInput

__all__ = ["MakesDetector", "Screening"]

MakesDetector = Callable[[float], WhoAnswered]  # from the time of the answer, loop clock


class Screening:
    """`told(answered_by)` is called with each verdict, later corrections included, until `close`."""

    def __init__(self, who: WhoAnswered, hears: AudioInput, told: Callable[[AnsweredBy], None]) -> None:
        self._who = who
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._unsubscribe = hears.subscribe(self._hear)
        self._set_timer()

    def we_speak(self, speaking: bool) -> None:
        """What is heard meanwhile may be our own echo."""
        if not self._closed:
            self._who.we_speak(speaking, self._loop.time())

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hear(self, frame: AudioFrame) -> None:
        self._tell(self._who.hear(frame.pcm, frame.at))

    def _tick(self) -> None:
        self._tell(self._who.tick(self._loop.time()))

    def _tell(self, events: Iterable[AnsweringEvent]) -> None:
        for event in events:
            if isinstance(event, Verdict) and not self._closed:
                self._told(event.answered_by)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if self._closed else self._who.due()
        if due is not None:
            self._timer = self._loop.call_at(due, self._tick)
