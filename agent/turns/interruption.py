"""The caller begins to speak while the agent talks, or is about to: pause at once, then decide. Pure.

    calm --SpeechStarted, agent interruptible--> judging, PauseOutput
    judging --SpeechEnded, Interim, Final, deadline--> calm, Interrupt or ResumeOutput

Decided by the words and the duration, whichever is known first:

    length                      words, not a backchannel        backchannel   no words
    under min_duration_ms       Interrupt, if sure              Resume        Resume
    up to backchannel_max_ms    Interrupt                       Resume        Interrupt
    longer                      Interrupt                       Interrupt     Interrupt

An answer that has not been heard yet (`words_only`: the agent thinks, a function runs, a filler is said) is interrupted
only by words, not by sounds and backchannels.

The output is silent all the while, so a late verdict costs the caller nothing. After `max_pause_ms` without speech and
without a decision it continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.turns.backchannel import is_backchannel, normalized_words
from agent.turns.signals import Final, Interim, Signal, SpeechEnded, SpeechStarted

__all__ = [
    "Interrupt",
    "Interruption",
    "InterruptionAction",
    "InterruptionSettings",
    "PauseOutput",
    "ResumeOutput",
    "Situation",
]


@dataclass(frozen=True, slots=True)
class InterruptionSettings:
    min_duration_ms: float = 400
    backchannel_max_ms: float = 1000
    max_pause_ms: float = 2000
    sure_confidence: float = 0.85  # below this, words do not turn speech under min_duration_ms into an interruption
    has_transcripts: bool = True  # False: nothing recognises speech, so only its length counts


@dataclass(frozen=True, slots=True)
class Situation:
    """What the agent is doing when a signal arrives. `interruptible`: it talks or is about to, and may be interrupted.
    `words_only`: only by words. `answer_expected`: it has just asked, so that "yes" is an answer, not a backchannel."""

    interruptible: bool = False
    words_only: bool = False
    answer_expected: bool = False
    language: str = "en"


@dataclass(frozen=True, slots=True)
class PauseOutput:
    pass


@dataclass(frozen=True, slots=True)
class ResumeOutput:
    """Discard the pending user turn, unless `keep_turn` (its words have not arrived yet)."""

    keep_turn: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    pass


InterruptionAction = PauseOutput | ResumeOutput | Interrupt


class Interruption:
    def __init__(self, settings: InterruptionSettings | None = None) -> None:
        self.settings = settings or InterruptionSettings()
        self.state: Literal["calm", "judging"] = "calm"
        self._speaking = False
        self._words_only = False
        self._started_at = 0.0
        self._paused_at = 0.0
        self._ended_at = 0.0

    @property
    def deadline(self) -> float | None:
        if self.state == "calm":
            return None
        if self._speaking:
            return None if self._words_only else self._started_at + self._longest_s
        return max(self._paused_at, self._ended_at) + self.settings.max_pause_ms / 1000

    @property
    def _longest_s(self) -> float:
        """Speech this long is an interruption regardless of its words."""
        settings = self.settings
        return (settings.backchannel_max_ms if settings.has_transcripts else settings.min_duration_ms) / 1000

    def heard(self, signal: Signal, situation: Situation) -> tuple[InterruptionAction, ...]:
        match signal:
            case SpeechStarted(at=at, noticed_at=now):
                return self._speech_started(at, now, situation)
            case SpeechEnded(at=at):
                return self._speech_ended(at)
            case Interim(text=text):
                return self._words(text, 1.0, situation, final=False)
            case Final(text=text, confidence=confidence):
                return self._words(text, confidence, situation, final=True)
            case _:
                return ()

    def agent_started(self, now: float, situation: Situation) -> tuple[InterruptionAction, ...]:
        """The agent is about to talk: if the caller is speaking, it waits for the verdict."""
        return self._speech_started(now, now, situation) if self._speaking else ()

    def agent_done(self) -> None:
        """Nothing is left to interrupt."""
        self.state = "calm"

    def tick(self, now: float) -> tuple[InterruptionAction, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        if self._speaking:
            return self._verdict(interrupt=True)
        self.state = "calm"
        return (ResumeOutput(keep_turn=True),)

    def _speech_started(self, at: float, now: float, situation: Situation) -> tuple[InterruptionAction, ...]:
        self._speaking = True
        if self.state == "judging":
            return self.tick(now)
        if not situation.interruptible:
            return ()
        self.state = "judging"
        self._words_only = situation.words_only and self.settings.has_transcripts
        self._started_at = at
        self._paused_at = now
        return (PauseOutput(), *self.tick(now))

    def _speech_ended(self, at: float) -> tuple[InterruptionAction, ...]:
        self._speaking = False
        self._ended_at = at
        if self.state == "judging" and not self.settings.has_transcripts:
            return self._verdict(interrupt=self._length_ms >= self.settings.min_duration_ms)
        return ()

    def _words(
        self, text: str, confidence: float, situation: Situation, *, final: bool
    ) -> tuple[InterruptionAction, ...]:
        if self.state == "calm":
            return ()
        words = normalized_words(text)
        short = not self._speaking and self._length_ms < self.settings.min_duration_ms
        if short and confidence < self.settings.sure_confidence:
            words = []  # a cough or "uh huh" that sounded like some word
        if words and (situation.answer_expected or not is_backchannel(text, situation.language)):
            settled = final or not _may_become_backchannel(text, situation.language)
            return self._verdict(interrupt=True) if settled else ()
        if not final or self._speaking:
            return ()
        if words:
            return self._verdict(interrupt=False)
        return self._verdict(interrupt=not short and not self._words_only)

    @property
    def _length_ms(self) -> float:
        return (self._ended_at - self._started_at) * 1000

    def _verdict(self, *, interrupt: bool) -> tuple[InterruptionAction, ...]:
        self.state = "calm"
        return (Interrupt(),) if interrupt else (ResumeOutput(),)


def _may_become_backchannel(text: str, language: str) -> bool:
    """An interim text such as "all" may still grow into "all right"."""
    words = normalized_words(text)
    return len(words) == 1 and any(
        is_backchannel(f"{words[0]} {more}", language) for more in ("right", "huh", "see", "it")
    )
