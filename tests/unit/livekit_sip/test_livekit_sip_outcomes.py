"""What SIP statuses mean for calls that we place."""

from __future__ import annotations

import pytest

from telephony.call import CallOutcome, OutcomeKind, TransferOutcome, outcome_kind

KINDS = {
    OutcomeKind.ANSWERED: [200, 202],
    OutcomeKind.BUSY: [486, 600],
    OutcomeKind.NO_ANSWER: [408, 480],
    OutcomeKind.REJECTED: [403, 433, 603, 607, 608],
    OutcomeKind.INVALID_NUMBER: [404, 410, 484, 485, 604],
    OutcomeKind.REDIRECTED: [300, 301, 302, 380],
    OutcomeKind.FAILED: [0, 400, 401, 407, 487, 488, 500, 502, 503, 504, 606, 699],
}


@pytest.mark.parametrize(("status", "kind"), [(status, kind) for kind, every in KINDS.items() for status in every])
def test_the_table(status: int, kind: OutcomeKind) -> None:
    assert outcome_kind(status) is kind


@pytest.mark.parametrize("status", [0, 487])
def test_what_we_cancelled_ourselves_was_not_answered(status: int) -> None:
    assert outcome_kind(status, gave_up=True) is OutcomeKind.NO_ANSWER


@pytest.mark.parametrize(("status", "kind"), [(486, OutcomeKind.BUSY), (200, OutcomeKind.ANSWERED)])
def test_an_answer_that_crossed_our_cancel_counts(status: int, kind: OutcomeKind) -> None:
    assert outcome_kind(status, gave_up=True) is kind


@pytest.mark.parametrize("status", [100, 183, 199, 700, -1])
def test_only_final_statuses_mean_something(status: int) -> None:
    with pytest.raises(ValueError, match="not a final SIP status"):
        outcome_kind(status)


def test_outcomes_say_whether_it_went_well() -> None:
    assert CallOutcome(OutcomeKind.ANSWERED, 200, "OK").answered
    assert not CallOutcome(OutcomeKind.BUSY, 486, "Busy Here").answered
    assert TransferOutcome(OutcomeKind.ANSWERED, 200, "OK").transferred
    assert not TransferOutcome(OutcomeKind.FAILED, 405, "Method Not Allowed").transferred


@pytest.mark.parametrize(
    ("status", "cause", "kind"),
    [
        (480, 17, OutcomeKind.BUSY),
        (480, 18, OutcomeKind.NO_ANSWER),
        (503, 1, OutcomeKind.INVALID_NUMBER),
        (500, 28, OutcomeKind.INVALID_NUMBER),
        (603, 17, OutcomeKind.BUSY),
        (500, 21, OutcomeKind.REJECTED),
        (480, 34, OutcomeKind.FAILED),
        (408, 38, OutcomeKind.FAILED),
        (408, 102, OutcomeKind.NO_ANSWER),  # as much as the status says
        (407, 21, OutcomeKind.FAILED),
        (486, 16, OutcomeKind.BUSY),
        (200, 31, OutcomeKind.ANSWERED),
    ],
)
def test_a_cause_says_more_than_a_status(status: int, cause: int, kind: OutcomeKind) -> None:
    assert outcome_kind(status, cause=cause) is kind
