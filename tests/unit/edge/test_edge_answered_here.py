"""In-dialog requests that no worker sees: what the edge answers and reports."""

from __future__ import annotations

import pytest
from edge_world import World, call_request, first_request, statuses, values

from telephony.edge.hops import DigitPressed
from telephony.sip.parse import Response

RELAY = ("Content-Type: application/dtmf-relay",)


@pytest.mark.parametrize(
    ("method", "more", "body", "status", "header"),
    [
        ("OPTIONS", (), b"", 200, "allow"),
        ("INFO", (), b"", 200, ""),
        ("INFO", ("Info-Package: conference",), b"", 469, "recv-info"),
        ("INFO", ("Info-Package: conference", "Content-Type: text/plain"), b"x", 469, "recv-info"),
        ("INFO", ("Content-Type: application/media_control+xml",), b"<x/>", 415, "accept"),
        ("INFO", ("Content-Type: application/dtmf-relay",), b"Signal=", 400, ""),
        ("NOTIFY", ("Event: refer", "Subscription-State: active"), b"", 481, ""),
        ("SUBSCRIBE", ("Event: dialog",), b"", 489, "allow-events"),
        ("MESSAGE", ("Content-Type: text/plain",), b"hello", 415, "accept"),
        ("REFER", ("Refer-To: <sip:a@b>",), b"", 405, "allow"),
        ("PUBLISH", (), b"", 405, "allow"),
        ("XYZZY", (), b"", 405, "allow"),
        ("OPTIONS", ("Require: foo",), b"", 420, "unsupported"),
    ],
)
def test_what_a_worker_need_not_see(
    world: World, method: str, more: tuple[str, ...], body: bytes, status: int, header: str
) -> None:
    world.established()
    world.caller(call_request(method, cseq=2, to_tag="bob", more=more, body=body))
    (answer,) = world.to_public()
    assert isinstance(answer, Response)
    assert (answer.status, answer.to_tag) == (status, "bob")
    assert not header or header in answer.headers
    assert (world.workers, world.told) == ([], [])


def test_allow_and_supported_name_what_is_done(world: World) -> None:
    world.established()
    world.caller(call_request("OPTIONS", cseq=2, to_tag="bob", body=b""))
    (answer,) = world.to_public()
    assert values(answer, "allow") == ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "NOTIFY", "PRACK", "UPDATE"]
    assert values(answer, "supported") == ["timer", "100rel"]


def test_a_key_is_told_once_however_often_its_info_comes(world: World) -> None:
    world.established()
    info = call_request("INFO", cseq=2, to_tag="bob", more=RELAY, body=b"Signal=5")
    world.caller(info)
    world.caller(info)
    assert statuses(world) == [200, 200]
    assert world.told == [DigitPressed("c1", "5", 0)]
    again = call_request("INFO", cseq=3, branch="z9hG4bKb", to_tag="bob", more=RELAY, body=b"Signal=5\r\nDuration=90")
    world.caller(again)
    assert world.told == [DigitPressed("c1", "5", 0), DigitPressed("c1", "5", 90)]


@pytest.mark.parametrize("more", [("Content-Type: application/dtmf",), ("c: Application/DTMF ; x=1",)])
def test_the_other_kind_of_info(world: World, more: tuple[str, ...]) -> None:
    world.established()
    world.caller(call_request("INFO", cseq=2, to_tag="bob", more=(*more, "Content-Type-X: 1"), body=b"#"))
    assert statuses(world) == [200]
    assert world.told == [DigitPressed("c1", "#", 0)]


def test_a_key_before_the_answer_is_told_and_kept_by_who_has_the_call(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 180))
    world.to_public()
    world.caller(call_request("INFO", cseq=2, to_tag="bob", branch="z9hG4bKc", more=RELAY, body=b"Signal=5"))
    assert statuses(world) == [200]
    assert world.told == [DigitPressed("c1", "5", 0)]


def test_a_key_after_the_end_is_answered_and_not_told(world: World) -> None:
    world.established()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    world.caller(call_request("INFO", cseq=3, to_tag="bob", branch="z9hG4bKc", more=RELAY, body=b"Signal=5"))
    assert statuses(world) == [200]
    assert world.told == []
