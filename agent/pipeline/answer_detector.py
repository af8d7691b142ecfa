"""Feeds whatever finds out who has answered, in order of time, and survives its failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from agent.pipeline.alarm import Alarm
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, WhoAnswered
from telephony.media.frames import AudioFrame

__all__ = ["AnswerDetector"]

T = TypeVar("T")
_LEAST_S = 0.02  # between two ticks, whatever it asks for
_log = logging.getLogger(__name__)


class AnswerDetector:
    """`told` gets its events, `lost` is called when it has failed. After `stop` neither is."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        who: WhoAnswered,
        told: Callable[[AnsweringEvent], None],
        lost: Callable[[], None],
    ) -> None:
        self._who: WhoAnswered | None = who
        self._told = told
        self._lost = lost
        self._at = float("-inf")
        self._ticked_at = float("-inf")
        self._alarm: Alarm[AnsweringEvent] = Alarm(loop, self, self._tell)
        self._alarm.set()

    @property
    def running(self) -> bool:
        return self._who is not None

    def frame(self, frame: AudioFrame) -> None:
        self._ask(lambda who, at: who.hear(frame.pcm, at), frame.at)

    def voice(self, probability: float, at: float) -> None:
        self._ask(lambda who, at: who.voice(probability, at), at)

    def words(self, text: str, at: float, *, final: bool) -> None:
        self._ask(lambda who, at: who.words(text, at, final=final), at)

    def opinion(self, answered_by: AnsweredBy, at: float) -> None:
        self._ask(lambda who, at: who.opinion(answered_by, at), at)

    def we_speak(self, speaking: bool, at: float) -> None:
        def tell(who: WhoAnswered, at: float) -> tuple[AnsweringEvent, ...]:
            who.we_speak(speaking, at)
            return ()

        self._ask(tell, at)

    def stop(self) -> None:
        self._who = None
        self._alarm.cancel()

    # --- the alarm's machine --------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        who = self._who
        due = None if who is None else self._guarded(who.due)
        return None if due is None else max(due, self._ticked_at + _LEAST_S)

    def tick(self, now: float) -> tuple[AnsweringEvent, ...]:
        self._ticked_at = now
        who, self._at = self._who, max(self._at, now)
        return () if who is None else self._guarded(lambda: who.tick(self._at)) or ()

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[WhoAnswered, float], tuple[AnsweringEvent, ...]], at: float) -> None:
        who = self._who
        if who is None:
            return
        self._at = max(self._at, at)  # windows of the VAD end between frames
        events = self._guarded(lambda: question(who, self._at))
        if events:
            self._tell(events)
        self._alarm.set()

    def _guarded(self, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except Exception:  # noqa: BLE001  whatever it is, the call goes on without it
            _log.exception("finding out who has answered failed")
            if self._who is not None:
                self.stop()
                self._lost()
            return None

    def _tell(self, events: tuple[AnsweringEvent, ...]) -> None:
        for event in events:
            if self._who is not None:
                self._told(event)
