"""The rules of Asterisk's AMD() with its published defaults, as a baseline: loudness alone, counted in milliseconds.

Our own code for what amd.conf and the application's documentation describe. A frame whose mean amplitude is below the
threshold is silence. The words of a greeting are counted and its length is measured; the first limit that is reached
decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from telephony.media.frames import FRAME_BYTES, FRAME_MS

__all__ = ["AmdRules", "AmdStatus", "AmdVerdict", "amd"]

AmdStatus = Literal["HUMAN", "MACHINE", "NOTSURE"]


@dataclass(frozen=True, slots=True)
class AmdRules:
    """In milliseconds, where nothing else is said."""

    initial_silence: int = 2500  # more of it: MACHINE
    greeting: int = 1500  # longer: MACHINE
    after_greeting_silence: int = 800  # reached: HUMAN
    total_analysis: int = 5000  # reached: NOTSURE
    min_word: int = 100  # shorter sounds are not words
    between_words_silence: int = 50  # what follows is another word
    maximum_words: int = 3  # reached: MACHINE
    max_word: int = 5000  # longer: MACHINE
    silence_threshold: int = 256  # mean amplitude, 0 to 32767


@dataclass(frozen=True, slots=True)
class AmdVerdict:
    status: AmdStatus
    cause: str
    at: float  # seconds after the answer


def amd(pcm: bytes, rules: AmdRules | None = None) -> AmdVerdict:
    machine = _Amd(rules or AmdRules())
    for index, level in enumerate(_levels(pcm), 1):
        verdict = machine.frame(level, index * FRAME_MS)
        if verdict is not None:
            return verdict
    return AmdVerdict("NOTSURE", "HANGUP", len(pcm) / 16000)


def _levels(pcm: bytes) -> list[float]:
    samples = np.frombuffer(pcm[: len(pcm) - len(pcm) % FRAME_BYTES], "<i2").astype(np.int32)
    levels: list[float] = np.abs(samples).reshape(-1, FRAME_BYTES // 2).mean(axis=1).tolist()
    return levels


class _Amd:
    def __init__(self, rules: AmdRules) -> None:
        self._rules = rules
        self._silence = self._voice = self._word = self._words = 0
        self._in_word = self._greeting = False

    def frame(self, level: float, ms: int) -> AmdVerdict | None:
        if ms >= self._rules.total_analysis:
            return self._is("NOTSURE", "TOOLONG", ms)
        return self._quiet(ms) if level < self._rules.silence_threshold else self._loud(ms)

    def _quiet(self, ms: int) -> AmdVerdict | None:
        rules = self._rules
        self._silence += FRAME_MS
        if self._silence >= rules.between_words_silence:
            self._in_word = False
            self._word = 0
        if not self._greeting and self._silence >= rules.initial_silence:
            return self._is("MACHINE", "INITIALSILENCE", ms)
        if self._greeting and self._silence >= rules.after_greeting_silence:
            return self._is("HUMAN", "HUMAN", ms)
        return None

    def _loud(self, ms: int) -> AmdVerdict | None:
        rules = self._rules
        self._silence = 0
        self._word += FRAME_MS
        self._voice += FRAME_MS
        if self._word >= rules.min_word:
            self._greeting = True
            if not self._in_word:
                self._in_word = True
                self._words += 1
        if self._word >= rules.max_word:
            return self._is("MACHINE", "MAXWORDLENGTH", ms)
        if self._words >= rules.maximum_words:
            return self._is("MACHINE", "MAXWORDS", ms)
        if self._greeting and self._voice >= rules.greeting:
            return self._is("MACHINE", "LONGGREETING", ms)
        return None

    def _is(self, status: AmdStatus, cause: str, ms: int) -> AmdVerdict:
        return AmdVerdict(status, cause, ms / 1000)
