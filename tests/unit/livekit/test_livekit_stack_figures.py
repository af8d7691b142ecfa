"""How bench/livekit_stack reports its measurements."""

from __future__ import annotations

import json

from bench.livekit_stack.figures import StackFigures, disturbed, middle, over_limits, table
from gateway.bench.figures import CallFigures, RunFigures


def figures(
    key: str,
    answer_ms: float,
    *,
    setup_ms: float = 200.0,
    cpu: float = 20.0,
    pss: float = 100.0,
    elsewhere: float = 0.0,
) -> StackFigures:
    call = CallFigures(setup_ms, (answer_ms,), (300.0,), 0, (20.0,), 100, 0, 0)
    run = RunFigures.of(1, [call], cpu_percent=cpu, pss_mib=pss, pss_idle_mib=50.0)
    cpu_by_part = {"agent": cpu * 0.75, "server": cpu * 0.25}
    return StackFigures(key, f"stack {key}", run, cpu_by_part, {"agent": pss}, {"agent": 50.0}, elsewhere)


def test_a_row_has_the_cpu_of_each_part() -> None:
    row = table([figures("b", 770.4)]).splitlines()[-1]
    assert row == "| (b) stack b | 1 | 200 | 770 / 770 | 300 / 300 | 20 (15 + 0.0 + 5.0 + 0.0) | 100 (50) | 0 / 0 |"


def test_what_was_promised_and_kept_is_not_mentioned() -> None:
    assert over_limits([figures("a", 1000), figures("b", 800, cpu=10, pss=25), figures("c", 760, cpu=10, pss=25)]) == []


def test_what_was_promised_and_not_kept() -> None:
    found = over_limits([figures("a", 1000), figures("b", 801, cpu=11, pss=26), figures("c", 700, setup_ms=251, pss=1)])
    assert found == [
        "(b) at 1: answer takes 801 ms, at most 800 was promised",
        "(c) at 1: set-up takes 251 ms, at most 250 was promised",
        "(b) at 1: CPU a call is 55% of the peer's, at most 50% was promised (55% without the servers that both use)",
        "(b) at 1: memory a call is 26% of the peer's, at most 25% was promised",
        "(c) at 1: CPU a call is 100% of the peer's, at most 50% was promised (100% without the servers that both use)",
    ]


def test_calls_that_were_never_answered_keep_no_promise() -> None:
    nothing = CallFigures(200.0, (), (), 9, (), 0, 0, 0)
    run = RunFigures.of(1, [nothing], cpu_percent=1, pss_mib=1, pss_idle_mib=1)
    silent = StackFigures("b", "b", run, {"agent": 1.0}, {"agent": 1.0}, {"agent": 1.0}, 0.0)
    assert "(b) at 1: answer takes - ms, at most 800 was promised" in over_limits([silent])
    json.dumps(silent.to_dict(), allow_nan=False)


def test_a_busy_machine_is_told() -> None:
    assert disturbed([figures("b", 1), figures("c", 1, elsewhere=80.0)]) == [
        "(c) at 1: others used 80 % of a core meanwhile"
    ]


def test_of_repetitions_each_figure_is_the_median() -> None:
    runs = [
        figures("b", 700, cpu=9, pss=30),
        figures("c", 650),
        figures("b", 720, cpu=20, pss=10),
        figures("b", 710, cpu=10, pss=20, elsewhere=30.0),
    ]
    b, c = middle(runs)
    assert (b.run.answer_p50_ms, b.run.cpu_percent_per_call, b.run.pss_mib_per_call) == (710, 10, 20)
    assert (b.run.calls, b.cpu_percent["agent"], b.pss_mib["agent"]) == (1, 7.5, 20)
    assert b.elsewhere_percent == 30, "the worst of them"
    assert c == figures("c", 650)


def test_of_two_repetitions_the_better_one_counts_but_for_what_failed() -> None:
    failed = RunFigures.of(1, [], cpu_percent=1, pss_mib=1, pss_idle_mib=1)
    nothing = StackFigures("b", "b", failed, {"agent": 1.0}, {"agent": 1.0}, {"agent": 1.0}, 0.0)
    (both,) = middle([nothing, figures("b", 700)])
    assert (both.run.answer_p50_ms, both.run.failed) == (700, 1)
