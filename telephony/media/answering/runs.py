"""Rows of frames that hold the same tone. Pure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from telephony.media.answering.spectrum import Array, Components, Peaks, fine
from telephony.media.level import power_dbfs

__all__ = ["RunTracker", "ToneRun", "alike_loud"]

_FRAME = 0.02  # seconds
_MOST_MISSES = 2  # frames without the tone: it is over. One may be a lost packet.
_MOST_STEP = 45.0  # Hz from frame to frame. 440 + 480 Hz wander between them.
_MOST_GLIDE = 120.0  # of a tone that glides evenly
_FALLEN = 0.25  # of the power of the frame before: the tone ended within this one
_KEPT = 9  # frames for the fine look
_MUCH_LOUDER = 6.0  # times the power: 8 dB


@dataclass(slots=True)
class ToneRun:
    """A tone, sounding or over. Times in seconds."""

    began_at: float
    until: float  # end of the last frame that holds it
    power: float  # of the last whole frame
    hertz: list[float] = field(default_factory=list)  # coarse, one a frame
    shares: list[float] = field(default_factory=list)
    powers: list[float] = field(default_factory=list)
    frames: deque[Array] = field(default_factory=lambda: deque(maxlen=_KEPT))
    ended_at: float | None = None
    loudest: float = 0.0
    holes: int = 0
    looked: Components | None = None

    @property
    def length(self) -> float:
        return (self.until if self.ended_at is None else self.ended_at) - self.began_at

    @property
    def steady(self) -> list[float]:
        """Frequencies without the frames in which it begins and ends."""
        hertz = self.hertz
        if len(hertz) > 6:
            return hertz[2:-1]
        return hertz[1:-1] if len(hertz) > 3 else hertz[1:] if len(hertz) > 2 else hertz

    @property
    def spread_hz(self) -> float:
        """Of its steady frames, without those beside a lost packet."""
        row = sorted(self.steady)
        if 4 <= len(row) <= 6:  # the narrower without one of its ends
            return min(row[-2] - row[0], row[-1] - row[1])
        spare = min(len(row) // 4, max(1 + 2 * self.holes, len(row) // 5)) if len(row) > 6 else 0
        return row[-1 - spare] - row[spare]

    @property
    def ripple_db(self) -> float:
        """Between the loudest and the faintest of its whole frames, without lost packets: those are concealed by what
        was before, at half of its level or so."""
        inner = sorted(self._inner)
        spare = 1 + len(inner) // 12 if len(inner) > 2 else 0
        return power_dbfs(inner[-1]) - power_dbfs(inner[spare])

    @property
    def whole_ripple_db(self) -> float:
        """The same with all of its whole frames."""
        return power_dbfs(max(self._inner)) - power_dbfs(min(self._inner))

    @property
    def _inner(self) -> list[float]:
        return self.powers[1:-1] or self.powers

    @property
    def fades(self) -> bool:
        """As a chime does: long, and never louder than before."""
        inner = self.powers[1:-1]
        return len(inner) > 6 and all(after < 1.05 * before for before, after in itertools.pairwise(inner))

    def components(self) -> Components:
        """The fine look at the last 160 ms, without the frame in which it began."""
        if self.looked is not None:
            return self.looked
        frames = list(self.frames)
        if len(frames) > 2:
            frames = frames[1:-1] if self.ended_at is not None else frames[1:]
        looked = _purest(frames)
        if self.ended_at is not None:
            self.looked = looked
        return looked


def _purest(frames: Sequence[Array]) -> Components:
    """A concealed packet breaks a sine in two, which looks like a faint second one beside it: then the purer half
    counts. Two sines that are about as loud as each other are two."""
    whole = fine(np.concatenate(frames))
    if len(frames) < 6 or not 0 < whole.second_share < 0.3 * whole.share:
        return whole
    middle = len(frames) // 2
    halves = [fine(np.concatenate(frames[:middle])), fine(np.concatenate(frames[middle:]))]
    return max(whole, *halves, key=lambda found: found.share)


class RunTracker:
    """`step` gets each frame once; the run that is over with it is returned. `run`: the one that sounds."""

    def __init__(self) -> None:
        self.run: ToneRun | None = None
        self._next: ToneRun | None = None  # of another frequency: the present one is over if it goes on
        self._misses = 0
        self._ended_at = 0.0
        self._before = 0.0  # power of the frame before

    def follows(self, last: ToneRun) -> bool:
        """Another tone of the same signal began where the last one ended."""
        return self.run is not None and alike_loud(last, self.run)

    def step(self, peaks: Peaks | None, power: float, frame: Array, at: float) -> ToneRun | None:
        run, before, self._before = self.run, self._before, power
        if run is None:
            if peaks is not None:
                self.run = _begin(peaks, power, before, frame, at)
                self._misses = 0
            return None
        if self._holds(run, peaks, power) and peaks is not None:
            if self._misses:
                run.holes += self._misses
            self._misses, self._next = 0, None
            _extend(run, peaks, power, frame, at)
            return None
        return self._miss(run, peaks, power, before, frame, at)

    def _holds(self, run: ToneRun, peaks: Peaks | None, power: float) -> bool:
        if peaks is None or power < _FALLEN * run.power:
            return False
        hertz = run.hertz
        if peaks.second_hertz and abs(peaks.second_hertz - hertz[-1]) <= _MOST_STEP:
            return True  # of two that are equally loud, now one is the louder and now the other
        if len(hertz) < 3:
            return abs(peaks.hertz - hertz[-1]) <= _MOST_GLIDE
        off = peaks.hertz - hertz[-1]
        return abs(off) <= _MOST_STEP or (abs(off) <= _MOST_GLIDE and abs(off - hertz[-1] + hertz[-2]) <= _MOST_STEP)

    def _miss(
        self, run: ToneRun, peaks: Peaks | None, power: float, before: float, frame: Array, at: float
    ) -> ToneRun | None:
        self._misses += 1
        if self._misses == 1:
            share = min(1.0, power / run.power) if power < 0.9 * run.power else 0.0
            self._ended_at = at - _FRAME * (1 - share)
        follower = self._next
        if follower is not None and self._holds(follower, peaks, power) and peaks is not None:
            _extend(follower, peaks, power, frame, at)
        else:
            loud = peaks is not None and power >= _FALLEN * run.power
            self._next = _begin(peaks, power, before, frame, at) if loud and peaks is not None else None
        if self._misses < _MOST_MISSES:
            return None
        run.ended_at = self._ended_at
        self.run, self._next, self._misses = self._next, None, 0
        return run


def alike_loud(one: ToneRun, other: ToneRun) -> bool:
    """They may be of one signal: a voice or music in the room behind a beep is fainter."""
    return one.loudest < _MUCH_LOUDER * other.loudest and other.loudest < _MUCH_LOUDER * one.loudest


def _begin(peaks: Peaks, power: float, before: float, frame: Array, at: float) -> ToneRun:
    ahead = before / power if before < 0.9 * power else 0.0  # a part of the frame before holds it as well
    run = ToneRun(at - _FRAME * (1 + ahead), at, power, loudest=power)
    run.hertz.append(peaks.hertz)
    run.shares.append(peaks.purity)
    run.powers.append(power)
    run.frames.append(frame)
    return run


def _extend(run: ToneRun, peaks: Peaks, power: float, frame: Array, at: float) -> None:
    if len(run.hertz) == 1 and run.power < 0.9 * power:
        run.began_at = at - _FRAME * (1 + run.power / power)  # the first frame held a part of it
    run.until, run.power = at, power
    second = peaks.second_hertz and abs(peaks.second_hertz - run.hertz[-1]) < abs(peaks.hertz - run.hertz[-1])
    run.hertz.append(run.hertz[-1] if second else peaks.hertz)
    run.shares.append(peaks.purity)
    run.powers.append(power)
    run.frames.append(frame)
    if power > run.loudest:
        run.loudest = power
