"""Figures of one bench run: pure arithmetic over the measurements of phones and processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["AIMS", "CallFigures", "RunFigures", "percentile", "table"]

# The targets in the units of RunFigures. A figure passes if it is at most its target.
AIMS = {
    "answer_p50_ms": 620.0,
    "answer_p95_ms": 680.0,
    "barge_in_p50_ms": 200.0,
    "setup_p50_ms": 50.0,
    "cpu_percent_per_call": 2.0,
    "pss_mib_per_call": 15.0,
    "spacing_p99_ms": 25.0,
    "packets_lost": 0.0,
}


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(percent / 100 * len(ordered)) - 1))]


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What one phone measured. Latencies in milliseconds; an answer or stop that never came is in `missed`."""

    setup_ms: float
    answers_ms: tuple[float, ...]
    barge_ins_ms: tuple[float, ...]
    missed: int
    spacings_ms: tuple[float, ...]
    packets: int
    packets_lost: int
    packets_late: int


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One number of simultaneous calls."""

    calls: int
    failed: int
    setup_p50_ms: float
    setup_p95_ms: float
    answer_p50_ms: float
    answer_p95_ms: float
    barge_in_p50_ms: float
    barge_in_p95_ms: float
    missed: int
    spacing_p99_ms: float
    packets: int
    packets_lost: int
    packets_late: int
    cpu_percent_per_call: float
    pss_mib_per_call: float
    pss_mib: float
    pss_idle_mib: float

    @classmethod
    def of(
        cls, calls: int, done: Sequence[CallFigures], *, cpu_percent: float, pss_mib: float, pss_idle_mib: float
    ) -> RunFigures:
        setups = [call.setup_ms for call in done]
        answers = [ms for call in done for ms in call.answers_ms]
        stops = [ms for call in done for ms in call.barge_ins_ms]
        spacings = [ms for call in done for ms in call.spacings_ms]
        return cls(
            calls=calls,
            failed=calls - len(done),
            setup_p50_ms=percentile(setups, 50),
            setup_p95_ms=percentile(setups, 95),
            answer_p50_ms=percentile(answers, 50),
            answer_p95_ms=percentile(answers, 95),
            barge_in_p50_ms=percentile(stops, 50),
            barge_in_p95_ms=percentile(stops, 95),
            missed=sum(call.missed for call in done),
            spacing_p99_ms=percentile(spacings, 99),
            packets=sum(call.packets for call in done),
            packets_lost=sum(call.packets_lost for call in done),
            packets_late=sum(call.packets_late for call in done),
            cpu_percent_per_call=cpu_percent / max(1, len(done)),
            pss_mib_per_call=pss_mib / max(1, len(done)),
            pss_mib=pss_mib,
            pss_idle_mib=pss_idle_mib,
        )

    def to_dict(self) -> dict[str, Any]:
        return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in asdict(self).items()}


_ROWS = [
    ("INVITE -> 200 OK, median ms", "setup_p50_ms"),
    ("INVITE -> 200 OK, p95 ms", "setup_p95_ms"),
    ("end of speech -> first audio, median ms", "answer_p50_ms"),
    ("end of speech -> first audio, p95 ms", "answer_p95_ms"),
    ("caller talks -> agent silent, median ms", "barge_in_p50_ms"),
    ("caller talks -> agent silent, p95 ms", "barge_in_p95_ms"),
    ("CPU per call, % of a core", "cpu_percent_per_call"),
    ("memory per call, MiB (PSS, all processes)", "pss_mib_per_call"),
    ("total memory, MiB", "pss_mib"),
    ("memory before the first call, MiB", "pss_idle_mib"),
    ("packet spacing p99, ms", "spacing_p99_ms"),
    ("packets received", "packets"),
    ("packets lost (sequence gaps)", "packets_lost"),
    ("packets late (over 40 ms after the previous one)", "packets_late"),
    ("answers or stops that never came", "missed"),
    ("calls that failed", "failed"),
]


def table(runs: Sequence[RunFigures]) -> str:
    """Markdown: a row per figure, a column per run, with the target."""
    head = ["", *(f"{run.calls} call{'s' if run.calls > 1 else ''}" for run in runs), "target"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for label, name in _ROWS:
        aim = f"<= {AIMS[name]:g}" if name in AIMS else ""
        lines.append("| " + " | ".join([label, *(_number(getattr(run, name)) for run in runs), aim]) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
