"""The registry of live calls: who holds which slot, and each answer and end reported once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.live_calls import CallAnswered, CallEnded, LiveCalls
from gateway.record import CallEvents, LegClosed, Outcome, WorkerLost
from tests.unit.store.records import START, closed, opened


def test_an_answer_and_an_end_are_told_once() -> None:
    live = LiveCalls()
    assert live.observe(opened()) == ()
    answered = CallEvents(call_id="c1", answered_at=START + timedelta(seconds=2))
    assert live.observe(answered) == (CallAnswered("c1", 2.0),)
    assert live.observe(answered) == ()
    (end,) = live.observe(closed())
    assert isinstance(end, CallEnded)
    assert (end.call_id, end.outcome, end.trunk, end.opened) == ("c1", Outcome.ANSWERED, "local", True)
    assert (len(live), live.get("c1")) == (0, None)
    assert live.observe(closed()) == live.observe(WorkerLost(call_ids=("c1",), at=START)) == ()


def test_a_closing_record_may_be_the_first_to_say_that_the_call_was_answered() -> None:
    live = LiveCalls()
    live.observe(opened())
    facts = live.observe(replace(closed(), answered_at=START + timedelta(seconds=1)))
    assert [type(fact) for fact in facts] == [CallAnswered, CallEnded]


def test_an_end_whose_beginning_was_not_seen_says_so() -> None:
    (end,) = LiveCalls().observe(closed())
    assert isinstance(end, CallEnded)
    assert not end.opened


def test_the_end_of_a_call_frees_its_slot() -> None:
    live = LiveCalls()
    live.place("c1-1", "c1", "w1", now=5.0)
    live.observe(opened())
    live.place("c2-1", "c2", "w1", now=6.0)
    assert (live.in_workers, list(live.of_worker("w1")), live.worker_of("c1-1")) == (2, ["c1-1", "c2-1"], "w1")
    with pytest.raises(ValueError, match="already has a slot"):
        live.place("c1-1", "c1", "w2", now=7.0)
    live.observe(WorkerLost(call_ids=("c1",), at=START))
    assert (live.in_workers, list(live.of_worker("w1")), live.worker_of("c1-1")) == (1, ["c2-1"], None)


def test_a_call_that_was_withdrawn_is_forgotten_unless_its_record_is_open() -> None:
    live = LiveCalls()
    for call_id in ("c1", "c2"):
        live.place(f"{call_id}-1", call_id, "w1", now=5.0)
    live.observe(opened())
    assert live.withdraw("c1-1")
    assert live.withdraw("c2-1")
    assert not live.withdraw("c2-1")
    assert ([call.call_id for call in live], live.in_workers) == (["c1"], 0)


def test_calls_without_a_slot_are_live_too() -> None:
    live = LiveCalls()
    live.observe(opened())
    assert (len(live), live.in_workers, live.worker_of("c1-1")) == (1, 0, None)


def test_what_comes_late_of_a_call_that_we_closed_is_told_apart_once() -> None:
    live = LiveCalls()
    live.expect_late_end("c1")
    assert [live.is_late_end("c1"), live.is_late_end("c1"), live.is_late_end("c2")] == [True, False, False]


def test_each_leg_has_a_slot_of_its_own_and_the_call_the_worker_of_its_first() -> None:
    live = LiveCalls()
    live.place("c1-1", "c1", "w1", now=5.0)
    live.observe(opened())
    live.place("c1-2", "c1", "w2", now=6.0)
    assert [leg.leg_id for leg in live.legs_of("c1")] == ["c1-1", "c1-2"]
    assert ([call.call_id for call in live.had_by("w1")], live.had_by("w2")) == (["c1"], ())
    assert live.observe(WorkerLost(call_ids=(), leg_ids=("c1-2",), at=START)) == ()
    assert (live.in_workers, len(live)) == (1, 1)
    live.place("c1-3", "c1", "w2", now=7.0)
    live.observe(closed())
    assert [leg.leg_id for leg in live.legs_of("c1")] == ["c1-3"], "it holds its slot until it has ended itself"
    assert live.observe(LegClosed(leg_id="c1-3", call_id="c1", outcome=Outcome.ANSWERED, ended_at=START)) == ()
    assert live.in_workers == 0
