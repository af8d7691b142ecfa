"""Session timers (RFC 4028): what is requested and agreed, and when a refresh or the end is due."""

from __future__ import annotations

import math

import pytest

from telephony.sip.headers import Headers, Line
from telephony.sip.session_timer import (
    SessionDue,
    SessionExpires,
    SessionPolicy,
    SessionTimer,
    read_session_expires,
)


def headers(*texts: str) -> Headers:
    return Headers([Line(text.partition(":")[0].lower(), text) for text in texts])


ABLE = "Supported: timer"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1800", SessionExpires(1800, "")),
        ("1800;", SessionExpires(1800, "")),
        ("90 ; refresher=UAS", SessionExpires(90, "uas")),
        ("90;x=y;refresher=uac;z", SessionExpires(90, "uac")),
        ("999999999", SessionExpires(86_400, "")),
        ("18x", None),
        ("-1", None),
        ("", None),
        ("9999999999", None),
    ],
)
def test_the_header(text: str, read: SessionExpires | None) -> None:
    assert read_session_expires(headers(f"Session-Expires: {text}")) == read


@pytest.mark.parametrize(
    ("refresher", "value"), [("us", "600;refresher=uac"), ("them", "600;refresher=uas"), ("either", "600")]
)
def test_what_our_request_asks(refresher: str, value: str) -> None:
    timer = SessionTimer(SessionPolicy(600, refresher))  # type: ignore[arg-type]
    assert timer.asks() == [("Session-Expires", value), ("Min-SE", "90")]


@pytest.mark.parametrize(("said", "refresh_at"), [("100;refresher=uac", 50), ("100", 50), ("100;refresher=uas", None)])
def test_an_answer_says_who_refreshes_and_when(said: str, refresh_at: float | None) -> None:
    timer = SessionTimer(SessionPolicy())
    timer.accepted(headers(f"Session-Expires: {said}"), 0.0)
    if refresh_at is not None:
        assert (timer.due(refresh_at - 0.1), timer.due(refresh_at)) == (None, SessionDue.REFRESH)
        assert timer.due(refresh_at + 1) is None  # once
    ends_at = 100 - 32
    assert (timer.due(ends_at - 0.1), timer.due(ends_at), timer.due(ends_at + 1)) == (None, SessionDue.END, None)


def test_a_refresh_that_goes_well_begins_anew_with_the_same_roles() -> None:
    timer = SessionTimer(SessionPolicy(90, "them"))
    timer.accepted(headers("Session-Expires: 90;refresher=uac"), 0.0)
    assert timer.due(45.0) is SessionDue.REFRESH
    assert timer.asks()[0] == ("Session-Expires", "90;refresher=uac")
    timer.accepted(headers("Session-Expires: 90;refresher=uac"), 45.1)
    assert timer.next_at == pytest.approx(90.1)


def test_an_answer_without_the_header_is_the_end_of_it() -> None:
    timer = SessionTimer(SessionPolicy())
    timer.accepted(headers("Session-Expires: 90"), 0.0)
    timer.accepted(headers(ABLE), 40.0)
    assert (timer.running, timer.next_at) == (False, math.inf)


def test_a_refresh_that_is_refused_is_tried_again_in_what_is_left() -> None:
    timer = SessionTimer(SessionPolicy())
    timer.accepted(headers("Session-Expires: 96;refresher=uac"), 0.0)
    assert timer.due(48.0) is SessionDue.REFRESH
    timer.failed(48.0)
    assert (timer.due(55.0), timer.due(56.0)) == (None, SessionDue.REFRESH)
    for at in (56.0, 60.0, 62.0):
        timer.failed(at)
    assert timer.due(64.0) is SessionDue.END


def test_a_longer_interval_is_taken_up_to_three_times() -> None:
    timer = SessionTimer(SessionPolicy(300, "us"))
    assert timer.too_short(headers("Min-SE: 600"))
    assert timer.asks() == [("Session-Expires", "600;refresher=uac"), ("Min-SE", "600")]
    assert timer.too_short(headers("Min-SE: 700"))
    assert not timer.too_short(headers("Min-SE: 100"))  # less than it has wanted before
    assert not timer.too_short(headers("Min-SE: 800"))
    assert not SessionTimer(SessionPolicy()).too_short(headers("Min-SE: 999999"))
    assert not SessionTimer(SessionPolicy()).too_short(headers(ABLE))


@pytest.mark.parametrize(
    ("policy", "asked", "answer", "we_refresh"),
    [  # RFC 4028 table 2: who is able, what the request says of the refresher, who it is
        ("either", ("Session-Expires: 300", ABLE), "300;refresher=uac", False),
        ("us", ("Session-Expires: 300", ABLE), "300;refresher=uas", True),
        ("us", ("Session-Expires: 300;refresher=uac", ABLE), "300;refresher=uac", False),
        ("them", ("Session-Expires: 300;refresher=uas", ABLE), "300;refresher=uas", True),
        ("them", ("Session-Expires: 300",), "300;refresher=uas", True),  # a proxy wants it, the phone does not know it
        ("either", ("Session-Expires: 9000", ABLE), "1800;refresher=uac", False),
        ("either", ("Session-Expires: 9000", "Min-SE: 4000", ABLE), "4000;refresher=uac", False),
        ("either", (ABLE,), "", None),
        ("us", (ABLE,), "1800;refresher=uas", True),
        ("us", (), "1800;refresher=uas", True),
    ],
)
def test_what_is_agreed_to(policy: str, asked: tuple[str, ...], answer: str, we_refresh: bool | None) -> None:
    timer = SessionTimer(SessionPolicy(1800, policy))  # type: ignore[arg-type]
    said = timer.answers(headers(*asked), 0.0)
    assert [value for name, value in said if name == "Session-Expires"] == ([answer] if answer else [])
    assert (("Require", "timer") in said) == answer.endswith("uac")
    assert timer.running == (we_refresh is not None)
    if we_refresh is not None:
        assert (timer.due(5000) is SessionDue.END) or we_refresh  # ours comes first


def test_too_short_a_session_is_refused_to_those_who_know_why() -> None:
    assert SessionTimer.refuses(headers("Session-Expires: 89", ABLE))
    assert not SessionTimer.refuses(headers("Session-Expires: 89"))
    assert not SessionTimer.refuses(headers("Session-Expires: 90", ABLE))


def test_however_short_a_peer_makes_it_no_flood_comes_of_it() -> None:
    timer = SessionTimer(SessionPolicy())
    timer.accepted(headers("Session-Expires: 0;refresher=uac"), 0.0)
    assert timer.next_at == 1.0
