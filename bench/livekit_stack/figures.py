"""The measurements of one setup with one number of calls, and the table of all. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gateway.bench.figures import RunFigures

__all__ = ["LIMITS_MS", "StackFigures", "disturbed", "middle", "over_limits", "table"]

LIMITS_MS = {"b": 800.0, "c": 760.0}  # end of speech -> first audio, median
_CALM_PERCENT = 15.0
_SETUP_LIMIT_MS = {"c": 250.0}
_BARGE_IN_LIMIT_MS = {"b": 400.0, "c": 400.0}


@dataclass(frozen=True, slots=True)
class StackFigures:
    """`cpu_percent` (of one core) and `pss_mib` are by group of processes, all calls together. `pss_mib`: while they
    talk; `pss_idle_mib`: before the first call. In `run`, CPU is that of all groups, memory that of the agent and the
    gateway. `elsewhere_percent`, also of one core: the rest of the machine, without the phones."""

    key: str
    title: str
    run: RunFigures
    cpu_percent: Mapping[str, float]
    pss_mib: Mapping[str, float]
    pss_idle_mib: Mapping[str, float]
    elsewhere_percent: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "setup": self.key,
            "title": self.title,
            **self.run.to_dict(),
            "cpu_percent": dict(self.cpu_percent),
            "pss_mib_by_part": dict(self.pss_mib),
            "pss_idle_mib_by_part": dict(self.pss_idle_mib),
            "cpu_percent_elsewhere": self.elsewhere_percent,
        }


_HEAD = (
    "", "calls", "set-up ms", "answer ms, median / p95", "barge-in ms, median / p95",
    "CPU per call, % of a core (agent + gateway + server + SIP)", "memory per call, MiB (before calls, total)",
    "never came / failed",
)  # fmt: skip


def table(runs: Sequence[StackFigures]) -> str:
    """Markdown, a row for each setup and number of calls."""
    lines = ["| " + " | ".join(_HEAD) + " |", "| --- |" + " ---: |" * (len(_HEAD) - 1)]
    for each in runs:
        run = each.run
        total = sum(each.cpu_percent.get(part, 0.0) for part in _PARTS)
        a_call = run.cpu_percent_per_call / total if total else 0.0
        parts = " + ".join(_number(each.cpu_percent.get(part, 0.0) * a_call) for part in _PARTS)
        cells = [
            f"({each.key}) {each.title}",
            str(run.calls),
            _number(run.setup_p50_ms),
            f"{_number(run.answer_p50_ms)} / {_number(run.answer_p95_ms)}",
            f"{_number(run.barge_in_p50_ms)} / {_number(run.barge_in_p95_ms)}",
            f"{_number(run.cpu_percent_per_call)} ({parts})",
            f"{_number(run.pss_mib_per_call)} ({_number(run.pss_idle_mib)})",
            f"{run.missed} / {run.failed}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def middle(runs: Sequence[StackFigures]) -> list[StackFigures]:
    """One for each setup and number of calls, with the median of each figure. Failures and losses are counted over all
    repetitions."""
    alike: dict[tuple[str, int], list[StackFigures]] = {}
    for each in runs:
        alike.setdefault((each.key, each.run.calls), []).append(each)
    return [_middle(group) for group in alike.values()]


def _middle(group: Sequence[StackFigures]) -> StackFigures:
    first = group[0]

    def by_part(of: Callable[[StackFigures], Mapping[str, float]]) -> dict[str, float]:
        return {part: _median([of(each).get(part, 0.0) for each in group]) for part in of(first)}

    figures = {field.name: [getattr(each.run, field.name) for each in group] for field in fields(RunFigures)}
    counted = {"failed", "missed", "packets", "packets_lost", "packets_late"}
    run = {name: sum(values) if name in counted else _median(values) for name, values in figures.items()}
    return StackFigures(
        first.key,
        first.title,
        RunFigures(**run),
        by_part(lambda each: each.cpu_percent),
        by_part(lambda each: each.pss_mib),
        by_part(lambda each: each.pss_idle_mib),
        max(each.elsewhere_percent for each in group),
    )


def _median(values: Sequence[Any]) -> Any:
    """The lower of the two middle ones; missing values count as the worst."""
    return sorted(values, key=lambda value: (math.isnan(value), value))[(len(values) - 1) // 2]


def over_limits(runs: Sequence[StackFigures]) -> list[str]:
    """What misses its limit, a sentence each."""
    found = []
    for each in runs:
        where = f"({each.key}) at {each.run.calls}"
        for what, value, limit in (
            ("answer", each.run.answer_p50_ms, LIMITS_MS.get(each.key)),
            ("barge-in", each.run.barge_in_p50_ms, _BARGE_IN_LIMIT_MS.get(each.key)),
            ("set-up", each.run.setup_p50_ms, _SETUP_LIMIT_MS.get(each.key)),
        ):
            if limit is not None and not value <= limit:
                found.append(f"{where}: {what} takes {_number(value)} ms, at most {limit:g} was promised")
    return [*found, *_against_the_peer(runs)]


def disturbed(runs: Sequence[StackFigures]) -> list[str]:
    """Runs that mean little because something else kept the machine busy, a sentence each."""
    return [
        f"({each.key}) at {each.run.calls}: others used {_number(each.elsewhere_percent)} % of a core meanwhile"
        for each in runs
        if each.elsewhere_percent > _CALM_PERCENT
    ]


def _against_the_peer(runs: Sequence[StackFigures]) -> list[str]:
    peers = {each.run.calls: each for each in runs if each.key == "a"}
    found = []
    for each in runs:
        peer = peers.get(each.run.calls)
        if each.key not in _SAME_JOB or peer is None:
            continue
        for what, ours, theirs, share, besides in (
            ("CPU", each.run.cpu_percent_per_call, peer.run.cpu_percent_per_call, 0.5, _programs_alone(each, peer)),
            ("memory", each.run.pss_mib_per_call, peer.run.pss_mib_per_call, 0.25, ""),
        ):
            if not ours <= theirs * share:
                part = ours / theirs if theirs else math.nan
                found.append(
                    f"({each.key}) at {each.run.calls}: {what} a call is {part:.0%} of the peer's, at most {share:.0%} "
                    f"was promised{besides}"
                )
    return found


def _programs_alone(ours: StackFigures, peer: StackFigures) -> str:
    """Without the parts that both use: LiveKit server, and LiveKit SIP if both do."""
    mine, its = _SAME_JOB[ours.key]
    theirs = sum(peer.cpu_percent.get(part, 0.0) for part in its)
    if not theirs:
        return ""
    return f" ({sum(ours.cpu_percent.get(part, 0.0) for part in mine) / theirs:.0%} without the servers that both use)"


_SAME_JOB = {"b": (("agent",), ("agent",)), "c": (("agent", "gateway"), ("agent", "sip"))}
_PARTS = ("agent", "gateway", "server", "sip")


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1f}" if abs(value) < 10 else f"{value:.0f}"
