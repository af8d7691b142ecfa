import math

from gateway.bench.figures import CallFigures, RunFigures, percentile, table


def test_percentiles_are_nearest_rank() -> None:
    assert percentile([5, 1, 3, 2, 4], 50) == 3
    assert percentile(list(range(1, 101)), 95) == 95
    assert percentile([7], 99) == 7
    assert math.isnan(percentile([], 50))


def test_a_run_counts_calls_that_failed_and_divides_what_they_share() -> None:
    call = CallFigures(10.0, (600.0, 610.0), (150.0,), 1, (20.0, 21.0), 100, 2, 1)
    run = RunFigures.of(4, [call, call], cpu_percent=8.0, pss_mib=60.0, pss_idle_mib=40.0)
    assert (run.failed, run.missed, run.packets_lost) == (2, 2, 4)
    assert run.cpu_percent_per_call == 4.0  # a call that failed took nothing
    assert run.pss_mib_per_call == 30.0
    assert run.answer_p50_ms == 600.0


def test_the_table_names_the_aim_and_says_so_when_nothing_was_measured() -> None:
    run = RunFigures.of(1, [], cpu_percent=0.0, pss_mib=0.0, pss_idle_mib=0.0)
    lines = table([run]).splitlines()
    assert "| end of speech -> first audio, median ms | - | <= 620 |" in lines
    assert run.to_dict()["answer_p50_ms"] is None
