"""From evidence to a probability: each finding adds to the log-odds of what it speaks for. All weights stand here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from telephony.media.answering.model import AnsweredBy

__all__ = ["PRIOR", "WEIGHTS", "Weighing", "word_weight"]

_H, _V, _F = AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL, AnsweredBy.MAILBOX_FULL
_S, _I, _X = AnsweredBy.SCREENER, AnsweredBy.IVR, AnsweredBy.FAX

# Natural logarithms: 0.7 doubles the odds, 2.3 makes them ten times as high, 4.6 a hundred times.
PRIOR: Mapping[AnsweredBy, float] = {_H: 0.0, _V: -0.2, _I: -2.0, _S: -2.5, _F: -3.0, _X: -4.0}

# Each finding: what the record calls it, and what it speaks for.
WEIGHTS: Mapping[str, tuple[str, Mapping[AnsweredBy, float]]] = {
    # cadence
    "short_first": ("a short first word, then a pause", {_H: 2.2}),
    "middling_first": ("a short sentence, then a pause", {_H: 1.2}),
    "long_first": ("a long first sentence, then a pause", {_V: 0.3, _I: 0.3}),
    "long_speech": ("long speech without a pause", {_V: 2.0, _I: 1.5, _F: 1.0, _S: 1.0}),
    "very_long_speech": ("very long speech without a pause", {_V: 4.2, _I: 3.9, _F: 1.5, _S: 1.5}),
    "long_speech_words": ("long speech without a pause", {_V: 0.8, _I: 0.8, _F: 0.8, _S: 0.8}),  # with a recogniser
    "goes_on": ("goes on after a pause without an answer", {_V: 1.0, _I: 1.0, _S: 0.5, _F: 0.5}),
    "much_speech": ("much speech in several stretches", {_V: 2.2, _I: 2.2, _S: 1.0, _F: 1.0}),
    "waits": ("waits for an answer", {_H: 1.0}),
    "waits_long": ("waits long for an answer", {_H: 1.5}),
    # after a verdict
    "short_turn": ("somebody says something short", {_H: 1.5}),
    "speaks_after_beep": ("somebody speaks after the beep", {_H: 3.5}),
    "answers_us": ("a short answer to what we said", {_H: 1.2}),
    "talks_over_us": ("talks on while we speak", {_V: 7.0, _I: 6.5, _S: 4.0, _F: 4.0}),
    # tones
    "beep_after_speech": ("a beep after speech", {_V: 12.5}),
    "beep_likely": ("what is likely a beep", {_V: 4.5}),
    "beep_unsure": ("something like a beep", {_V: 2.0}),
    "beep_first": ("a beep before any speech", {_V: 1.5, _S: 0.5}),
    "sit": ("special information tones", {_F: 9.0}),
    "busy": ("a busy or reorder tone", {_F: 7.0}),
    "fax": ("a fax tone", {_X: 14.0}),
    "ringback": ("ringing goes on after the answer", {_I: 0.7, _S: 0.7}),
    "music": ("hold music", {_I: 7.5}),
    "music_alone": ("what may be music, and nobody speaks", {_I: 4.0}),
}
OPINION = 2.5  # a language model's, for what it names

# What a concept adds of which a pattern is in the words. The strongest counts whole, the others in part: who says one
# of them is likely to say the others, too.
_WORDS: Mapping[AnsweredBy, Mapping[str, float]] = {
    _H: {"sure": 5.5, "likely": 2.0, "hint": 1.0},
    _V: {"sure": 4.5, "likely": 2.5, "hint": 1.0},
    _F: {"sure": 8.0, "likely": 5.0, "hint": 2.5},
    _S: {"sure": 7.5, "likely": 4.5, "hint": 2.0},
    _I: {"sure": 6.5, "likely": 4.0, "hint": 2.0},
}
_FURTHER, _MOST_FURTHER = 0.6, 4.0
_MOST_FURTHER_OF_PEOPLE = 1.5  # so that a beep after it says more than what a greeting plays at
_TO_SPEAK_OF = 1.5


def word_weight(answered_by: AnsweredBy, strengths: Iterable[str]) -> float:
    """Of the concepts that were found, the strength of each."""
    weights = sorted((_WORDS[answered_by][strength] for strength in strengths), reverse=True)
    most = _MOST_FURTHER_OF_PEOPLE if answered_by is _H else _MOST_FURTHER
    return weights[0] + min(most, _FURTHER * sum(weights[1:])) if weights else 0.0


@dataclass(frozen=True, slots=True)
class _Finding:
    reason: str
    weights: Mapping[AnsweredBy, float]


class Weighing:
    """Findings by name; one that is found again in another form replaces the former."""

    def __init__(self, prior: Mapping[AnsweredBy, float] = PRIOR) -> None:
        self._prior = prior
        self._findings: dict[str, _Finding] = {}
        self._probabilities: dict[AnsweredBy, float] | None = None

    def find(self, key: str) -> None:
        """A finding of the table, which stays."""
        self.put(key, key)

    def put(self, place: str, key: str) -> None:
        """A finding of the table, instead of what was in that place."""
        reason, weights = WEIGHTS[key]
        present = self._findings.get(place)
        if present is None or present.weights is not weights:
            self.add(place, reason, weights)

    def put_stronger(self, place: str, key: str, of: AnsweredBy) -> None:
        """The same, unless what is there says more for `of`."""
        present = self._findings.get(place)
        if present is None or WEIGHTS[key][1].get(of, 0.0) > present.weights.get(of, 0.0):
            self.put(place, key)

    def drop(self, key: str) -> None:
        if self._findings.pop(key, None):
            self._probabilities = None

    def add(self, key: str, reason: str, weights: Mapping[AnsweredBy, float]) -> None:
        self._findings[key] = _Finding(reason, weights)
        self._probabilities = None

    def probability(self, answered_by: AnsweredBy) -> float:
        return self._all()[answered_by]

    def best(self) -> tuple[AnsweredBy, float]:
        return max(self._all().items(), key=lambda item: item[1])

    def best_machine(self) -> AnsweredBy:
        return max((item for item in self._all().items() if item[0] is not _H), key=lambda item: item[1])[0]

    def only(self, answered_by: AnsweredBy, places: Sequence[str]) -> bool:
        """Nothing to speak of but what is in these places speaks for it."""
        return not any(
            finding.weights.get(answered_by, 0.0) >= _TO_SPEAK_OF
            for place, finding in self._findings.items()
            if place not in places
        )

    def reasons(self, answered_by: AnsweredBy) -> tuple[str, ...]:
        """What speaks for it rather than for a person (of a person: rather than for a machine), most telling first."""
        telling = [
            (weight, finding.reason)
            for finding in self._findings.values()
            if (weight := finding.weights.get(answered_by, 0.0)) > 0
        ]
        return tuple(reason for _, reason in sorted(telling, key=lambda item: -item[0]))

    def _all(self) -> dict[AnsweredBy, float]:
        if self._probabilities is None:
            logs = dict(self._prior)
            for finding in self._findings.values():
                for answered_by, weight in finding.weights.items():
                    logs[answered_by] = logs.get(answered_by, 0.0) + weight
            highest = max(logs.values())
            odds = {answered_by: math.exp(value - highest) for answered_by, value in logs.items()}
            total = sum(odds.values())
            self._probabilities = {answered_by: value / total for answered_by, value in odds.items()}
        return self._probabilities
