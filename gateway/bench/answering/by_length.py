"""Who answered by the length of speech alone, as several products decide it: a baseline with a VAD and no words."""

from __future__ import annotations

from telephony.media.answering.model import AnsweredBy, AnsweringEvent, MessageMayBegin, Verdict

__all__ = ["ByLength"]

_SPEECH = 0.5


class ByLength:
    """Implements `WhoAnswered`: at most 2.5 s of speech, then 0.5 s of silence, is a person; more of it is a voicemail,
    whose greeting ends with 1.5 s of silence; nothing for 10 s is silence."""

    def __init__(self, answered_at: float) -> None:
        self._started_at: float | None = None
        self._spoken_at = 0.0
        self._said: AnsweredBy | None = None
        self._done = False
        self._due: float | None = answered_at + 10

    def hear(self, pcm: bytes, at: float) -> tuple[AnsweringEvent, ...]:
        return ()

    def voice(self, probability: float, at: float) -> tuple[AnsweringEvent, ...]:
        if self._done or probability < _SPEECH:
            return self.tick(at)
        self._started_at = at if self._started_at is None else self._started_at
        self._spoken_at = at
        if self._said is None and at - self._started_at > 2.5:
            self._said, self._due = AnsweredBy.VOICEMAIL, at + 1.5
            return (Verdict(at, self._said, 0.5, ("a long greeting",)),)
        self._due = at + (0.5 if self._said is None else 1.5)
        return ()

    def words(self, text: str, at: float, *, final: bool) -> tuple[AnsweringEvent, ...]:
        return ()

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[AnsweringEvent, ...]:
        return ()

    def we_speak(self, speaking: bool, at: float) -> None:
        pass

    def due(self) -> float | None:
        return self._due

    def tick(self, now: float) -> tuple[AnsweringEvent, ...]:
        if self._due is None or now < self._due:
            return ()
        self._due, self._done = None, True
        if self._said is AnsweredBy.VOICEMAIL:
            return (MessageMayBegin(now, "greeting_end"),)
        self._said = AnsweredBy.HUMAN if self._started_at is not None else AnsweredBy.SILENCE
        return (Verdict(now, self._said, 0.5, ("a short greeting" if self._started_at else "silence",)),)
