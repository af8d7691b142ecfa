"""By which ways a leg hears and sends keys."""

from __future__ import annotations

import pytest

from telephony.errors import DigitsNotSent
from telephony.keys import DigitSource, KeyFigures, KeyTerms, KeyWays

RTP, INFO, INBAND = DigitSource.RTP, DigitSource.INFO, DigitSource.INBAND


def ways(*, agreed: bool | None, way: DigitSource | None = None, events_work: bool = False) -> KeyWays:
    made = KeyWays(KeyTerms(way, events_work))
    if agreed is not None:
        made.describe(agreed=agreed)
    return made


@pytest.mark.parametrize(
    ("agreed", "way", "events_work", "listens"),
    [
        (None, None, False, False),  # before there is a session description
        (False, None, False, True),
        (False, None, True, True),  # this leg has no events, whatever its trunk does as a rule
        (True, None, False, True),  # not proven yet
        (True, None, True, False),
        (True, INBAND, True, True),
        (False, RTP, False, False),
        (False, INFO, False, False),
    ],
)
def test_listening_in_band(agreed: bool | None, way: DigitSource | None, events_work: bool, listens: bool) -> None:
    assert ways(agreed=agreed, way=way, events_work=events_work).listens_in_band is listens


@pytest.mark.parametrize(
    ("came", "way", "listens"),
    [(RTP, None, False), (INFO, None, False), (INBAND, None, True), (RTP, INBAND, True)],
)
def test_the_first_event_or_info_proves_that_nothing_else_is_needed(
    came: DigitSource, way: DigitSource | None, listens: bool
) -> None:
    leg = ways(agreed=True, way=way)
    leg.came(came)
    assert leg.listens_in_band is listens


@pytest.mark.parametrize(
    ("agreed", "way", "asked", "sent"),
    [
        (True, None, None, RTP),
        (False, None, None, INBAND),
        (None, None, None, INBAND),
        (True, INFO, None, INFO),
        (True, INBAND, None, INBAND),
        (True, INBAND, RTP, RTP),
        (True, None, INFO, INFO),
        (False, None, INFO, INFO),
    ],
)
def test_sending(agreed: bool | None, way: DigitSource | None, asked: DigitSource | None, sent: DigitSource) -> None:
    assert ways(agreed=agreed, way=way).sends_by(asked) is sent


def test_events_that_nobody_agreed_to_are_not_sent() -> None:
    for leg, asked in ((ways(agreed=False), RTP), (ways(agreed=False, way=RTP), None)):
        with pytest.raises(DigitsNotSent) as caught:
            leg.sends_by(asked)
        assert caught.value.kind == "no_events"


def test_presses_are_counted_by_their_ways() -> None:
    leg = ways(agreed=True)
    for way in (INBAND, RTP, RTP):
        leg.came(way)
    assert leg.figures == KeyFigures(rfc4733=2, info=0, inband=1, first="inband", agreed=True)
