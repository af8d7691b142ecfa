"""The consequences of a leg's end: the whole table, and its copy in the docs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from gateway.calls.ends import CallState, Consequence, LegEnd, as_markdown, consequences
from telephony.call import LegRole

DOCS = Path(__file__).parents[3] / "docs" / "architecture.md"
ALIVE = [state for state in CallState if state is not CallState.ENDING]


@pytest.mark.parametrize(("state", "why"), [*product(ALIVE, LegEnd)])
def test_without_its_customer_a_call_ends_and_nobody_is_left_ringing(state: CallState, why: LegEnd) -> None:
    assert consequences(LegRole.CUSTOMER, state, why) == (Consequence.CANCEL_RINGING, Consequence.END_CALL)


@pytest.mark.parametrize(("role", "why"), [*product(LegRole, LegEnd)])
def test_a_call_that_is_ending_ends_once(role: LegRole, why: LegEnd) -> None:
    assert consequences(role, CallState.ENDING, why) == (Consequence.GO_ON,)


@pytest.mark.parametrize("why", [LegEnd.HUNG_UP, LegEnd.ENDED_BY_US, LegEnd.FAILED, LegEnd.WORKER_LOST])
def test_a_customer_whom_a_human_leaves_is_the_agents_again(why: LegEnd) -> None:
    assert consequences(LegRole.HUMAN, CallState.JOINED, why) == (Consequence.BACK_TO_AGENT,)


def test_one_who_still_rang_was_not_who_talks() -> None:
    assert consequences(LegRole.HUMAN, CallState.JOINED, LegEnd.NOT_ANSWERED) == (Consequence.GO_ON,)


@pytest.mark.parametrize("why", LegEnd)
def test_a_human_who_is_not_reached_leaves_the_customer_with_the_agent(why: LegEnd) -> None:
    assert consequences(LegRole.HUMAN, CallState.DIALLING, why) == (Consequence.GO_ON,)


@pytest.mark.parametrize(("state", "why"), [*product(CallState, LegEnd)])
def test_a_supervisor_only_listens(state: CallState, why: LegEnd) -> None:
    assert consequences(LegRole.SUPERVISOR, state, why) == (Consequence.GO_ON,)


def test_the_docs_show_the_table_as_it_is() -> None:
    shown = DOCS.read_text().partition("<!-- python -m gateway.calls.ends -->")[2].partition("<!-- end -->")[0]
    assert shown.strip() == as_markdown()
