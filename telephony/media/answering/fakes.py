"""Who answered, as a test says it."""

from __future__ import annotations

from collections.abc import Iterable

from telephony.media.answering.model import AnsweredBy, AnsweringEvent

__all__ = ["ScriptedAnswer"]


class ScriptedAnswer:
    """Implements `WhoAnswered`: each of the events comes when its time does."""

    def __init__(self, events: Iterable[AnsweringEvent]) -> None:
        self._events = sorted(events, key=lambda event: event.at)
        self.heard_words: list[str] = []
        self.opinions: list[AnsweredBy] = []
        self.spoke: list[tuple[bool, float]] = []

    def hear(self, pcm: bytes, at: float) -> tuple[AnsweringEvent, ...]:
        return self.tick(at)

    def voice(self, probability: float, at: float) -> tuple[AnsweringEvent, ...]:
        return self.tick(at)

    def words(self, text: str, at: float, *, final: bool) -> tuple[AnsweringEvent, ...]:
        if final:
            self.heard_words.append(text)
        return self.tick(at)

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[AnsweringEvent, ...]:
        self.opinions.append(answered_by)
        return self.tick(at)

    def we_speak(self, speaking: bool, at: float) -> None:
        self.spoke.append((speaking, at))

    def due(self) -> float | None:
        return self._events[0].at if self._events else None

    def tick(self, now: float) -> tuple[AnsweringEvent, ...]:
        ready = tuple(event for event in self._events if event.at <= now)
        del self._events[: len(ready)]
        return ready
