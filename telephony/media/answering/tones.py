"""Everything that is heard in tones after the answer: beep, SIT, busy, ringback, dial tone, fax, music. Pure.

`ToneListener` gets each 20 ms frame and returns findings as soon as they are certain; a beep at most 60 ms after its
end. All detectors share one look at the spectrum, and look closer only where a frame is one tone or two.
"""

from __future__ import annotations

import numpy as np

from telephony.media.answering.beeps import beep_sureness, is_special_information, may_become_special_information, rises
from telephony.media.answering.cadences import Cadences, FaxAnswer
from telephony.media.answering.findings import Beep, Finding, Levels, SpecialInformation
from telephony.media.answering.music import MusicListener
from telephony.media.answering.noise_floor import NoiseFloor
from telephony.media.answering.runs import RunTracker, ToneRun, alike_loud
from telephony.media.answering.spectrum import Spectrum
from telephony.media.frames import FRAME_SAMPLES
from telephony.media.level import power_dbfs

__all__ = ["ToneListener"]

_FRAME = 0.02  # seconds
_HEARD_BEFORE = 0.2  # seconds of sound that is no tone, before a tone: somebody has said something
_FOLLOWS = 0.045  # seconds between two tones of one signal
_BEEP_IN_MUSIC = 0.25  # seconds at least
_LASTS = 0.6  # seconds: longer than most notes
_BEHIND = 12.5  # times the power, 11 dB: what is so much fainter than the loudest may be behind somebody who talks
_FAR_BEHIND = 40.0  # 16 dB: it certainly is
_UNSURE = 0.6
_CHIME_SURE, _NOTE_SURE, _NOTE_PURE = 0.95, 0.9, 0.9
_TONE_IN = 0.06  # seconds of one steady tone, before `tone_since` shows it


class ToneListener:
    """Time is an argument (seconds, loop clock) and never goes back."""

    def __init__(self) -> None:
        self._spectrum = Spectrum()
        self._tracker = RunTracker()
        self._cadences = Cadences()
        self._fax = FaxAnswer()
        self._meter = NoiseFloor()
        self._music = MusicListener()
        self._chain: list[ToneRun] = []  # tones that follow each other without a pause
        self._runs: list[ToneRun] = []  # the last three that are over
        self._quiet_since: float | None = None
        self._at: float | None = None

    @property
    def tone_since(self) -> float | None:
        """When the tone began that sounds now (a beep, perhaps): a message has to wait for its end. Not of what is far
        fainter than what was heard before: a television's."""
        run = self._tracker.run
        if run is None or run.length < _TONE_IN or run.loudest * _BEHIND < self._meter.loudest:
            return None
        return run.began_at

    @property
    def sounding(self) -> bool:
        """A tone can be heard now."""
        return self.tone_since is not None

    @property
    def levels(self) -> Levels:
        return self._meter.levels

    def hear(self, pcm: bytes, at: float) -> tuple[Finding, ...]:
        """20 ms that were heard until `at`: 8 kHz, 16 bit, mono. Frames that are left out count as silence."""
        found: list[Finding] = []
        if self._at is not None:
            missing = min(5, round((at - self._at) / _FRAME) - 1)
            for back in range(missing, 0, -1):
                self._step(_SILENCE, at - back * _FRAME, found)
        self._at = at
        self._step(np.frombuffer(pcm, "<i2").astype(np.float32), at, found)
        return tuple(found)

    def _step(self, frame: np.ndarray[tuple[int, ...], np.dtype[np.float32]], at: float, found: list[Finding]) -> None:
        if len(frame) != FRAME_SAMPLES:
            frame = np.resize(frame, FRAME_SAMPLES) if len(frame) else _SILENCE
        peaks = self._spectrum.look(frame)
        power = self._spectrum.power
        self._meter.hear(power, tonal=peaks is not None)
        over = self._tracker.step(peaks, power, frame, at)
        if over is not None:
            self._over(over, at, found)
        run = self._tracker.run
        lasts, least = run is not None and run.length > _LASTS, self._meter.loudest / _BEHIND
        music = self._music.hear(self._spectrum.bins, power, least, lasts, at)
        if music is not None and not self._cadences.told:
            found.append(music)
        if run is not None:
            self._quiet_since = None
            finding = None if self._music.playing else self._cadences.sounding(run, at)
            for each in (finding, self._fax.sounding(run, frame, at)):
                if each is not None:
                    found.append(each)
        elif power > self._meter.active_power:
            self._quiet_since = None
        else:
            self._silent(at, found)

    def _silent(self, at: float, found: list[Finding]) -> None:
        if self._quiet_since is None:
            self._quiet_since = at - _FRAME
        finding = self._cadences.quiet(self._quiet_since, at, self._heard_before)
        if finding is not None:
            found.append(finding)

    @property
    def _heard_before(self) -> bool:
        return self._meter.heard_s >= _HEARD_BEFORE

    def _over(self, run: ToneRun, at: float, found: list[Finding]) -> None:
        finding = self._cadences.over(run, at)
        if finding is not None:
            found.append(finding)
        self._runs = [*self._runs[-2:], run]
        if is_special_information(self._runs):
            self._chain.clear()
            found.append(_special_information(self._runs, at))
            return
        last = self._chain[-1] if self._chain else None
        if last and (run.began_at - (last.ended_at or 0.0) > _FOLLOWS or not alike_loud(last, run)):
            self._chain.clear()
        self._chain.append(run)
        if self._tracker.follows(run):
            return
        chain, self._chain = self._chain, []
        if (beep := self._beep(chain, at)) is not None:
            found.append(beep)

    def _beep(self, chain: list[ToneRun], at: float) -> Beep | None:
        if len(chain) > 3 or may_become_special_information(chain):
            return None  # a melody, for one
        length = (chain[-1].ended_at or 0.0) - chain[0].began_at
        if self._music.playing and length < _BEEP_IN_MUSIC:
            return None  # a note
        if any(self._cadences.accounts_for(run, heard_before=self._heard_before) for run in chain):
            return None
        floor = self._meter.floor_power
        parts = [beep_sureness(run, floor, self._heard_before) for run in chain]
        # A short note of a chime may be mixed with what is beside it; two sines in a row are nothing else.
        notes = all(part or run.components().share >= _NOTE_PURE for part, run in zip(parts, chain, strict=True))
        if parts[-1] == 0 or not notes or chain[-1].ended_at is None:
            return None
        sure = parts[-1] if len(chain) == 1 else _CHIME_SURE if all(parts) else _NOTE_SURE
        last, loudest = chain[-1], self._meter.loudest
        if last.loudest * _BEHIND < loudest:
            if last.loudest * _FAR_BEHIND < loudest:
                return None
            sure = min(sure, _UNSURE)
        hertz = last.steady[-1] if rises(last) else last.components().hertz
        rising = rises(last) or (len(chain) > 1 and hertz > 1.05 * chain[0].components().hertz)
        return Beep(at, chain[0].began_at, chain[-1].ended_at, hertz, rising, power_dbfs(last.loudest), sure)


def _special_information(chain: list[ToneRun], at: float) -> SpecialInformation:
    first, second, third = (run.components().hertz for run in chain)
    return SpecialInformation(at, chain[0].began_at, chain[-1].ended_at or at, (first, second, third))


_SILENCE = np.zeros(FRAME_SAMPLES, np.float32)
