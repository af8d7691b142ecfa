"""The table of a dialog's states."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from telephony.edge.dialog_states import LIVE, STEPS, DialogEvent, DialogState, next_state, table
from telephony.errors import TelephonyMisuse

DOCS = Path(__file__).parents[3] / "docs" / "edge.md"


@pytest.mark.parametrize(("state", "event"), list(product(DialogState, DialogEvent)))
def test_what_is_not_in_the_table_is_refused_and_named(state: DialogState, event: DialogEvent) -> None:
    if (state, event) in STEPS:
        assert next_state(state, event) is STEPS[state, event]
    else:
        with pytest.raises(TelephonyMisuse, match=f"{event} is not possible while {state}"):
            next_state(state, event)


def test_the_edge_can_end_whatever_lives_and_nothing_comes_back_to_life() -> None:
    assert {state for state in DialogState if (state, DialogEvent.CUT) in STEPS} >= LIVE
    assert all(after not in LIVE for (before, _), after in STEPS.items() if before not in LIVE)


def test_the_docs_show_the_table_as_it_is() -> None:
    assert table() in DOCS.read_text(encoding="utf-8")
