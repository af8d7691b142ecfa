"""The figures of a run as tables and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.bench.answering.counting import MUSTS, Rate, Score, percentile, score, spread
from gateway.bench.answering.driving import Outcome
from gateway.bench.answering.wording import LANGUAGES

__all__ = ["Figures", "answering_table"]


@dataclass(frozen=True, slots=True)
class Figures:
    """`outcomes` by machine, ours first. `cpu`: the share of a core that ours took of a call; None: not measured."""

    part: str
    words: bool
    outcomes: Mapping[str, Sequence[Outcome]]
    cpu: float | None = None
    missing: Sequence[str] = ()  # packages that could not be had

    @property
    def ours(self) -> str:
        return next(iter(self.outcomes))

    @property
    def measured(self) -> dict[str, float]:
        """By the names of MUSTS."""
        ours = score(self.outcomes[self.ours])
        figures = [ours.people_for_machines.share, ours.missed.share, percentile(ours.people_s, 0.5), ours.beeps.p98]
        return dict(zip(MUSTS, [*figures, *([] if self.cpu is None else [self.cpu])], strict=False))

    @property
    def good(self) -> bool:
        return all(figure <= MUSTS[name] for name, figure in self.measured.items())

    def to_dict(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "words": self.words,
            "missing_packages": list(self.missing),
            "measured": {name: _finite(figure) for name, figure in self.measured.items()},
            "musts": MUSTS,
            "good": self.good,
            "machines": {name: _plain(score(outcomes)) for name, outcomes in self.outcomes.items()},
            "calls": [_call(outcome) for outcome in self.outcomes[self.ours]],
        }


def _finite(figure: float) -> float | None:
    return round(figure, 5) if math.isfinite(figure) else None


def _plain(figures: Score) -> dict[str, Any]:
    rates = {name: getattr(figures, name) for name in ("people_for_machines", "missed", "greeted", "exact")}
    return {
        **{name: {"of": rate.of, "count": rate.count, "interval": rate.interval} for name, rate in rates.items()},
        "corrected": figures.corrected,
        "people_s": [_finite(value) for value in spread(figures.people_s)],
        "machines_s": [_finite(value) for value in spread(figures.machines_s)],
        "beeps": {
            "voicemails": figures.beeps.voicemails,
            "early": figures.beeps.early,
            "never": figures.beeps.never,
            "delays_s": [_finite(value) for value in spread(figures.beeps.delays)],
            "p98_s": _finite(figures.beeps.p98),
        },
        "matrix": figures.matrix,
    }


def _call(outcome: Outcome) -> dict[str, Any]:
    call = outcome.call
    said = [[each.at, str(each.answered_by), each.probability, list(each.reasons)] for each in outcome.verdicts]
    return {
        "name": call.name, "kind": call.kind, "language": call.language, "voice": call.voice, "text": call.text,
        "words_at": call.words_at, "greeting_end": call.greeting_end, "beep_end": call.beep_end,
        "verdicts": said, "message_at": outcome.message_at,
    }  # fmt: skip


def answering_table(figures: Figures) -> str:
    scores = {name: score(outcomes) for name, outcomes in figures.outcomes.items()}
    calls = len(figures.outcomes[figures.ours])
    heading = f"{calls} calls of the part {figures.part!r}, {'with' if figures.words else 'without'} words"
    lines = [heading, "", *_musts(figures), "", *_compared(scores), "", *_by(figures, "language")]
    lines += ["", *_by(figures, "kind"), "", *_matrix(scores[figures.ours])]
    if figures.missing:
        lines += ["", f"Could not be had: {', '.join(figures.missing)}. The corpus is smaller without."]
    return "\n".join(lines)


def _musts(figures: Figures) -> list[str]:
    lines = ["| limit | at most | measured | |", "| --- | --- | --- | --- |"]
    for name, figure in figures.measured.items():
        most, kept = MUSTS[name], "kept" if figure <= MUSTS[name] else "NOT KEPT"
        shown = (_number(most), _number(figure)) if name.endswith(" s") else (_percent(most), _percent(figure))
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {kept} |")
    return lines


def _compared(scores: Mapping[str, Score]) -> list[str]:
    rows: dict[str, list[str]] = {}
    for figures in scores.values():
        beeps = figures.beeps
        row = {
            "people taken for machines": _rate(figures.people_for_machines),
            "machines missed at the end": _rate(figures.missed),
            "machines greeted at first": _rate(figures.greeted),
            "machines of the right kind": _rate(figures.exact),
            "verdicts put right later": str(figures.corrected),
            "people decided after, s: half, 90 %, 98 %": _spread(figures.people_s),
            "machines decided after, s: half, 90 %, 98 %": _spread(figures.machines_s),
            "beep to message, s: half, 90 %, 98 %": _spread(beeps.delays) if beeps.delays else "-",
            "voicemails with a beep: known, too early, never": f"{beeps.voicemails}, {beeps.early}, {beeps.never}",
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    lines = [f"| | {' | '.join(scores)} |", "| --- " * (len(scores) + 1) + "|"]
    return lines + [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]


def _by(figures: Figures, what: str) -> list[str]:
    lines = [f"| {what} | calls | people for machines | machines missed | right kind | people decided, half, s |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    outcomes = figures.outcomes[figures.ours]
    values = LANGUAGES if what == "language" else dict.fromkeys(outcome.call.kind for outcome in outcomes)
    for value in values:
        some = [outcome for outcome in outcomes if getattr(outcome.call, what) == value]
        if some:
            part = score(some)
            cells = [_count(part.people_for_machines), _count(part.missed), _count(part.exact)]
            half = _number(percentile(part.people_s, 0.5)) if part.people_s else "-"
            lines.append(f"| {value} | {len(some)} | {' | '.join(cells)} | {half} |")
    return lines


def _matrix(figures: Score) -> list[str]:
    said = sorted({verdict for row in figures.matrix.values() for verdict in row})
    lines = [f"| who answered | {' | '.join(said)} |", "| --- " * (len(said) + 1) + "|"]
    for kind, row in figures.matrix.items():
        lines.append(f"| {kind} | {' | '.join(str(row.get(verdict, '')) for verdict in said)} |")
    return lines


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{_percent(rate.share)} ({rate.count} of {rate.of}; {_percent(low)} to {_percent(high)})"


def _count(rate: Rate) -> str:
    return f"{rate.count} of {rate.of}" if rate.of else "-"


def _spread(values: Sequence[float]) -> str:
    return ", ".join(_number(value) for value in spread(values))


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "never"
