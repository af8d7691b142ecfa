"""Counts of a run: what was said of whom, how soon, and whether that keeps the limits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.bench.answering.cases import KINDS
from gateway.bench.answering.driving import Outcome
from telephony.media.answering.model import AnsweredBy, MessageMayBegin

__all__ = ["MUSTS", "Beeps", "Rate", "Score", "percentile", "score", "spread"]

MUSTS = {  # name: the most
    "people taken for machines": 0.003,
    "machines missed": 0.03,
    "people decided, median s": 1.2,
    "beep to message, p98 s": 0.3,
    "CPU a call, share of a core": 0.003,
}
_TALKED_TO = (AnsweredBy.HUMAN, AnsweredBy.UNKNOWN)
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Rate:
    """`low`, `high`: Wilson's interval, 95 %."""

    of: int
    count: int

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        z2 = _Z**2
        middle = (self.share + z2 / (2 * self.of)) / (1 + z2 / self.of)
        half = _Z / (1 + z2 / self.of) * math.sqrt(self.share * (1 - self.share) / self.of + z2 / (4 * self.of**2))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Beeps:
    """Voicemails with a beep that were known for voicemails. `early`: the message began before the beep's end."""

    voicemails: int
    early: int
    never: int
    delays: tuple[float, ...]  # s, sorted

    @property
    def p98(self) -> float:
        """With the early ones, and those without a message, as later than any."""
        return percentile([*self.delays, *([math.inf] * (self.early + self.never))], 0.98)


@dataclass(frozen=True, slots=True)
class Score:
    """`people_for_machines`: at any time of the call. `missed`: machines that are talked to at its end. `greeted`:
    machines that were greeted as people at first. `corrected`: verdicts that were put right later."""

    people_for_machines: Rate
    missed: Rate
    greeted: Rate
    exact: Rate  # machines of which the right kind was said
    corrected: int
    people_s: tuple[float, ...]  # from the first word's start to the first verdict, sorted
    machines_s: tuple[float, ...]
    beeps: Beeps
    matrix: dict[str, dict[str, int]]  # kind -> verdict at the end -> calls


def score(outcomes: Sequence[Outcome]) -> Score:
    people = [outcome for outcome in outcomes if outcome.call.truth == "human"]
    machines = [outcome for outcome in outcomes if outcome.call.truth == "machine"]
    return Score(
        people_for_machines=Rate(len(people), sum(map(_taken_for_machine, people))),
        missed=Rate(len(machines), sum(outcome.standing in _TALKED_TO for outcome in machines)),
        greeted=Rate(len(machines), sum(_greeted(outcome) for outcome in machines)),
        exact=Rate(len(machines), sum(outcome.standing in outcome.call.right for outcome in machines)),
        corrected=sum(len(outcome.verdicts) > 1 for outcome in outcomes),
        people_s=_decision_times(people),
        machines_s=_decision_times(machines),
        beeps=_beeps(machines),
        matrix=_matrix(outcomes),
    )


def _taken_for_machine(outcome: Outcome) -> bool:
    return any(verdict.answered_by not in _TALKED_TO for verdict in outcome.verdicts)


def _greeted(outcome: Outcome) -> bool:
    return outcome.first is not None and outcome.first.answered_by in _TALKED_TO


def _decision_times(outcomes: Iterable[Outcome]) -> tuple[float, ...]:
    times = [
        outcome.first.at - outcome.call.words_at if outcome.first is not None else math.inf
        for outcome in outcomes
        if outcome.call.words_at is not None
    ]
    return tuple(sorted(times))


def _beeps(machines: Iterable[Outcome]) -> Beeps:
    delays: list[float] = []
    early = never = voicemails = 0
    for outcome in machines:
        if outcome.call.beep_end is None or AnsweredBy.VOICEMAIL not in outcome.call.right:
            continue
        if len(outcome.call.right) > 1 or outcome.standing is not AnsweredBy.VOICEMAIL:
            continue
        voicemails += 1
        if outcome.message_at is None:
            never += 1
        elif outcome.message_at < outcome.call.beep_end - 0.03:
            early += 1
        else:
            delays.append(outcome.message_at - outcome.call.beep_end)
    return Beeps(voicemails, early, never, tuple(sorted(delays)))


def _matrix(outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        said = str(outcome.standing) if outcome.verdicts else "(nothing)"
        counts.setdefault(outcome.call.kind, Counter())[said] += 1
    return {kind: dict(counts[kind]) for kind in KINDS if kind in counts}


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; infinite without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, 90 % and 98 %."""
    return percentile(values, 0.5), percentile(values, 0.9), percentile(values, 0.98)


def why_begun(outcome: Outcome) -> str:
    """Of the last message that was begun."""
    begun = [event.why for event in outcome.events if isinstance(event, MessageMayBegin)]
    return begun[-1] if begun else ""
