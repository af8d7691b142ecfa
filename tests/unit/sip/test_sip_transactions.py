"""The transactions of RFC 3261 section 17: what is sent when, and what ends them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from telephony.errors import TelephonyMisuse
from telephony.sip.transactions import (
    CLIENT_INVITE,
    CLIENT_OTHER,
    SERVER_INVITE,
    SERVER_OTHER,
    Came,
    Do,
    Machine,
    State,
    Timers,
    Transaction,
    came_of,
    table,
)

ALL = (CLIENT_INVITE, CLIENT_OTHER, SERVER_INVITE, SERVER_OTHER)


def run(transaction: Transaction, until: float) -> list[tuple[float, Do]]:
    """The actions of its timers up to then, at the times when they are due."""
    done: list[tuple[float, Do]] = []
    while (at := transaction.next_at) <= until:
        done += [(at, action) for action in transaction.due(at)]
    return done


def sent_at(done: list[tuple[float, Do]]) -> list[float]:
    return [at for at, action in done if action is Do.SEND]


def test_an_invite_is_sent_again_at_doubling_gaps_and_given_up_after_64_t1() -> None:
    transaction = Transaction(CLIENT_INVITE, 0.0, reliable=False)
    done = run(transaction, 100)
    assert sent_at(done) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert done[-1] == (32.0, Do.TIMED_OUT)
    assert transaction.over


def test_other_requests_are_sent_again_at_gaps_of_at_most_t2() -> None:
    done = run(Transaction(CLIENT_OTHER, 0.0, reliable=False), 100)
    assert sent_at(done) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert done[-1] == (32.0, Do.TIMED_OUT)


def test_a_provisional_answer_slows_other_requests_down_and_keeps_their_limit() -> None:
    transaction = Transaction(CLIENT_OTHER, 0.0, reliable=False)
    assert transaction.came(Came.PROVISIONAL, 1.0) == (Do.TELL,)
    done = run(transaction, 100)
    assert sent_at(done) == [5.0, 9.0, 13.0, 17.0, 21.0, 25.0, 29.0]
    assert done[-1] == (32.0, Do.TIMED_OUT)


def test_a_ringing_invite_waits_for_as_long_as_it_rings() -> None:
    transaction = Transaction(CLIENT_INVITE, 0.0, reliable=False)
    assert transaction.came(Came.PROVISIONAL, 0.2) == (Do.TELL,)
    assert run(transaction, 3600) == []
    assert transaction.came(Came.SUCCESS, 3600.0) == (Do.TELL,)
    assert transaction.came(Came.SUCCESS, 3601.0) == (Do.TELL,)  # our ACK was lost
    assert run(transaction, 4000) == [] and transaction.over


def test_a_refused_invite_is_acknowledged_each_time_and_told_once() -> None:
    transaction = Transaction(CLIENT_INVITE, 0.0, reliable=False)
    assert transaction.came(Came.FAILURE, 0.1) == (Do.ACKNOWLEDGE, Do.TELL)
    assert transaction.came(Came.FAILURE, 0.6) == (Do.ACKNOWLEDGE,)
    assert transaction.came(Came.SUCCESS, 0.7) == ()
    assert transaction.next_at == 32.1
    run(transaction, 32.1)
    assert transaction.came(Came.FAILURE, 33.0) == ()


@pytest.mark.parametrize("machine", [CLIENT_INVITE, CLIENT_OTHER], ids=lambda each: each.name)
def test_over_tcp_nothing_is_sent_again_and_the_limit_stays(machine: Machine) -> None:
    transaction = Transaction(machine, 5.0, reliable=True)
    assert run(transaction, 100) == [(37.0, Do.TIMED_OUT)]


def test_a_refusal_is_sent_again_until_its_ack_comes() -> None:
    transaction = Transaction(SERVER_INVITE, 0.0, reliable=False)
    assert transaction.came(Came.PROVISIONAL, 0.1) == (Do.SEND,)
    assert transaction.came(Came.REQUEST, 0.4) == (Do.SEND,)
    assert transaction.came(Came.FAILURE, 10.0) == (Do.SEND,)
    assert sent_at(run(transaction, 14)) == [10.5, 11.5, 13.5]
    assert transaction.came(Came.REQUEST, 14.1) == (Do.SEND,)
    assert transaction.came(Came.ACK, 14.2) == (Do.TELL,)
    assert transaction.came(Came.ACK, 14.3) == () and transaction.came(Came.REQUEST, 14.4) == ()
    assert run(transaction, 100) == [] and transaction.over


def test_an_answer_without_ack_is_given_up_after_64_t1_even_over_tcp() -> None:
    for reliable in (False, True):
        transaction = Transaction(SERVER_INVITE, 0.0, reliable=reliable)
        transaction.came(Came.SUCCESS, 1.0)
        done = run(transaction, 100)
        assert len(sent_at(done)) == 10 and done[-1] == (33.0, Do.TIMED_OUT)


def test_a_repeated_request_gets_the_last_answer_again_for_64_t1() -> None:
    transaction = Transaction(SERVER_OTHER, 0.0, reliable=False)
    assert transaction.came(Came.REQUEST, 0.1) == ()  # there is no answer yet
    assert transaction.came(Came.SUCCESS, 0.2) == (Do.SEND,)
    assert transaction.came(Came.REQUEST, 20.0) == (Do.SEND,)
    assert run(transaction, 100) == [] and transaction.over
    assert transaction.came(Came.REQUEST, 101.0) == ()


def test_answering_twice_is_our_mistake_and_names_state_and_answer() -> None:
    transaction = Transaction(SERVER_OTHER, 0.0, reliable=False)
    transaction.came(Came.SUCCESS, 0.0)
    with pytest.raises(TelephonyMisuse, match="server transaction: 3xx-6xx is not possible while completed"):
        transaction.came(Came.FAILURE, 0.1)


def test_a_late_clock_asks_once_for_each_timer_and_not_for_what_it_missed() -> None:
    transaction = Transaction(CLIENT_OTHER, 0.0, reliable=False)
    assert transaction.due(3.0) == (Do.SEND,)
    assert transaction.next_at == 4.0
    assert transaction.due(60.0) == (Do.TIMED_OUT,)


def test_timers_are_arguments() -> None:
    transaction = Transaction(CLIENT_INVITE, 0.0, reliable=False, timers=Timers(t1=0.1))
    done = run(transaction, 10)
    assert sent_at(done)[0] == 0.1 and done[-1] == (pytest.approx(6.4), Do.TIMED_OUT)


@pytest.mark.parametrize("machine", ALL, ids=lambda each: each.name)
def test_every_state_can_be_reached_and_left_and_every_timer_has_its_step(machine: Machine) -> None:
    reached, todo = {machine.first}, [machine.first]
    while todo:
        state = todo.pop()
        new = {target for (source, _), (target, _) in machine.steps.items() if source is state} - reached
        reached |= new
        todo += new
    states = {state for state, _ in machine.steps}
    assert reached == states | {State.TERMINATED}
    for state, stay in machine.stays.items():
        for set_, came in ((stay.again, Came.AGAIN), (stay.limit, Came.LIMIT), (stay.over, Came.OVER)):
            assert bool(set_) == ((state, came) in machine.steps), (state, came)
    assert all((State.TERMINATED, came) in machine.absorbed for came in (Came.AGAIN, Came.LIMIT, Came.OVER))


def test_statuses() -> None:
    assert [came_of(status) for status in (100, 199, 200, 299, 300, 699)] == [
        Came.PROVISIONAL, Came.PROVISIONAL, Came.SUCCESS, Came.SUCCESS, Came.FAILURE, Came.FAILURE
    ]  # fmt: skip
    for wrong in (99, 700, 0, -1):
        with pytest.raises(ValueError, match="not a SIP status"):
            came_of(wrong)


def test_gaps_never_shrink() -> None:
    for machine in (CLIENT_INVITE, CLIENT_OTHER):
        times = [0.0, *sent_at(run(Transaction(machine, 0.0, reliable=False), 100))]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert gaps == sorted(gaps)


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine.name)
def test_the_docs_show_the_tables_as_they_are(machine: Machine) -> None:
    docs = Path(__file__).parents[3] / "docs" / "edge.md"
    assert f"{machine.name[0].upper()}{machine.name[1:]}:\n\n{table(machine)}\n" in docs.read_text(encoding="utf-8")
