"""A REFER of ours within a call, and what its peer reports (RFC 3515): all of it ends in the edge."""

from __future__ import annotations

import pytest
from edge_world import CALLER, World, call_request, first_request, make_world, statuses, values, worker_request

from telephony.edge.hops import Hop, ReferAnswered, ReferNotified
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials
from telephony.sip.parse import Request

TARGET = "sip:human@10.1.2.9"


def refer(world: World) -> Request:
    world.perform(world.core.refer("c1", TARGET, world.now))
    (request,) = world.to_public()
    assert isinstance(request, Request)
    return request


def notify(body: bytes, *, cseq: int = 2, state: str = "active;expires=60", event: str = "refer") -> bytes:
    more = (f"Event: {event}", f"Subscription-State: {state}", "Content-Type: message/sipfrag;version=2.0")
    return call_request("NOTIFY", cseq=cseq, to_tag="bob", branch=f"z9hG4bKn{cseq}", more=more, body=body)


def told(world: World) -> list[ReferAnswered | ReferNotified]:
    return [each for each in world.told if isinstance(each, ReferAnswered | ReferNotified)]


def test_the_refer_is_the_calls_own_and_names_who_asks() -> None:
    world = make_world()
    world.established()
    request = refer(world)
    assert (request.method, request.call_id, request.from_tag, request.to_tag) == ("REFER", "call-1", "bob", "alice")
    assert values(request, "refer-to") == [f"<{TARGET}>"]
    assert values(request, "referred-by") == ["<sip:+15550199@192.0.2.1>"]
    assert values(request, "contact") == ["<sip:192.0.2.1:5060>"]
    assert world.to_worker() == []


def test_its_end_is_followed_and_the_worker_sees_none_of_it() -> None:
    world = make_world()
    world.established()
    request = refer(world)
    world.caller(world.answer(request, 202))
    world.caller(notify(b"SIP/2.0 100 Trying\r\n", cseq=2))
    world.caller(notify(b"SIP/2.0 180 Ringing\r\n", cseq=3))
    world.caller(notify(b"SIP/2.0 180 Ringing\r\n", cseq=3))  # again, as its answer was lost
    world.caller(notify(b"SIP/2.0 200 OK\r\n", cseq=4, state="terminated;reason=noresource"))
    assert statuses(world) == [200, 200, 200, 200]
    assert told(world) == [
        ReferAnswered("c1", 202, "Whatever"),
        ReferNotified("c1", 100, "Trying", False),
        ReferNotified("c1", 180, "Ringing", False),
        ReferNotified("c1", 200, "OK", True),
    ]
    assert world.to_worker() == []
    world.caller(notify(b"SIP/2.0 200 OK\r\n", cseq=5))
    assert statuses(world) == [481], "the subscription is over"


@pytest.mark.parametrize("status", [405, 501, 603])
def test_a_refusal_is_told_and_there_is_no_subscription(status: int) -> None:
    world = make_world()
    world.established()
    world.caller(world.answer(refer(world), status))
    assert told(world) == [ReferAnswered("c1", status, "Whatever")]
    world.caller(notify(b"SIP/2.0 200 OK\r\n"))
    assert statuses(world) == [481]
    assert refer(world).method == "REFER", "another try is possible"


def test_without_an_answer_it_is_sent_again_and_given_up() -> None:
    world = make_world()
    world.established()
    refer(world)
    world.tick(33)
    again = [message for message in world.to_public() if isinstance(message, Request)]
    assert {message.method for message in again} == {"REFER"}
    assert len(again) > 5
    (end,) = told(world)
    assert (end.status, end.leg_id) == (0, "c1")


def test_a_notify_may_come_first_and_after_the_bye() -> None:
    world = make_world()
    world.established()
    request = refer(world)
    world.caller(notify(b"SIP/2.0 100 Trying\r\n", cseq=2))
    world.caller(world.answer(request, 202))
    world.caller(call_request("BYE", cseq=3, to_tag="bob", branch="z9hG4bKbye", body=b""))
    world.caller(notify(b"SIP/2.0 200 OK\r\n", cseq=4, state="terminated"))
    assert [each.status for each in told(world)] == [100, 202, 200]


def test_later_requests_of_the_worker_have_numbers_above_it() -> None:
    world = make_world()
    world.established()
    world.worker(worker_request("UPDATE", cseq=7))
    before = first_request(world.to_public()).cseq
    request = refer(world)
    world.worker(worker_request("UPDATE", cseq=7))
    repeated = first_request(world.to_public()).cseq
    world.worker(worker_request("BYE", cseq=8))
    after = first_request(world.to_public()).cseq
    assert (repeated, request.cseq, after) == (before, before + 1, before + 2)


def test_a_challenge_is_answered_with_the_trunks_account() -> None:
    world = make_world(trunk={"account": Credentials("us", "secret")})
    world.established()
    first = refer(world)
    world.caller(world.answer(first, 407, more=('Proxy-Authenticate: Digest realm="carrier", nonce="n1", qop="auth"',)))
    (second,) = world.to_public()
    assert isinstance(second, Request)
    assert second.cseq == first.cseq + 1
    assert 'username="us"' in values(second, "proxy-authorization")[0]
    world.caller(
        world.answer(second, 407, more=('Proxy-Authenticate: Digest realm="carrier", nonce="n2", qop="auth"',))
    )
    assert told(world) == [ReferAnswered("c1", 407, "Whatever")]


@pytest.mark.parametrize(
    ("body", "state", "event", "status"),
    [
        (b"garbage", "active", "refer", 400),
        (b"SIP/2.0 999 Beyond\r\n", "active", "refer", 400),
        (b"SIP/2.0 100 Trying\r\n", "active", "presence", 489),
        (b"", "terminated;reason=giveup", "refer;id=2", 200),
    ],
)
def test_reports_that_say_nothing(body: bytes, state: str, event: str, status: int) -> None:
    world = make_world()
    world.established()
    world.caller(world.answer(refer(world), 202))
    world.caller(notify(body, state=state, event=event))
    assert statuses(world) == [status]
    expected = [ReferNotified("c1", 0, "giveup", True)] if status == 200 else []
    assert told(world)[1:] == expected


def test_strangers_report_nothing() -> None:
    world = make_world(others={"else": ("172.16.0.0/12",)})
    world.established()
    request = refer(world)
    stranger = Hop("udp", "172.16.0.9", 5060, CALLER.listener)
    world.caller(world.answer(request, 202), stranger)
    world.caller(notify(b"SIP/2.0 200 OK\r\n"), stranger)
    assert told(world) == []


def test_what_cannot_be_referred() -> None:
    world = make_world()
    with pytest.raises(TelephonyMisuse, match="no call"):
        world.core.refer("c1", TARGET, world.now)
    world.established()
    with pytest.raises(TelephonyMisuse, match="not an address"):
        world.core.refer("c1", "sip:a@b>\r\nX: y", world.now)
    refer(world)
    with pytest.raises(TelephonyMisuse, match="not been answered yet"):
        world.core.refer("c1", TARGET, world.now)
    world.caller(call_request("BYE", cseq=3, to_tag="bob", branch="z9hG4bKbye", body=b""))
    with pytest.raises(TelephonyMisuse, match="cannot be transferred"):
        world.core.refer("c1", TARGET, world.now)
