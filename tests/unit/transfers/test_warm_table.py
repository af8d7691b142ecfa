"""Warm transfers, pure: the table walked whole, the limits of each state, and whom a hunt calls."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from gateway.transfers.hunt import Hunt
from gateway.transfers.offer import Offer, Refusal
from gateway.transfers.screen_data import problem_of, screen_headers
from gateway.transfers.warm_table import (
    ENTERED,
    IMPOSSIBLE,
    PARTIES,
    STAGES,
    TABLE,
    WarmDo,
    WarmEvent,
    WarmState,
    next_stage,
    table,
)
from telephony.call import TransferEnd
from telephony.media.answering.model import AnsweredBy
from telephony.warm import SummaryBy, Warm

DOCS = Path(__file__).parents[3] / "docs" / "transfers.md"
WHOLE = Warm(accept=True, summary=SummaryBy.MODEL, consult=True, introduction="You are connected.")
TOLD = Warm(summary=SummaryBy.MODEL)
ENDS = (WarmDo.FAILED, WarmDo.BACK, WarmDo.AFTERWARDS)
REFUSAL = Refusal(TransferEnd.BUSY, "Busy here", 486)


def offer(order: Warm = WHOLE, *, checks: bool = True) -> Offer:
    return Offer(order, 20.0, 0.0, checks=checks)


def answered(order: Warm = WHOLE, *, checks: bool = True) -> Offer:
    made = offer(order, checks=checks)
    made.happened(WarmEvent.ANSWERS, 5.0)
    return made


def test_the_table_in_the_docs_is_the_one_that_is_used() -> None:
    assert table() in DOCS.read_text()


def test_every_combination_of_state_party_and_event_is_an_entry() -> None:
    assert sorted(event for events in PARTIES.values() for event in events) == sorted(WarmEvent)
    assert set(TABLE) == set(product(WarmState, WarmEvent))
    possible = [pair for pair, step in TABLE.items() if step is not IMPOSSIBLE]
    assert (len(TABLE), len(possible)) == (162, 121)


@pytest.mark.parametrize("ordered", list(product((False, True), repeat=5)))
def test_every_walk_ends_and_decides_once_who_has_the_customer(ordered: tuple[bool, ...]) -> None:
    """All paths through the table with these stages, each pair once on a path."""
    stages = frozenset(stage for stage, wanted in zip(STAGES[:-1], ordered, strict=True) if wanted)
    walked: set[tuple[WarmState, WarmEvent]] = set()

    def walk(state: WarmState, path: frozenset[tuple[WarmState, WarmEvent]], done: tuple[WarmDo, ...]) -> None:
        for event in WarmEvent:
            step = TABLE[state, event]
            if step is IMPOSSIBLE or state is WarmState.OVER or (state, event) in path:
                continue
            walked.add((state, event))
            after = next_stage(state, stages) if step.to is None else step.to
            all_done = (*done, *step.do, *(ENTERED[after] if step.to is None else ()))
            joined = WarmDo.JOIN in all_done
            assert joined or after not in (WarmState.TOGETHER, WarmState.JOINED)
            if joined:
                assert all_done.index(WarmDo.CLAIM) < all_done.index(WarmDo.JOIN), "claimed before it is joined"
            if after is WarmState.OVER:
                ended = [each for each in all_done if each in ENDS]
                left = event in (WarmEvent.CUSTOMER_GONE, WarmEvent.CALL_ENDS, WarmEvent.TAKEN)
                assert len(ended) == (0 if left else 1), (state, event)
                assert (WarmDo.FAILED not in ended) or not joined, "nobody is called once two are joined"
                gone = event in (WarmEvent.LEAVES, WarmEvent.LOST, WarmEvent.NOT_REACHED)
                assert gone or {WarmDo.DROP, WarmDo.TELL_TAKEN} & set(step.do), "no phone rings on, no leg is left"
            elif after is not state:
                walk(after, path | {(state, event)}, all_done)

    walk(WarmState.CALLING, frozenset(), ())
    visited = {WarmState.CALLING, WarmState.RINGING, WarmState.JOINED, *stages}
    assert walked == {pair for pair, step in TABLE.items() if step is not IMPOSSIBLE and pair[0] in visited}


@pytest.mark.parametrize("state", [state for state in WarmState if state is not WarmState.OVER])
@pytest.mark.parametrize("event", [WarmEvent.CUSTOMER_GONE, WarmEvent.CALL_ENDS])
def test_whoever_ends_the_call_ends_it_in_every_state(state: WarmState, event: WarmEvent) -> None:
    step = TABLE[state, event]
    assert step is not None
    assert (step.to, step.do) == (WarmState.OVER, (WarmDo.DROP,))


def test_what_is_impossible_raises_and_names_both() -> None:
    with pytest.raises(LookupError, match=r"agent has spoken.*calling"):
        offer().happened(WarmEvent.SPOKEN, 1.0)


def test_all_stages_in_their_order() -> None:
    made = offer()
    assert made.happened(WarmEvent.RINGS, 1.0) == (WarmDo.TELL_RINGING,)
    assert made.happened(WarmEvent.ANSWERS, 2.0) == (WarmDo.TELL_ANSWERED, WarmDo.ASK)
    assert made.answered_by(AnsweredBy.HUMAN, 3.0) == ()
    assert made.happened(WarmEvent.SPOKEN, 6.0) == ()
    assert made.presses("5", 7.0) == (WarmDo.ASK,)
    assert made.presses("1", 8.0) == (WarmDo.CUT, WarmDo.CLAIM, WarmDo.BRIEF)
    assert made.happened(WarmEvent.SPOKEN, 12.0) == (WarmDo.CLAIM, WarmDo.CONSULT)
    assert made.answered_by(AnsweredBy.HUMAN, 12.5) == ()
    assert made.says(True, 13.0) == (WarmDo.CUT, WarmDo.CLAIM, WarmDo.JOIN, WarmDo.INTRODUCE)
    assert made.joined
    assert made.happened(WarmEvent.SPOKEN, 14.0) == (WarmDo.CLAIM, WarmDo.JOIN)
    assert made.deadline is None
    assert made.leaves(60.0, lost=False) == (WarmDo.AFTERWARDS,)
    assert made.refusal is None


def test_without_a_key_to_press_it_is_found_out_first_who_answered() -> None:
    made = offer(TOLD)
    assert made.happened(WarmEvent.ANSWERS, 2.0) == (WarmDo.TELL_ANSWERED, WarmDo.CHECK)
    assert made.answered_by(AnsweredBy.HUMAN, 3.0) == (WarmDo.CLAIM, WarmDo.BRIEF)


def test_without_any_stage_answering_is_joining() -> None:
    made = offer(Warm(), checks=False)
    assert made.happened(WarmEvent.ANSWERS, 2.0) == (WarmDo.TELL_ANSWERED, WarmDo.CLAIM, WarmDo.JOIN)


@pytest.mark.parametrize(
    ("who", "end"),
    [
        (AnsweredBy.VOICEMAIL, TransferEnd.VOICEMAIL),
        (AnsweredBy.MAILBOX_FULL, TransferEnd.VOICEMAIL),
        (AnsweredBy.FAX, TransferEnd.FAILED),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_machine_is_not_a_human(who: AnsweredBy, end: TransferEnd, late: bool) -> None:
    made = answered(TOLD)
    if late:
        made.answered_by(AnsweredBy.HUMAN, 6.0)
    assert made.answered_by(who, 7.0) == (WarmDo.DROP, WarmDo.FAILED)
    assert made.refusal is not None
    assert made.refusal.end is end


def test_silence_counts_only_as_long_as_nothing_is_said_to_them() -> None:
    made = answered(TOLD)
    assert made.answered_by(AnsweredBy.SILENCE, 13.0) == (WarmDo.DROP, WarmDo.FAILED)
    assert made.refusal is not None
    assert made.refusal.end is TransferEnd.NO_ANSWER
    asked = answered()
    assert asked.answered_by(AnsweredBy.SILENCE, 13.0) == ()
    assert asked.state is WarmState.ASKING


def test_nobody_is_left_waiting_because_it_is_not_known_who_answered() -> None:
    made = answered(TOLD)
    assert made.due(5.0 + TOLD.detect_limit_s - 0.1) == ()
    assert made.due(5.0 + TOLD.detect_limit_s) == (WarmDo.CLAIM, WarmDo.BRIEF)


@pytest.mark.parametrize("state", [state for state in WarmState if state not in (WarmState.JOINED, WarmState.OVER)])
def test_each_state_has_its_limit(state: WarmState) -> None:
    made = offer(TOLD if state is WarmState.CHECKING else WHOLE)
    for event in (WarmEvent.RINGS, WarmEvent.ANSWERS, WarmEvent.PRESSES_1, WarmEvent.SPOKEN, WarmEvent.AGREES):
        if made.state is state:
            break
        made.happened(event, 1.0)
    assert made.state is state
    assert made.deadline is not None
    before = made.state
    assert made.due(made.deadline) != ()
    assert made.state is not before


@pytest.mark.parametrize(
    ("how", "end", "reason"),
    [
        (lambda made: made.presses("2", 9.0), TransferEnd.DECLINED, "the human pressed 2"),
        (lambda made: made.due(99.0), TransferEnd.NO_ANSWER, "the human did not accept in time"),
        (lambda made: made.leaves(9.0, lost=False), TransferEnd.DECLINED, "the human hung up before they were joined"),
        (lambda made: made.leaves(9.0, lost=True), TransferEnd.FAILED, "the human's leg was lost"),
        (lambda made: made.too_late(9.0), TransferEnd.NO_ANSWER, "nobody accepted in time"),
    ],
)
def test_why_a_human_has_not_taken_the_call(how: object, end: TransferEnd, reason: str) -> None:
    made = answered(checks=False)
    assert WarmDo.FAILED in how(made)  # type: ignore[operator]
    assert made.refusal == Refusal(end, reason)


# --- hunting ----------------------------------------------------------------------------------------------------------


def hunt(targets: int = 3, *, at_once: bool = False, within_s: float = 60.0) -> Hunt:
    return Hunt([f"t{n}" for n in range(targets)], at_once=at_once, within_s=within_s, now=0.0)


def test_one_after_another_until_somebody_accepts() -> None:
    made = hunt()
    assert made.begin() == (0,)
    assert made.refused(0, REFUSAL, 1.0) == (1,)
    assert not made.exhausted
    assert made.claim(1) == ()
    assert made.deadline is None
    assert made.late(1000.0) == ()


def test_all_have_refused() -> None:
    made = hunt(2)
    made.begin()
    made.refused(0, Refusal(TransferEnd.NO_ANSWER, "timeout", 408), 1.0)
    assert made.refused(1, REFUSAL, 2.0) == ()
    assert made.exhausted
    result = made.result()
    assert (result.end, result.sip_status, result.reason) == (TransferEnd.NO_ANSWER, 0, "t0: no_answer; t1: busy")


def test_one_target_has_its_own_reason() -> None:
    made = hunt(1)
    made.begin()
    made.refused(0, REFUSAL, 1.0)
    result = made.result()
    assert (result.end, result.sip_status, result.reason) == (TransferEnd.BUSY, 486, "Busy here")


def test_all_at_once_and_the_first_to_accept_has_it() -> None:
    made = hunt(at_once=True)
    assert made.begin() == (0, 1, 2)
    assert made.refused(2, REFUSAL, 1.0) == ()
    assert made.claim(1) == (0,)
    assert made.claim(0) == (), "two accept in the same instant: the second is told that it is taken"
    assert made.refused(1, Refusal(TransferEnd.DECLINED, "hung up"), 2.0) == ()
    assert made.exhausted, "those that were told it is taken are not waited for"


def test_a_human_who_leaves_before_they_are_joined_makes_it_go_on() -> None:
    made = hunt(2)
    made.begin()
    made.claim(0)
    assert made.refused(0, Refusal(TransferEnd.DECLINED, "hung up"), 2.0) == (1,)
    assert made.deadline == 60.0


def test_the_time_for_all() -> None:
    made = hunt(at_once=True)
    made.begin()
    made.refused(1, REFUSAL, 1.0)
    assert made.late(59.9) == ()
    assert made.late(60.0) == (0, 2)
    assert made.refused(0, REFUSAL, 60.0) == ()


# --- data for the human -----------------------------------------------------------------------------------------------


def test_screen_data_as_headers() -> None:
    order = Warm(headers={"X-Account": " 4711 "}, user_to_user="Ada")
    assert problem_of(order) is None
    assert screen_headers(order) == {"X-Account": "4711", "User-to-User": "416461;encoding=hex"}
    assert screen_headers(None) == {}


@pytest.mark.parametrize(
    "order",
    [
        Warm(headers={"From": "x"}),
        Warm(headers={"X-A\r\nVia": "x"}),
        Warm(headers={"X-A": "x\r\nVia: y"}),
        Warm(headers={"X-A": "x" * 257}),
        Warm(headers={"X-A": " "}),
        Warm(headers={f"X-{n}": "x" for n in range(9)}),
        Warm(user_to_user="é" * 65),
    ],
)
def test_what_cannot_be_a_header(order: Warm) -> None:
    assert problem_of(order)
