"""Tones whose rhythm tells what they are: busy and reorder, ringback, dial tone, fax. Pure.

The rhythms are those of ITU-T E.180, supplement 2: single tones of 400 to 450 Hz nearly everywhere, pairs in North
America (dial 350 + 440, ringback 440 + 480, busy 480 + 620 Hz) and for the British ringback (400 + 450 Hz).
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass

import numpy as np

from telephony.media.answering.beeps import NETWORK_HERTZ, network_pair
from telephony.media.answering.findings import Busy, DialTone, FaxTone, FaxTones, Finding, Ringback
from telephony.media.answering.runs import ToneRun
from telephony.media.answering.spectrum import Array
from telephony.media.frames import FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["Cadences", "FaxAnswer"]

_ALIKE = 0.045  # seconds that two lengths may differ
_BUSY_ON, _BUSY_OFF = (0.14, 0.8), (0.14, 0.8)
_CONGESTION = (0.4, 0.35, 0.225, 0.525)  # the British one
_ITALIAN_DIAL = (0.2, 0.2, 0.6, 1.0)
_PURE = 0.85
_CNG_HERTZ, _CNG_LENGTH, _CNG_PERIOD = (1062.0, 1138.0), (0.42, 0.58), (3.0, 4.1)
_CED_HERTZ = (2075.0, 2125.0)
_CED_LONG, _CED_LONGER = 2.2, 0.5  # seconds: longer than any beep; with reversals of its phase
_KEPT = 6


@dataclass(frozen=True, slots=True)
class _Burst:
    began_at: float
    ended_at: float  # 0: still sounds
    pair: tuple[int, int] | None
    hertz: float

    @property
    def length(self) -> float:
        return self.ended_at - self.began_at


class Cadences:
    """Gets every run of a tone while it sounds (`sounding`, each frame) and when it is over."""

    def __init__(self) -> None:
        self._bursts: list[_Burst] = []
        self._told: set[type[Finding]] = set()
        self._ringback_sure = 0.0
        self._cng: list[float] = []  # when each began
        self._looked_at = 0.0
        self._looked: tuple[float, tuple[int, int] | None] | None = None

    @property
    def told(self) -> bool:
        """It is a network that is heard."""
        return bool(self._told) or self._ringback_sure > 0.8

    def sounding(self, run: ToneRun, at: float) -> Finding | None:
        length = at - run.began_at
        if length < 0.12 or not 330 <= run.hertz[-1] <= 640:
            return None
        if self._looked is None or self._looked[0] != run.began_at or at - self._looked_at >= 0.2:
            found = run.components()
            self._looked = (run.began_at, network_pair(found) if found.purity > _PURE else None)
            self._looked_at = at
        pair = self._looked[1]
        now = _Burst(run.began_at, 0.0, pair, float(pair[0]) if pair else run.hertz[-1])
        if length < 0.25:
            return self._repeated(now, at)
        return self._lasting(now, run, length, at)

    def _lasting(self, now: _Burst, run: ToneRun, length: float, at: float) -> Finding | None:
        if now.pair == (440, 480) and length >= 1.0:
            return self._ringback(now, at, 0.9)
        if now.pair == (350, 440) and length >= 1.0:
            return self._once(DialTone(at, now.began_at, 440.0))
        alone = now.pair is None and NETWORK_HERTZ[0] <= now.hertz <= NETWORK_HERTZ[1]
        if alone and length >= 2.3 and max(run.steady) - min(run.steady) < 12:
            return self._once(DialTone(at, now.began_at, now.hertz))
        return None

    def _repeated(self, now: _Burst, at: float) -> Finding | None:
        """A burst has begun that may be one of a row."""
        row = [burst for burst in self._bursts if burst.pair == now.pair and abs(burst.hertz - now.hertz) < 25]
        if not row or row[-1] is not self._bursts[-1]:
            return None
        last = row[-1]
        off = now.began_at - last.ended_at
        if last.pair == (400, 450) and _near(last.length, 0.4) and (_near(off, 0.2) or 1.7 < off < 2.3):
            return self._ringback(last, at, 0.95)
        period = now.began_at - last.began_at
        if last.pair in (None, (440, 480)) and 0.7 < last.length < 2.2 and 4.2 < period < 6.6:
            return self._ringback(last, at, 0.95)
        if last.pair not in (None, (480, 620)):
            return None
        before = row[-2] if len(row) > 1 else None
        if before and before.pair is None and all(map(_near, _lengths(before, last, now), _ITALIAN_DIAL)):
            return self._once(DialTone(at, before.began_at, last.hertz))
        return self._busy(now, last, before, at)

    def _busy(self, now: _Burst, last: _Burst, before: _Burst | None, at: float) -> Finding | None:
        off = now.began_at - last.ended_at
        if not (_BUSY_ON[0] < last.length < _BUSY_ON[1] and _BUSY_OFF[0] < off < _BUSY_OFF[1]):
            return None
        if last.pair is None:
            if before is None:
                return None
            lengths = _lengths(before, last, now)
            alike = _near(lengths[0], lengths[2]) and _near(lengths[1], lengths[3])
            turned = _CONGESTION[2:] + _CONGESTION[:2]
            british = any(all(map(_near, lengths, wanted)) for wanted in (_CONGESTION, turned))
            if not (alike or british):
                return None
        first = before or last
        return self._once(Busy(at, first.began_at, last.hertz, last.length * 1000, off * 1000))

    def over(self, run: ToneRun, at: float) -> Finding | None:
        found = run.components()
        if found.purity < _PURE or run.length < 0.1:
            return None
        pair = network_pair(found)
        if pair or (found.second_hertz == 0 and NETWORK_HERTZ[0] <= found.hertz <= NETWORK_HERTZ[1]):
            hertz = float(pair[0]) if pair else found.hertz
            self._bursts = [*self._bursts[1 - _KEPT :], _Burst(run.began_at, run.ended_at or at, pair, hertz)]
        if _CNG_HERTZ[0] <= found.hertz <= _CNG_HERTZ[1] and _CNG_LENGTH[0] <= run.length <= _CNG_LENGTH[1]:
            return self._calling(run, at)
        return None

    def _calling(self, run: ToneRun, at: float) -> Finding | None:
        """A second one is certain; the first may be a beep, and is one after words."""
        again = any(_CNG_PERIOD[0] < run.began_at - began < _CNG_PERIOD[1] for began in self._cng)
        self._cng = [*self._cng[-2:], run.began_at]
        return FaxTone(at, run.began_at, FaxTones.CNG, 0.98) if again else None

    def accounts_for(self, run: ToneRun, *, heard_before: bool) -> bool:
        """The run is one of a rhythm that was told, or may be the first of a fax: no beep."""
        if self._cng and self._cng[-1] == run.began_at and (len(self._cng) > 1 or not heard_before):
            return True
        network = NETWORK_HERTZ[0] <= run.components().hertz <= NETWORK_HERTZ[1]
        return network and self.told

    def quiet(self, since: float, at: float, heard_before: bool) -> Finding | None:
        """Nothing is heard since then: a lone burst of a second or two was a ringback's first."""
        if not self._bursts or heard_before or at - since < 2.4:
            return None
        last = self._bursts[-1]
        if last.pair is None and 0.8 < last.length < 2.2 and abs(since - last.ended_at) < 0.1:
            return self._ringback(last, at, 0.7)
        return None

    def _ringback(self, burst: _Burst, at: float, sure: float) -> Finding | None:
        if sure <= self._ringback_sure:
            return None
        self._ringback_sure = sure
        return Ringback(at, burst.began_at, burst.hertz, sure)

    def _once(self, finding: Busy | DialTone) -> Finding | None:
        if type(finding) in self._told:
            return None
        self._told.add(type(finding))
        return finding


def _lengths(before: _Burst, last: _Burst, now: _Burst) -> tuple[float, float, float, float]:
    return before.length, last.began_at - before.ended_at, last.length, now.began_at - last.ended_at


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _ALIKE


_TURN = np.exp(-2j * np.pi * 2100 * np.arange(FRAME_SAMPLES) / SAMPLE_RATE).astype(np.complex64)  # 20 ms: 42 turns


class FaxAnswer:
    """The answering tone: 2,100 Hz for longer than any beep, or with its phase reversed each 450 ms (ITU-T V.8)."""

    def __init__(self) -> None:
        self._run_began: float | None = None
        self._phase = 0.0
        self._drift = 0.0
        self._reversals: list[float] = []
        self._told = 0.0

    def sounding(self, run: ToneRun, frame: Array, at: float) -> Finding | None:
        if not _CED_HERTZ[0] <= run.hertz[-1] <= _CED_HERTZ[1]:
            return None
        phase = cmath.phase(complex(_TURN.dot(frame)))
        if self._run_began != run.began_at:
            self._run_began, self._drift = run.began_at, 0.0
            self._reversals.clear()
        else:
            turned = _wrapped(phase - self._phase - self._drift)
            if abs(turned) > 2.0:
                self._reversals.append(at)
            elif abs(turned) < 0.8:
                self._drift += 0.3 * turned
        self._phase = phase
        length = at - run.began_at
        turned_once = any(at - when < 1.2 for when in self._reversals) and length >= _CED_LONGER
        sure = 0.97 if turned_once else 0.95 if length >= _CED_LONG else 0.0
        if sure <= self._told:
            return None
        self._told = 1.0
        return FaxTone(at, run.began_at, FaxTones.CED, sure)


def _wrapped(angle: float) -> float:
    return (angle + cmath.pi) % (2 * cmath.pi) - cmath.pi
