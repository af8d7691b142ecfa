"""The pure transfer machine: every event in every state, SIP statuses and time limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.transfers.machine import ANSWER_LIMIT_S, MARGIN_S, REPORT_LIMIT_S, TransferMachine
from gateway.transfers.table import STEPS, Do, TransferEvent, TransferState, step, table
from telephony.call import TransferEnd, TransferResult, UseRefer

DOCS = Path(__file__).parents[3] / "docs" / "transfers.md"
GIVEN = (Do.TELL_ANSWERED, Do.TELL_COMPLETED, Do.END_CALL)
BACK = (Do.TELL_FAILED, Do.BACK)


def made(refer: UseRefer = UseRefer.PREFER, ring_s: float = 30.0) -> TransferMachine:
    return TransferMachine(refer, ring_s, 0.0)


def result(machine: TransferMachine) -> tuple[TransferEnd, str, int]:
    assert machine.result is not None
    return machine.result.end, machine.result.way, machine.result.sip_status


def test_the_table_in_the_docs_is_the_one_that_is_used() -> None:
    assert table() in DOCS.read_text()


@pytest.mark.parametrize("state", list(TransferState))
@pytest.mark.parametrize("event", [TransferEvent.CUSTOMER_GONE, TransferEvent.CALL_ENDS])
def test_whoever_leaves_ends_it_in_every_state(state: TransferState, event: TransferEvent) -> None:
    after, done = step(state, event)
    assert after is TransferState.OVER
    assert Do.BACK not in done
    ours = state in (TransferState.CALLING, TransferState.RINGING, TransferState.JOINED)
    assert (Do.DROP in done) is ours, "no phone rings on"


def test_every_walk_ends_and_tells_its_end_once() -> None:
    """All paths through the table, each pair once on a path."""
    walked: set[tuple[TransferState, TransferEvent]] = set()

    def walk(state: TransferState, path: tuple[tuple[TransferState, TransferEvent], ...], told: int) -> None:
        for event in TransferEvent:
            if (state, event) not in STEPS or (state, event) in path or state is TransferState.OVER:
                continue
            walked.add((state, event))
            after, done = STEPS[state, event]
            ends = told + sum(each in (Do.TELL_COMPLETED, Do.TELL_FAILED) for each in done)
            assert ends <= 1
            if after is TransferState.OVER:
                assert ends == 1, (path, state, event)
            elif after is not state:
                walk(after, (*path, (state, event)), ends)

    walk(TransferState.ASKING, (), 0)
    walk(TransferState.CALLING, (), 0)
    assert walked == {pair for pair in STEPS if pair[0] is not TransferState.OVER}
    assert len(STEPS) == 91


def test_what_is_impossible_raises_and_names_both() -> None:
    with pytest.raises(LookupError, match=r"target answers.*asking"):
        step(TransferState.ASKING, TransferEvent.ANSWERS)


def test_a_refer_that_goes_well() -> None:
    machine = made()
    assert machine.answered(202, "Accepted", 0.1) == ()
    assert machine.notified(100, "Trying", 0.2) == ()
    assert machine.notified(180, "Ringing", 0.5) == (Do.TELL_RINGING,)
    assert machine.notified(180, "Ringing", 0.6) == ()
    assert machine.notified(200, "OK", 4.0, over=True) == GIVEN
    assert result(machine) == (TransferEnd.TRANSFERRED, "refer", 200)


def test_a_notify_may_come_before_the_answer() -> None:
    machine = made()
    assert machine.notified(180, "Ringing", 0.1) == (Do.TELL_RINGING,)
    assert machine.answered(202, "Accepted", 0.2) == ()
    assert machine.state is TransferState.RINGING_THERE


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (486, TransferEnd.BUSY),
        (600, TransferEnd.BUSY),
        (603, TransferEnd.DECLINED),
        (480, TransferEnd.NO_ANSWER),
        (408, TransferEnd.NO_ANSWER),
    ],
)
def test_what_the_target_says_is_not_asked_again_on_a_leg_of_ours(status: int, end: TransferEnd) -> None:
    machine = made()
    machine.answered(202, "Accepted", 0.1)
    assert machine.notified(status, "No", 1.0, over=True) == BACK
    assert result(machine) == (end, "refer", status)


@pytest.mark.parametrize(
    "useless",
    [
        lambda machine: machine.answered(603, "Decline", 1.0),
        lambda machine: machine.answered(405, "Method Not Allowed", 1.0),
        lambda machine: machine.answered(0, "the peer did not answer the REFER", 1.0),
        lambda machine: machine.due(ANSWER_LIMIT_S),
        lambda machine: machine.answered(202, "OK", 0.0) or machine.due(REPORT_LIMIT_S),
        lambda machine: machine.answered(202, "OK", 0.0) or machine.notified(0, "giveup", 1.0, over=True),
        lambda machine: machine.answered(202, "OK", 0.0) or machine.notified(404, "Not Found", 1.0, over=True),
        lambda machine: machine.answered(202, "OK", 0.0) or machine.notified(503, "Unavailable", 1.0, over=True),
    ],
)
def test_where_refer_is_of_no_use_we_call_if_we_may(useless: Callable[[TransferMachine], tuple[Do, ...]]) -> None:
    prefers, only = made(), made(UseRefer.ONLY)
    assert useless(prefers) == (Do.CALL,)
    assert prefers.state is TransferState.CALLING
    assert useless(only) == BACK
    assert only.result is not None and only.result.reason


def test_a_target_that_rings_there_for_too_long() -> None:
    machine = made(ring_s=20)
    machine.answered(202, "Accepted", 0.0)
    machine.notified(180, "Ringing", 1.0)
    assert machine.deadline == 1.0 + 20 + MARGIN_S
    assert machine.due(23.9) == ()
    assert machine.due(24.0) == BACK
    assert result(machine) == (TransferEnd.NO_ANSWER, "refer", 0)


def test_a_leg_of_ours_that_is_answered() -> None:
    machine = made(UseRefer.NEVER)
    assert (machine.state, machine.deadline) == (TransferState.CALLING, None)
    assert machine.rings(1.0) == (Do.TELL_RINGING,)
    assert machine.rings(1.5) == ()
    assert machine.answers("c-2", 2.0) == (Do.TELL_ANSWERED, Do.TELL_COMPLETED)
    assert machine.result == TransferResult(TransferEnd.TRANSFERRED, "bridge", 200, "", "c-2")
    assert machine.leaves(60.0, lost=False) == (Do.AFTERWARDS,)


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (486, TransferEnd.BUSY),
        (603, TransferEnd.DECLINED),
        (408, TransferEnd.NO_ANSWER),
        (404, TransferEnd.FAILED),
        (0, TransferEnd.FAILED),
    ],
)
def test_a_leg_of_ours_that_is_not(status: int, end: TransferEnd) -> None:
    machine = made(UseRefer.NEVER)
    assert machine.not_reached(status, "No", "c-2", 3.0) == BACK
    assert result(machine) == (end, "bridge", status)


def test_a_lost_target_leaves_the_customer_to_the_agent_whatever_was_ordered() -> None:
    machine = made(UseRefer.NEVER)
    machine.answers("c-2", 2.0)
    assert machine.leaves(3.0, lost=True) == (Do.BACK,)


def test_a_late_report_that_the_target_was_reached_counts() -> None:
    machine = made()
    machine.due(ANSWER_LIMIT_S)
    assert machine.answered(202, "Accepted", 6.0) == ()
    assert machine.notified(180, "Ringing", 6.1) == ()
    assert machine.notified(200, "OK", 7.0, over=True) == (Do.DROP, *GIVEN)


@pytest.mark.parametrize(
    ("before", "end"),
    [
        (lambda machine: None, TransferEnd.CANCELLED),
        (lambda machine: machine.answered(202, "Accepted", 0.1), TransferEnd.UNCONFIRMED),
        (lambda machine: machine.notified(180, "Ringing", 0.1), TransferEnd.UNCONFIRMED),
        (lambda machine: machine.answered(603, "Decline", 0.1), TransferEnd.CANCELLED),
    ],
)
def test_a_customer_who_hangs_up(before: Callable[[TransferMachine], object], end: TransferEnd) -> None:
    machine = made()
    before(machine)
    machine.customer_gone(1.0)
    assert machine.over
    assert machine.result is not None and machine.result.end is end
