"""Which other numbers a 3xx of a trunk may send a call to."""

from __future__ import annotations

import pytest

from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls
from gateway.outbound.trunks import OutboundTrunks
from tests.unit.outbound.trunks_made import settings_of, trunk


@pytest.mark.parametrize(
    ("number", "may"),
    [
        ("+15557001234", True),
        ("+4930123456", False),  # not among the destinations
        ("911", False),
        ("+1", False),
        ("bob", False),
        ("", False),
    ],
)
def test_only_numbers_that_may_be_called_over_the_trunk(number: str, may: bool) -> None:
    live = LiveCalls()
    made = settings_of(trunk(outbound={"destinations": ["+1555700"]}))
    trunks = OutboundTrunks(made, live, Dispatcher(live), lambda message: None, now=lambda: 0.0)
    assert trunks.may_redirect(made.sip.trunks[0].name, number) is may
