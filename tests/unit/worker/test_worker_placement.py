"""Which process gets a job, and how many wait for one."""

from __future__ import annotations

import pytest

from agent.worker.placement import Fork, PlacementSettings, ProcessView, Retire, choose, tend

ONE = PlacementSettings(jobs_per_process=1, idle_processes=2)
SHARED = PlacementSettings(jobs_per_process=3, idle_processes=1, served_most=10)


def process(name: str, jobs: int = 0, served: int = 0, ready: bool = True) -> ProcessView:
    return ProcessView(name, ready, jobs, served)


def test_a_job_of_its_own_goes_to_a_fresh_process() -> None:
    assert choose([process("used", 0, 1), process("busy", 1, 1), process("fresh")], ONE) == "fresh"
    assert choose([process("busy", 1, 1), process("used", 0, 1)], ONE) is None
    assert choose([process("starting", ready=False)], ONE) is None


def test_shared_processes_are_filled_one_after_another() -> None:
    assert choose([process("empty"), process("two", 2, 2), process("one", 1, 1)], SHARED) == "two"
    assert choose([process("full", 3, 3), process("empty")], SHARED) == "empty"
    assert choose([process("worn", 1, 10), process("empty")], SHARED) == "empty"


def test_idle_processes_are_kept_ready() -> None:
    assert tend([], ONE) == [Fork(2)]
    assert tend([process("a"), process("b", ready=False)], ONE) == []
    assert tend([process("a", 1, 1), process("b")], ONE) == [Fork(1)]


def test_a_process_that_served_its_job_ends() -> None:
    assert tend([process("done", 0, 1), process("a"), process("b")], ONE) == [Retire("done")]


def test_spare_processes_end_but_not_while_they_start() -> None:
    assert tend([process("a"), process("b"), process("c")], ONE) == [Retire("a")]
    assert tend([process("a", ready=False), process("b", ready=False), process("c", ready=False)], ONE) == []


def test_jobs_that_wait_have_processes_forked_for_them() -> None:
    assert tend([process("a"), process("b")], ONE, waiting=3) == [Fork(3)]
    assert tend([process("a", 1, 1), process("b")], SHARED, waiting=2) == [], "two find room beside the first"
    assert tend([process("a", 1, 1), process("b")], SHARED, waiting=3) == [Fork(1)]


def test_while_jobs_come_a_place_for_one_more_is_enough() -> None:
    assert tend([process("a", 1, 1), process("b")], ONE, calm=False) == []
    assert tend([process("a", 1, 1), process("b", 1, 1)], ONE, calm=False) == [Fork(2)]
    assert tend([process("a", 1, 1), process("b")], ONE, waiting=1, calm=False) == [Fork(2)], "the place is promised"
    assert tend([process("a", ready=False)], ONE, waiting=1, calm=False) == [Fork(2)], "one that starts is no place yet"
    assert tend([process("a", 1, 1)], SHARED, waiting=1, calm=False) == []
    assert tend([process("a", 3, 3)], SHARED, calm=False) == [Fork(1)]
    assert tend([process("a", 1, 1)], SHARED) == [Fork(1)], "afterwards"


def test_a_shared_process_that_is_worn_ends_when_it_is_empty() -> None:
    assert tend([process("worn", 0, 10), process("a")], SHARED) == [Retire("worn")]
    assert tend([process("worn", 1, 10), process("a")], SHARED) == []


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="jobs_per_process"):
        PlacementSettings(jobs_per_process=0)
