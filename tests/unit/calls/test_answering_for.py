"""What counts for one call: the order, over its persona, over the settings."""

from __future__ import annotations

from typing import Any

import pytest

from agent.answering import Answering, AnsweringAction
from gateway.calls.answering import answering_for
from gateway.config.answering import merged
from telephony.media.answering.model import AnsweredBy

PERSONA = Answering(
    message="the persona's", limit_s=8.0, actions={AnsweredBy.IVR: AnsweringAction.HANG_UP}, detect=True
)
SETTINGS = {"detect": False, "message": "the settings'", "screener": "the settings'", "actions": {"ivr": "talk"}}


@pytest.mark.parametrize(
    ("order", "persona", "settings", "asked"),
    [
        (None, None, {}, False),
        (None, None, {"detect": True}, True),
        (None, PERSONA, {}, True),
        (None, Answering(detect=False), {"detect": True}, False),
        ({}, None, {}, True),
        ({"message": "x"}, Answering(detect=False), {}, True),
        ({"detect": False, "message": "x"}, PERSONA, {"detect": True}, False),
    ],
)
def test_whether_anybody_asks_who_has_answered(
    order: dict[str, Any] | None, persona: Answering | None, settings: dict[str, Any], asked: bool
) -> None:
    assert (answering_for(order, persona, settings) is not None) is asked


def test_each_field_is_the_upper_ones_that_say_it() -> None:
    order = {"message": "the order's", "actions": {"fax": "talk"}}
    found = answering_for(order, PERSONA, SETTINGS)
    assert found is not None
    assert (found.message, found.screener, found.limit_s, found.menu_limit_s) == (
        "the order's",
        "the settings'",
        8,
        600,
    )
    assert found.actions == {AnsweredBy.IVR: AnsweringAction.HANG_UP, AnsweredBy.FAX: AnsweringAction.TALK}
    plain = answering_for({}, PERSONA, SETTINGS)
    assert plain is not None and plain.message == "the persona's"
    empty = answering_for({"message": ""}, PERSONA, SETTINGS)
    assert empty is not None and empty.message == "", "an order may ask for no message"


def test_an_order_over_its_dialplan() -> None:
    below = {"detect": False, "message": "below", "limit_s": 9.0, "actions": {"ivr": "hang_up", "fax": "talk"}}
    assert merged(None, None) is None
    assert merged(below, None) == below
    assert merged(None, {}) == {}
    above = {"message": "above", "actions": {"fax": "hang_up"}}
    assert merged(below, above) == {
        "message": "above", "limit_s": 9.0, "actions": {"ivr": "hang_up", "fax": "hang_up"},
    }  # fmt: skip
