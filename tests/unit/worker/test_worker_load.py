"""Load, memory and restarts: when a job is accepted, and when a process or a job is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.worker.load import Accept, Capacity, MovingAverage, Refuse, WorkerLoad, memory_verdict
from agent.worker.machine_load import CpuMeter, available_mb, quota_cores, used_seconds
from agent.worker.restarts import RestartPolicy

CAPACITY = Capacity(load_threshold=0.7, memory_floor_mb=256)


def test_the_average_is_of_the_last_five_samples() -> None:
    average = MovingAverage()
    assert average.value == 0.0
    for sample in (1.0, 0.5, 0.5, 0.5, 0.5, 0.5):
        average.add(sample)
    assert average.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (WorkerLoad(cpu=0.69), None),
        (WorkerLoad(cpu=0.7), "load is 0.70, the threshold 0.70"),
        (WorkerLoad(cpu=0.62, reserved=1), None),
        (WorkerLoad(cpu=0.62, reserved=2), "load is 0.72"),
        (WorkerLoad(cpu=0.62, reserved=1, settling=1), "load is 0.72"),
        (WorkerLoad(cpu=0.1, available_mb=255), "255 MiB of memory are left, 256 must stay"),
        (WorkerLoad(cpu=0.1, available_mb=256), None),
        (WorkerLoad(cpu=0.0, draining=True), "draining"),
    ],
)
def test_one_more_job(load: WorkerLoad, why: str | None) -> None:
    verdict = load.decide(CAPACITY)
    if why is None:
        assert verdict == Accept()
    else:
        assert isinstance(verdict, Refuse)
        assert why in verdict.reason


def test_a_threshold_of_one_is_none() -> None:
    assert WorkerLoad(cpu=1.0).decide(Capacity(load_threshold=1.0)) == Accept()


def test_the_most_jobs() -> None:
    assert WorkerLoad(cpu=0, jobs=3, reserved=1).decide(Capacity(max_jobs=5)) == Accept()
    assert WorkerLoad(cpu=0, jobs=4, reserved=1).decide(Capacity(max_jobs=5)) == Refuse(
        "5 jobs are running, the limit is 5"
    )


def test_thresholds_that_make_no_sense() -> None:
    for wrong in (0, -1, 1.1):
        with pytest.raises(ValueError, match="load_threshold"):
            Capacity(load_threshold=wrong)


def test_the_server_is_told_our_threshold_as_its_target() -> None:
    assert WorkerLoad(cpu=0.35).told(Capacity(load_threshold=0.7)) == pytest.approx(0.35)
    assert WorkerLoad(cpu=0.45).told(Capacity(load_threshold=0.9)) == pytest.approx(0.35)
    assert WorkerLoad(cpu=0.9).told(Capacity(load_threshold=0.45)) == 1.0


def test_memory_of_a_process() -> None:
    assert memory_verdict(100, 300, 500) == "ok"
    assert memory_verdict(301, 300, 500) == "warn"
    assert memory_verdict(501, 300, 500) == "end"
    assert memory_verdict(10_000, 0, 0) == "ok"


def test_a_containers_cpu_quota(tmp_path: Path) -> None:
    assert quota_cores("max 100000") is None
    assert quota_cores("") is None
    assert quota_cores("50000 100000") == 0.5
    assert used_seconds("usage_usec 2500000\nuser_usec 1\n") == 2.5
    assert used_seconds("nothing") is None
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    stat = tmp_path / "cpu.stat"
    stat.write_text("usage_usec 1000000\n")
    meter = CpuMeter(tmp_path)
    assert meter.sample(10.0) == 0.0
    stat.write_text("usage_usec 1125000\n")
    assert meter.sample(10.5) == pytest.approx(0.5), "0.125 s of the 0.25 s that half a core has in 0.5 s"
    stat.write_text("usage_usec 9000000\n")
    assert meter.sample(11.0) == 1.0


def test_a_containers_memory_limit(tmp_path: Path) -> None:
    machine = available_mb(tmp_path)
    assert machine > 0
    (tmp_path / "memory.max").write_text("104857600\n")
    (tmp_path / "memory.current").write_text("83886080\n")
    assert available_mb(tmp_path) == 20
    (tmp_path / "memory.max").write_text("max\n")
    assert available_mb(tmp_path) > 20


def test_a_job_that_kills_its_processes_is_given_up() -> None:
    policy = RestartPolicy(most=3, within_s=60)
    assert [policy.allows(t) for t in (0.0, 1.0, 2.0, 3.0)] == [True, True, True, False]
    assert policy.allows(60.5), "the first one was more than a minute ago"
    assert not policy.allows(60.6)
