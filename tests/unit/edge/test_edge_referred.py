"""A peer's REFER within a call (RFC 3515): read and answered in the edge, and reported on by NOTIFY."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from edge_world import CALLER, World, call_request, first_request, make_world, statuses, values

from telephony.edge.hops import PeerReferred
from telephony.edge.protocol import PeerRefers, Refuse
from telephony.sip.parse import Request
from telephony.sip.replaces import Replaces

TARGET = "<sip:+15557002@10.1.2.9>"


def phones(refused: Callable[[PeerRefers], Refuse | None] = lambda refers: None) -> World:
    world = make_world(trunk={"takes_refer": True})
    world.context.refer_refused = refused
    world.established()
    return world


def refer(to: str = TARGET, *, cseq: int = 2, more: tuple[str, ...] = ()) -> bytes:
    headers = (f"Refer-To: {to}", "Referred-By: <sip:desk@10.1.2.3>", *more)
    return call_request("REFER", cseq=cseq, to_tag="bob", branch=f"z9hG4bKr{cseq}", more=headers, body=b"")


def told(world: World) -> list[PeerRefers]:
    return [each.refers for each in world.told if isinstance(each, PeerReferred)]


def notifies(world: World) -> list[Request]:
    return [each for each in world.to_public() if isinstance(each, Request) and each.method == "NOTIFY"]


def test_it_is_accepted_and_reported_on_to_its_end() -> None:
    world = phones()
    world.caller(refer())
    answer, trying = world.to_public()
    assert not isinstance(answer, Request)
    assert answer.status == 202
    assert isinstance(trying, Request)
    assert (trying.method, trying.from_tag, trying.to_tag, trying.call_id) == ("NOTIFY", "bob", "alice", "call-1")
    assert trying.body == b"SIP/2.0 100 Trying\r\n"
    assert values(trying, "event") == ["refer;id=2"]
    assert values(trying, "subscription-state") == ["active;expires=180"]
    assert values(trying, "content-type") == ["message/sipfrag;version=2.0"]
    (refers,) = told(world)
    assert refers == PeerRefers(
        "c1", refers.refer_id, "carrier", "sip:+15557002@10.1.2.9", "sip:desk@10.1.2.3", None, "", False
    )
    world.caller(world.answer(trying, 200))
    world.perform(world.core.report_refer(refers.refer_id, 180, "", world.now))
    world.perform(world.core.report_refer(refers.refer_id, 200, "", world.now))
    rings, ok = notifies(world)
    assert (rings.body, ok.body) == (b"SIP/2.0 180 Ringing\r\n", b"SIP/2.0 200 OK\r\n")
    assert values(ok, "subscription-state") == ["terminated;reason=noresource"]
    assert ok.cseq == rings.cseq + 1
    world.perform(world.core.report_refer(refers.refer_id, 486, "", world.now))
    assert notifies(world) == [], "the subscription is over"
    assert world.to_worker() == []


def test_a_retransmission_is_told_once() -> None:
    world = phones()
    world.caller(refer())
    world.caller(refer())
    assert len(told(world)) == 1
    assert [each for each in statuses(world) if each >= 200] == [202, 202]


def test_the_gateway_refuses_with_a_reason() -> None:
    world = phones(lambda refers: Refuse(403, "", cause_text="+15557002 is closed"))
    world.caller(refer())
    (answer,) = world.to_public()
    assert values(answer, "reason") == ['SIP;cause=403;text="+15557002 is closed"']
    assert told(world) == []


def test_a_trunk_that_takes_none_does_not_announce_it() -> None:
    world = make_world()
    world.established()
    world.caller(refer())
    (answer,) = world.to_public()
    assert not isinstance(answer, Request)
    assert answer.status == 405
    assert "REFER" not in values(answer, "allow")


def test_a_trunk_that_takes_it_announces_it() -> None:
    world = phones()
    world.caller(call_request("OPTIONS", cseq=5, to_tag="bob", branch="z9hG4bKo", body=b""))
    (answer,) = world.to_public()
    assert "REFER" in values(answer, "allow")


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:+15557002@10.1.2.9;method=BYE>", 501),
        ("<mailto:desk@example.com>", 416),
        ("<sip:a@10.1.2.9?Replaces=x%3Bto-tag%3Da>", 400),
        ("<sip:a@10.1.2.9?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db&Replaces=y%3Bto-tag%3Da%3Bfrom-tag%3Db>", 400),
        ("<sip:a@10.1.2.9?Replaces=x%0D%0AX-Evil%3A%3Bto-tag%3Da%3Bfrom-tag%3Db>", 400),
        ("not an address", 400),
        ("<sip:a b@10.1.2.9>", 400),
    ],
)
def test_what_cannot_be_carried_out_is_refused(to: str, status: int) -> None:
    world = phones()
    world.caller(refer(to))
    assert statuses(world) == [status]
    assert told(world) == []


def test_two_refer_tos_and_none_are_refused() -> None:
    world = phones()
    world.caller(refer(more=("Refer-To: <sip:b@10.1.2.9>",)))
    world.caller(call_request("REFER", cseq=3, to_tag="bob", branch="z9hG4bKn", body=b""))
    assert statuses(world) == [400, 400]


def test_one_at_a_time() -> None:
    world = phones()
    world.caller(refer())
    world.to_public()
    world.caller(refer(cseq=3))
    assert statuses(world) == [491]
    world.perform(world.core.report_refer(told(world)[0].refer_id, 486, "Busy Here", world.now))
    world.to_public()
    world.caller(refer(cseq=4))
    assert 202 in statuses(world)


def test_who_wants_no_reports_gets_none() -> None:
    world = phones()
    world.caller(refer(more=("Refer-Sub: false",)))
    (answer,) = world.to_public()
    assert values(answer, "refer-sub") == ["false"]
    world.perform(world.core.report_refer(told(world)[0].refer_id, 200, "", world.now))
    assert world.to_public() == []


def test_a_stranger_with_the_tags_is_not_heard() -> None:
    world = phones()
    world.caller(refer(), replace(CALLER, ip="203.0.113.9"))
    assert told(world) == []


def test_reports_go_on_after_the_peer_has_hung_up() -> None:
    world = phones()
    world.caller(refer())
    world.to_public()
    world.caller(call_request("BYE", cseq=3, to_tag="bob", branch="z9hG4bKbye", body=b""))
    world.to_public()
    world.perform(world.core.report_refer(told(world)[0].refer_id, 200, "", world.now))
    (ok,) = notifies(world)
    assert ok.body == b"SIP/2.0 200 OK\r\n"


def test_a_dialog_that_is_to_be_replaced_is_named() -> None:
    world = phones()
    world.caller(call_request(call="call-2", branch="z9hG4bK2"))
    invite = first_request(world.to_worker())
    world.worker(world.answer(invite, 200, to_tag="carol"))
    world.to_public()
    named = "Replaces=call-2%3Bto-tag%3Dcarol%3Bfrom-tag%3Dalice%3Bearly-only&Require=replaces"
    world.caller(refer(f"<sip:+15557002@192.0.2.1:5060?{named}>"))
    (refers,) = told(world)
    assert refers.replaces == Replaces("call-2", "carol", "alice", early_only=True)
    assert (refers.replaced_leg, refers.ours, refers.require_replaces) == ("c2", True, True)
    assert refers.target == "sip:+15557002@192.0.2.1:5060"
