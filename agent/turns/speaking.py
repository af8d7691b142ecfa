"""Joins what a VAD and a recogniser tell of the same speech, so that for the machines beginnings and ends alternate.
Pure.

                            with a VAD                        without
    the VAD's               as they come                      -
    SpeechStarted           begins, if nobody speaks yet      begins
    Interim                 -                                 begins, if nothing else did
    Final, eager EndOfTurn  -                                 ends
    EndOfTurn               ends                              ends
    TurnResumed             -                                 begins
"""

from __future__ import annotations

from agent.turns.signals import EndOfTurn, Final, Interim, Signal, SpeechEnded, SpeechStarted, TurnResumed

__all__ = ["Speaking"]


class Speaking:
    def __init__(self, *, hears_voice: bool) -> None:
        """`hears_voice`: there is a VAD."""
        self.hears_voice = hears_voice
        self.now = False  # somebody speaks
        self._ended_by_guess = False

    def voice(self, signal: SpeechStarted | SpeechEnded) -> tuple[Signal, ...]:
        """What the VAD tells."""
        begins = isinstance(signal, SpeechStarted)
        if begins == self.now:
            return ()
        self.now = begins
        return (signal,)

    def recogniser(self, signal: Signal) -> tuple[Signal, ...]:
        """What a recogniser tells that detects turns."""
        match signal:
            case SpeechStarted():
                return self._begin(signal)
            case SpeechEnded():
                return self._end(signal)
            case Interim(text=text, at=at):
                begins = bool(text) and not self.hears_voice and not self._ended_by_guess
                return *(self._begin(SpeechStarted(at, at)) if begins else ()), signal
            case Final(at=at):
                return *(() if self.hears_voice else self._end(SpeechEnded(at, at))), signal
            case EndOfTurn():
                return self._end_of_turn(signal)
            case TurnResumed(at=at):
                return signal, *(() if self.hears_voice else self._begin(SpeechStarted(at, at)))
            case _:
                return (signal,)

    def cut(self, at: float) -> tuple[Signal, ...]:
        """Nothing is heard from now on."""
        return self._end(SpeechEnded(at, at))

    def _end_of_turn(self, signal: EndOfTurn) -> tuple[Signal, ...]:
        ends = not signal.eager or not self.hears_voice
        ended_at = signal.at if signal.speech_ended_at is None else min(signal.speech_ended_at, signal.at)
        ended = self._end(SpeechEnded(ended_at, signal.at)) if ends else ()
        self._ended_by_guess = signal.eager
        return *ended, signal

    def _begin(self, signal: SpeechStarted) -> tuple[Signal, ...]:
        self._ended_by_guess = False
        return self.voice(signal)

    def _end(self, signal: SpeechEnded) -> tuple[Signal, ...]:
        return self.voice(signal)
