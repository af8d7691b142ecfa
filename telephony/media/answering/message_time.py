"""When a message for a voicemail may begin: after the beep, or after the greeting's end where none comes."""

from __future__ import annotations

from telephony.media.answering.model import GreetingGoesOn, MessageMayBegin
from telephony.media.answering.settings import AnsweringSettings

__all__ = ["MessageTime"]

_DOUBLE_S = 3.0  # after a message was begun by a beep, another one this late is the recorder's, not the greeting's
MessageEvent = MessageMayBegin | GreetingGoesOn


class MessageTime:
    """Told everything from the answer on; says something only from `voicemail` on, until `over`."""

    def __init__(self, answered_at: float, settings: AnsweringSettings) -> None:
        self._settings = settings
        self._limit_at = answered_at + settings.message_limit_s
        self._wanted = False
        self._announced = False  # a beep was, in words
        self._beep_ended: float | None = None  # since the last speech
        self._tone_on = False
        self._speech_ended: float | None = None
        self._speech_began: float | None = None  # of speech that lasts
        self._begun = ""  # why a message may be spoken now; empty: not yet
        self._begun_at = answered_at
        self._another_beep = False  # since then

    @property
    def begun(self) -> str:
        return self._begun

    def voicemail(self, at: float) -> None:
        self._wanted = True
        self._begun = ""
        if self._speech_ended is None:
            self._speech_ended = at

    def over(self) -> None:
        """It is no voicemail after all."""
        self._wanted = False
        self._begun = ""

    def announced(self) -> None:
        self._announced = True

    def tone(self, on: bool, at: float) -> None:
        """A tone that may be a beep begins or ends."""
        self._tone_on = on

    def beep(self, ended: float) -> None:
        self._tone_on = False
        self._beep_ended = ended
        late = self._begun == "beep" and ended > self._begun_at + _DOUBLE_S
        self._another_beep = bool(self._begun) and not late

    def speech(self, began: float | None, at: float) -> None:
        """Somebody has been talking since `began`, as of `at`; None: nobody does."""
        if began is None and self._speech_began is not None:
            self._speech_ended = at
        self._speech_began = began

    def due(self) -> float | None:
        if not self._wanted or self._begun or self._tone_on:
            return None
        return self._next()[0]

    def tick(self, now: float) -> MessageEvent | None:
        if not self._wanted:
            return None
        if self._begun:
            return self._goes_on(now)
        at, why = self._next()
        if now < at or (self._tone_on and why != "limit"):
            return None
        self._begun, self._begun_at = why, now
        return MessageMayBegin(now, why)

    def _next(self) -> tuple[float, str]:
        settings = self._settings
        if self._beep_ended is not None:
            return self._beep_ended + settings.after_beep_s, "beep"
        if self._speech_began is not None or self._speech_ended is None:
            return self._limit_at, "limit"
        quiet = settings.announced_beep_s if self._announced else settings.no_beep_s
        return min((self._speech_ended + quiet, "greeting_end"), (self._limit_at, "limit"))

    def _goes_on(self, now: float) -> GreetingGoesOn | None:
        """Speech again, or another beep. At the limit nothing counts any more."""
        if self._begun == "limit" and not self._another_beep:
            return None
        settings = self._settings
        enough = settings.goes_on_after_beep_s if self._begun == "beep" else settings.goes_on_s
        talks = self._speech_began is not None and now - self._speech_began >= enough
        if not talks and not self._another_beep:
            return None
        if talks:
            self._beep_ended = None
        self._begun = ""
        self._another_beep = False
        return GreetingGoesOn(now)
