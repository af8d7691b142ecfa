"""bench.edge_writing runs, and rewriting stays within its budget, with a wide margin as other tests run alongside."""

from __future__ import annotations

from bench.edge_writing import Stopwatch, whole_way, writing


def test_the_bench_measures_each_kind_of_message() -> None:
    watch = Stopwatch()
    for _ in range(3):
        whole_way(watch)
        writing(watch)
    assert {"INVITE", "180", "200 with SDP", "ACK", "BYE", "200 to a BYE"} < set(watch.least)
    wrote = [watch.least[f"{name}: read and written anew"] - watch.least[f"{name}: read"] for name in ("INVITE", "BYE")]
    assert sum(wrote) / 2 < 300  # us; 60 are allowed on a quiet machine
