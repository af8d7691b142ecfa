"""The pure machine of hold (`agent.turns.hold`), and which question is repeated after it."""

from __future__ import annotations

import pytest

from agent.turns.hold import GoOn, HeldTooLong, Hold, OpenQuestion, StandStill


def test_the_machine_stands_still_once_and_goes_on_once():
    machine = Hold(max_hold_ms=600_000)
    assert machine.deadline is None
    assert machine.resumed(1.0) == ()
    assert machine.held(5.0) == (StandStill(5.0),)
    assert machine.held(6.0) == ()
    assert machine.deadline == 605.0
    assert machine.tick(604.9) == ()
    assert machine.resumed(75.0) == (GoOn(75.0, 70_000.0, greet=False),)
    machine.met = True
    machine.held(80.0)
    assert machine.resumed(81.0) == (GoOn(81.0, 1000.0, greet=True),)


def test_the_machine_gives_a_caller_up_once():
    machine = Hold(max_hold_ms=600_000)
    machine.held(5.0)
    assert machine.tick(605.0) == (HeldTooLong(605.0),)
    assert machine.tick(606.0) == ()
    assert machine.resumed(607.0) == ()
    assert Hold(max_hold_ms=None).held(5.0)
    unlimited = Hold(max_hold_ms=None)
    unlimited.held(5.0)
    assert unlimited.deadline is None


@pytest.mark.parametrize(
    ("texts", "open_question"),
    [
        (["Hello, how can I help?"], "Hello, how can I help?"),
        (["Fine. Which day would you like?"], "Which day would you like?"),
        (["Which day?", "One moment."], "Which day?"),
        (["You are booked."], ""),
        (["好的。您几位？"], "您几位？"),
        (['He asked "when?"'], 'He asked "when?"'),
    ],
)
def test_what_is_asked_and_not_answered(texts, open_question):
    question = OpenQuestion()
    for text in texts:
        question.agent_said(text)
    assert question.text == open_question
    question.answered()
    assert question.text == ""


def test_who_is_set_aside_may_stay_so_and_the_callers_own_hold_counts_afterwards():
    machine = Hold(max_hold_ms=600_000)
    assert machine.set_aside(5.0) == (StandStill(5.0, by_us=True),)
    assert machine.set_aside(6.0) == ()
    assert machine.held(10.0) == ()
    assert machine.tick(5000.0) == ()
    assert machine.taken_back(5000.0, "transfer_busy") == ()
    assert machine.deadline == 5600.0
    assert machine.resumed(5010.0) == (GoOn(5010.0, 5_005_000.0, greet=False, words="transfer_busy"),)
    assert machine.taken_back(5011.0) == ()
