"""A phone moves from its own leg to another one, whose phone leaves."""

from __future__ import annotations

import pytest
from edge_world import SDP, World, call_request, first_request, make_world, sip, statuses

from telephony.edge.hops import Hop, LegReplaced, MoveEnded
from telephony.errors import TelephonyMisuse
from telephony.sip.parse import Request, Response

ONE, TWO = Hop("udp", "10.1.2.3", 5060, 0), Hop("udp", "10.1.2.4", 5060, 0)
SDP_TWO = SDP.replace(b"10.1.2.3", b"10.1.2.4").replace(b"40000", b"42000")
WORKER_SDP = SDP.replace(b"10.1.2.3", b"127.0.0.1").replace(b"40000", b"30000")


def answer(world: World, request: Request, status: int, body: bytes = b"") -> bytes:
    made = world.answer(request, status, more=("Content-Type: application/sdp",) if body else ())
    return made.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(body)) + body


def two_calls() -> World:
    """Leg c1 is alice's, at ONE; c2 is carol's, at TWO."""
    world = make_world()
    world.established(cseq=70)
    data = call_request(
        call="call-2", branch="z9hG4bK2", via="SIP/2.0/UDP 10.1.2.4:5060;rport", contact="Contact: <sip:c@10.1.2.4>",
        body=SDP_TWO,
    )  # fmt: skip
    world.caller(data.replace(b"tag=alice", b"tag=carol"), TWO)
    world.worker(world.answer(first_request(world.to_worker()), 200, to_tag="erin"))
    ack = call_request("ACK", call="call-2", branch="z9hG4bK2a", to_tag="erin", body=b"")
    world.caller(ack.replace(b"tag=alice", b"tag=carol"), TWO)
    world.public.clear()
    world.workers.clear()
    return world


def requests_to(messages: list[Request | Response]) -> list[tuple[str, str]]:
    return [(each.method, each.call_id) for each in messages if isinstance(each, Request)]


def moved(world: World) -> None:
    """Carol takes alice's place in leg c1."""
    world.perform(world.core.move_leg("c2", "c1", "t", world.now))
    offer = first_request(world.to_worker())
    assert (offer.method, offer.call_id, offer.to_tag) == ("INVITE", "c1", "bob")
    assert offer.cseq > 70
    assert b"m=audio 42000" in offer.body
    world.worker(answer(world, offer, 200, WORKER_SDP))
    assert requests_to(world.to_worker()) == [("ACK", "c1")]
    again = first_request(world.to_public())
    assert (again.method, again.call_id, again.from_tag, again.to_tag) == ("INVITE", "call-2", "erin", "carol")
    assert b"m=audio 30000" in again.body
    world.caller(answer(world, again, 200, SDP_TWO), TWO)


def test_the_phone_has_the_other_leg_and_who_was_there_gets_a_bye() -> None:
    world = two_calls()
    moved(world)
    assert requests_to(world.to_public()) == [("ACK", "call-2"), ("BYE", "call-1")]
    assert requests_to(world.to_worker()) == [("BYE", "c2")], "its old leg ends"
    assert world.ended == ["c2"]
    assert [each for each in world.told if isinstance(each, MoveEnded)] == [MoveEnded("t", 200, "OK")]
    assert [each.leg_id for each in world.told if isinstance(each, LegReplaced)] == ["c1"]


def test_the_worker_of_the_leg_talks_with_it_both_ways() -> None:
    world = two_calls()
    moved(world)
    before = max(each.cseq for each in world.to_public() if isinstance(each, Request) and each.call_id == "call-2")
    world.workers.clear()
    shown = world.context.dialogs.of_leg("c1")
    assert shown is not None
    world.worker(
        sip(
            "UPDATE sip:127.0.0.1:39999 SIP/2.0",
            "Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKw7",
            "Max-Forwards: 70",
            "From: <sip:+15550199@127.0.0.1:40001>;tag=bob",
            f"To: {shown.shown.public}",
            "Call-ID: c1",
            "CSeq: 7 UPDATE",
        )
    )
    update = first_request(world.to_public())
    assert (update.call_id, update.from_tag, update.to_tag) == ("call-2", "erin", "carol")
    assert update.cseq > before
    bye = call_request("BYE", call="call-2", cseq=2, branch="z9hG4bKb", to_tag="erin", body=b"")
    world.caller(bye.replace(b"tag=alice", b"tag=carol"), TWO)
    passed = first_request(world.to_worker())
    assert (passed.method, passed.call_id, passed.to_tag) == ("BYE", "c1", "bob")
    assert passed.cseq > 71
    world.worker(world.answer(passed, 200))
    assert 200 in statuses(world)
    assert world.ended == ["c2", "c1"]


def test_a_phone_that_answers_otherwise_is_described_to_the_worker_once_more() -> None:
    world = two_calls()
    world.perform(world.core.move_leg("c2", "c1", "t", world.now))
    world.worker(answer(world, first_request(world.to_worker()), 200, WORKER_SDP))
    world.workers.clear()
    world.caller(answer(world, first_request(world.to_public()), 200, SDP_TWO.replace(b"42000", b"42002")), TWO)
    again = [each for each in world.to_worker() if isinstance(each, Request)]
    assert [each.method for each in again] == ["BYE", "INVITE"]
    assert b"m=audio 42002" in again[1].body
    world.worker(answer(world, again[1], 200, WORKER_SDP))
    assert requests_to(world.to_worker()) == [("ACK", "c1")]


@pytest.mark.parametrize("who", ["worker", "phone", "silent phone"])
def test_a_refusal_leaves_both_calls_as_they_were(who: str) -> None:
    world = two_calls()
    world.perform(world.core.move_leg("c2", "c1", "t", world.now))
    offer = first_request(world.to_worker())
    if who == "worker":
        world.worker(world.answer(offer, 488))
    else:
        world.worker(answer(world, offer, 200, WORKER_SDP))
        world.workers.clear()
        if who == "phone":
            world.caller(world.answer(first_request(world.to_public()), 488), TWO)
        else:
            world.tick(33)
        back = first_request(world.to_worker())
        assert (back.method, back.call_id) == ("INVITE", "c1")
        assert b"m=audio 40000" in back.body, "the worker sends to alice again"
        world.worker(answer(world, back, 200, WORKER_SDP))
    (ended,) = [each for each in world.told if isinstance(each, MoveEnded)]
    assert ended.status in (488, 408)
    world.public.clear()
    world.workers.clear()
    world.caller(call_request("BYE", cseq=71, to_tag="bob", branch="z9hG4bKb", body=b""))
    passed = first_request(world.to_worker())
    assert passed.call_id == "c1"
    assert passed.cseq > offer.cseq
    world.perform(world.core.end_leg("c2", "over", world.now))
    assert ("BYE", "call-2") in requests_to(world.to_public())


def test_a_phone_that_has_hung_up_meanwhile_is_not_moved() -> None:
    world = two_calls()
    world.perform(world.core.move_leg("c2", "c1", "t", world.now))
    offer = first_request(world.to_worker())
    bye = call_request("BYE", call="call-2", cseq=2, branch="z9hG4bKb", to_tag="erin", body=b"")
    world.caller(bye.replace(b"tag=alice", b"tag=carol"), TWO)
    world.worker(answer(world, offer, 200, WORKER_SDP))
    assert [each.status for each in world.told if isinstance(each, MoveEnded)] == [481]


def test_only_answered_calls_and_one_at_a_time() -> None:
    world = two_calls()
    with pytest.raises(TelephonyMisuse):
        world.core.move_leg("c1", "c1", "t", world.now)
    with pytest.raises(TelephonyMisuse):
        world.core.move_leg("c9", "c1", "t", world.now)
    world.perform(world.core.move_leg("c2", "c1", "t", world.now))
    with pytest.raises(TelephonyMisuse):
        world.core.move_leg("c1", "c2", "t2", world.now)
