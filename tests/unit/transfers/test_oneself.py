"""Transfers to who is in the call already."""

from __future__ import annotations

import pytest

from agent.warm.asking import Refused
from gateway.live_calls import LiveCall
from gateway.transfers.oneself import not_oneself

INBOUND = LiveCall("c1", customer="+15557009", ours="+15550199")
OUTBOUND = LiveCall("c2", customer="+15557009")
WITHHELD = LiveCall("c3", ours="+15550199")


@pytest.mark.parametrize(
    "to", ["+15557009", "15557009", "tel:+1-555-7009", "sip:+15557009@10.1.2.3:5070", "sip:+15557009;x=1@10.1.2.3"]
)
@pytest.mark.parametrize("call", [INBOUND, OUTBOUND])
def test_the_caller_is_not_transferred_to_themselves(call: LiveCall, to: str) -> None:
    with pytest.raises(Refused) as refused:
        not_oneself(call, to)
    assert refused.value.kind == "invalid_target"
    assert "own number" in refused.value.text


def test_nor_back_to_the_number_that_they_called() -> None:
    for call in (INBOUND, WITHHELD):
        with pytest.raises(Refused) as refused:
            not_oneself(call, "+15550199")
        assert "come back" in refused.value.text


@pytest.mark.parametrize("to", ["+15557001", "sip:desk@10.1.2.3", "phone:anna", "queue:desk", "nonsense"])
def test_anybody_else_is(to: str) -> None:
    for call in (INBOUND, OUTBOUND, WITHHELD):
        not_oneself(call, to)
