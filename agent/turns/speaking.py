"""Merges a VAD's and a recogniser's signals about the same speech, so that starts and ends alternate for the machines.
Pure: the shell calls `tick` at `deadline`.

The recogniser's signals count for a turn that the VAD does not hear (no VAD, or the caller is too quiet):

                            the VAD hears the turn    it does not
    the VAD's               as they come              -
    SpeechStarted           -                         begins
    Interim, new words      -                         begins, unless an eager EndOfTurn came before
    Final, eager EndOfTurn  -                         ends
    EndOfTurn               ends                      ends
    TurnResumed             -                         begins
    no new word for 1 s     -                         ends with the last word
    stream lost             -                         ends with the last word
"""

from __future__ import annotations

from agent.turns.signals import EndOfTurn, Final, Interim, Signal, SpeechEnded, SpeechStarted, TurnResumed

__all__ = ["Speaking"]

_WORDLESS_S = 1.0


class Speaking:
    def __init__(self) -> None:
        self.now = False  # the caller is speaking
        self._voice = False  # the VAD hears it
        self._voiced = False  # the VAD has heard something of this turn
        self._guessed = False  # an eager end of turn has arrived since the last start
        self._words = ""
        self._words_at = 0.0

    @property
    def deadline(self) -> float | None:
        return self._words_at + _WORDLESS_S if self.now and not self._voice else None

    def tick(self, now: float) -> tuple[Signal, ...]:
        return self.lost(now) if self.deadline is not None and now >= self.deadline else ()

    def voice(self, signal: SpeechStarted | SpeechEnded) -> tuple[Signal, ...]:
        """A signal from the VAD."""
        self._voice = isinstance(signal, SpeechStarted)
        self._voiced = self._voiced or self._voice
        return self._begin(signal) if isinstance(signal, SpeechStarted) else self._end(signal.at, signal.noticed_at)

    def recogniser(self, signal: Signal) -> tuple[Signal, ...]:
        """A signal from a recogniser that detects turns."""
        match signal:
            case SpeechStarted():
                return () if self._voiced else self._begin(signal)
            case SpeechEnded():
                return () if self._voiced else self._end(signal.at, signal.noticed_at)
            case Interim():
                return self._interim(signal)
            case Final(at=at):
                return *(() if self._voiced else self._end(at, at)), signal
            case EndOfTurn():
                return self._end_of_turn(signal)
            case TurnResumed(at=at):
                return signal, *(() if self._voiced else self._begin(SpeechStarted(at, at)))
            case _:
                return (signal,)

    def cut(self, at: float) -> tuple[Signal, ...]:
        """Nothing is heard from now on."""
        self._voice = False
        return self._end(at, at)

    def lost(self, at: float) -> tuple[Signal, ...]:
        """No more words arrive."""
        return () if self._voice else self._end(min(self._words_at, at), at)

    def deaf(self) -> None:
        """The VAD no longer gives signals."""
        self._voice = self._voiced = False

    def _interim(self, signal: Interim) -> tuple[Signal, ...]:
        new = bool(signal.text) and signal.text != self._words
        begins = new and not self._voiced and not self._guessed
        began = self._begin(SpeechStarted(signal.at, signal.at)) if begins else ()
        if new:
            self._words, self._words_at = signal.text, signal.at
        return *began, signal

    def _end_of_turn(self, signal: EndOfTurn) -> tuple[Signal, ...]:
        ended_at = signal.at if signal.speech_ended_at is None else min(signal.speech_ended_at, signal.at)
        if signal.eager:
            self._guessed = True
            return *(() if self._voiced else self._end(ended_at, signal.at)), signal
        ended = self._end(ended_at, signal.at)
        self._voice = self._voiced = self._guessed = False
        self._words = ""
        return *ended, signal

    def _begin(self, signal: SpeechStarted) -> tuple[Signal, ...]:
        self._guessed = False
        self._words_at = signal.noticed_at
        if self.now:
            return ()
        self.now = True
        return (signal,)

    def _end(self, at: float, now: float) -> tuple[Signal, ...]:
        if not self.now:
            return ()
        self.now = False
        return (SpeechEnded(at, now),)
