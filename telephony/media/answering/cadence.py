"""When there is speech, from the VAD's probabilities: stretches, and the pauses between them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cadence", "Stretch"]

_WINDOW_S = 0.032
_BEGINS = 0.5  # probability
_GOES_ON = 0.35
_LEAST_WINDOWS = 3  # 96 ms: shorter is a click or a breath
_BRIDGE_S = 0.25  # within a stretch: between words, not sentences


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech without a pause to speak of. Seconds, loop clock."""

    began: float
    ended: float  # so far, while it lasts

    @property
    def length_s(self) -> float:
        return self.ended - self.began


class Cadence:
    """The stretches of speech since the answer."""

    def __init__(self) -> None:
        self.first: Stretch | None = None
        self.last: Stretch | None = None
        self.count = 0
        self.talking = False  # in the last window
        self.last_pause_s = 0.0  # before the last stretch
        self._before_s = 0.0  # of the stretches before the last one
        self._rising = 0  # windows of speech that no stretch has yet

    def window(self, probability: float, at: float) -> bool:
        """A window of 32 ms, until `at`. True: a new stretch has begun."""
        speech = probability >= (_GOES_ON if self.talking else _BEGINS)
        if not speech:
            self._rising = 0
            self.talking = False
            return False
        if self.last and (self.talking or at - _WINDOW_S - self.last.ended < _BRIDGE_S):
            self.talking = True
            self._lasts(Stretch(self.last.began, at))
            return False
        self._rising += 1
        if self._rising < _LEAST_WINDOWS:
            return False
        self.talking = True
        self.count += 1
        self.last_pause_s = at - self._rising * _WINDOW_S - self.last.ended if self.last else 0.0
        self._before_s += self.last.length_s if self.last else 0.0
        self._lasts(Stretch(at - self._rising * _WINDOW_S, at))
        return True

    def _lasts(self, stretch: Stretch) -> None:
        self.last = stretch
        if self.count == 1:
            self.first = stretch

    @property
    def speech_s(self) -> float:
        return self._before_s + (self.last.length_s if self.last else 0.0)

    def silence_s(self, now: float) -> float:
        """Since the last speech ended; 0 while somebody talks, or before anybody has."""
        return 0.0 if self.talking or self.last is None else max(0.0, now - self.last.ended)
