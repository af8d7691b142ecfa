"""INVITE with Replaces (RFC 3891): another phone takes the place of a dialog's public side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import SDP, World, call_request, first_request, make_world, statuses, values, worker_request
from test_edge_dialing import answered, callee, dialled, requests, to_worker, worker_invite

from telephony.edge.hops import Hop, LegReplaced
from telephony.edge.protocol import Refuse
from telephony.sip.parse import Request, Response

OTHER = Hop("udp", "10.1.2.4", 5060, 0)
OTHER_SDP = SDP.replace(b"10.1.2.3", b"10.1.2.4").replace(b"40000", b"42000")
NAMED = "call-1;to-tag=bob;from-tag=alice"


def phones(**trunk: object) -> World:
    world = make_world(trunk={"takes_replaces": True, **trunk})
    world.context.replace_refused = lambda leg_id: None
    world.established(cseq=70)
    return world


def taking(named: str = NAMED, *, more: tuple[str, ...] = (), method: str = "INVITE", body: bytes = OTHER_SDP) -> bytes:
    """From the other phone. Its To tag is ours once it has been answered."""
    replaces = (f"Replaces: {named}",) if method == "INVITE" else ()
    data = call_request(
        method,
        call="call-9",
        branch=f"z9hG4bK9{method}",
        via="SIP/2.0/UDP 10.1.2.4:5060;rport",
        contact="Contact: <sip:carol@10.1.2.4:5060>",
        to_tag="" if method in ("INVITE", "CANCEL") else "bob",
        more=(*replaces, *more),
        body=body,
    )
    return data.replace(b"Alice <sip:+15550123@10.1.2.3>;tag=alice", b"<sip:carol@10.1.2.4>;tag=carol")


def taken(world: World) -> Request:
    """The worker's leg has the other phone; returns the re-INVITE."""
    world.caller(taking(), OTHER)
    reinvite = first_request(world.to_worker())
    world.public.clear()
    world.worker(world.answer(reinvite, 200))
    return reinvite


def test_the_worker_gets_a_reinvite_in_its_own_dialog() -> None:
    world = phones()
    world.caller(taking(), OTHER)
    reinvite = first_request(world.to_worker())
    assert (reinvite.method, reinvite.call_id, reinvite.to_tag) == ("INVITE", "c1", "bob")
    assert reinvite.cseq > 70, "the numbers that it knows go on"
    assert b"c=IN IP4 10.1.2.4" in reinvite.body
    assert b"m=audio 42000" in reinvite.body
    assert "replaces" not in reinvite.headers


def test_the_new_phone_is_answered_and_the_old_one_gets_a_bye() -> None:
    world = phones()
    taken(world)
    answer, bye = world.to_public()
    assert isinstance(answer, Response)
    assert isinstance(bye, Request)
    assert (answer.status, answer.call_id, answer.to_tag, answer.from_tag) == (200, "call-9", "bob", "carol")
    assert (bye.method, bye.call_id, bye.to_tag) == ("BYE", "call-1", "alice")
    (event,) = [each for each in world.told if isinstance(each, LegReplaced)]
    assert (event.leg_id, event.info.caller, event.info.source.ip) == ("c1", "carol", "10.1.2.4")
    assert world.ended == [], "the leg goes on"


def test_the_call_goes_on_with_the_new_phone_both_ways() -> None:
    world = phones()
    reinvite = taken(world)
    bye = world.to_public()[1]
    assert isinstance(bye, Request)
    world.caller(world.answer(bye, 200))
    world.caller(taking(method="ACK", body=b""), OTHER)
    ack = first_request(world.to_worker())
    assert (ack.method, ack.call_id, ack.cseq) == ("ACK", "c1", reinvite.cseq)
    world.worker(worker_request("UPDATE", cseq=7))
    update = first_request(world.to_public())
    assert (update.call_id, update.from_tag, update.to_tag) == ("call-9", "bob", "carol")
    assert world.core.end_leg("c1", "over", world.now)
    world.perform(world.core.end_leg("c1", "over", world.now))


def test_its_bye_ends_the_leg() -> None:
    world = phones()
    taken(world)
    world.to_public()
    again = taking(method="BYE", body=b"").replace(b"CSeq: 1 BYE", b"CSeq: 2 BYE")
    world.caller(again, OTHER)
    bye = first_request(world.to_worker())
    assert (bye.method, bye.call_id) == ("BYE", "c1")
    assert bye.cseq > 71
    world.worker(world.answer(bye, 200))
    assert world.ended == ["c1"]
    assert 200 in statuses(world)


def test_what_the_old_phone_still_sends_ends_in_the_edge() -> None:
    world = phones()
    taken(world)
    world.to_public()
    world.caller(call_request("INVITE", cseq=71, to_tag="bob", branch="z9hG4bKold"))
    world.caller(call_request("BYE", cseq=72, to_tag="bob", branch="z9hG4bKoldb", body=b""))
    assert statuses(world) == [481, 200]
    assert world.to_worker() == []
    assert world.ended == []


def test_a_worker_that_refuses_leaves_the_call_as_it_was() -> None:
    world = phones()
    world.caller(taking(), OTHER)
    reinvite = first_request(world.to_worker())
    world.public.clear()
    world.worker(world.answer(reinvite, 488))
    assert statuses(world) == [488]
    world.worker(worker_request("UPDATE", cseq=7))
    assert first_request(world.to_public()).call_id == "call-1"
    world.caller(
        taking(more=("X-Again: 1",)).replace(b"z9hG4bK9INVITE", b"z9hG4bK9b").replace(b"call-9", b"call-10"), OTHER
    )
    assert first_request(world.to_worker()).call_id == "c1", "another try is possible"


def test_a_worker_that_does_not_answer_costs_nobody_the_call() -> None:
    world = phones()
    world.caller(taking(), OTHER)
    world.tick(3)
    assert 503 in statuses(world)
    assert world.ended == []
    assert world.context.dialogs.of_leg("c1") is not None


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ("call-1;to-tag=bob;from-tag=nobody", 481),
        ("call-1;to-tag=alice;from-tag=bob", 481),
        ("call-2;to-tag=bob;from-tag=alice", 481),
        ("call-1;to-tag=bob", 400),
        ("call-1;to-tag=bob;to-tag=x;from-tag=alice", 400),
        ("call-1;to-tag=b ob;from-tag=alice", 400),
        (f"{NAMED};early-only", 486),
    ],
)
def test_refusals(named: str, status: int) -> None:
    world = phones()
    world.caller(taking(named), OTHER)
    assert statuses(world) == [status]
    assert world.to_worker() == []
    assert [each.invite.rule for each in world.refused] == ["replaces"]


def test_two_replaces_and_join_are_refused() -> None:
    world = phones()
    world.caller(taking(more=(f"Replaces: {NAMED}",)), OTHER)
    assert statuses(world) == [400]
    world.caller(taking(more=("Join: a;to-tag=b;from-tag=c",)).replace(b"call-9", b"call-8"), OTHER)
    assert statuses(world) == [400]


def test_a_dialog_that_is_over_is_declined() -> None:
    world = phones()
    world.caller(call_request("BYE", cseq=71, to_tag="bob", branch="z9hG4bKbye", body=b""))
    world.public.clear()
    world.workers.clear()
    world.caller(taking(), OTHER)
    assert statuses(world) == [603]


def test_one_that_ends_meanwhile_is_declined_too() -> None:
    world = phones()
    world.caller(taking(), OTHER)
    reinvite = first_request(world.to_worker())
    world.caller(call_request("BYE", cseq=71, to_tag="bob", branch="z9hG4bKbye", body=b""))
    bye = first_request(world.to_worker())
    world.public.clear()
    world.worker(world.answer(reinvite, 200))
    assert statuses(world) == [603]
    assert first_request(world.to_worker()).method == "ACK"
    world.worker(world.answer(bye, 200))
    assert world.ended == ["c1"]


def test_a_ringing_call_to_us_cannot_be_taken() -> None:
    world = make_world(trunk={"takes_replaces": True})
    world.context.replace_refused = lambda leg_id: None
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 180))
    world.public.clear()
    world.caller(taking(), OTHER)
    assert statuses(world) == [481]


def test_the_gateway_may_refuse() -> None:
    world = phones()
    world.context.replace_refused = lambda leg_id: Refuse(403, "", cause_text=f"not {leg_id}")
    world.caller(taking(), OTHER)
    (answer,) = world.to_public()
    assert values(answer, "reason") == ['SIP;cause=403;text="not c1"']


def test_another_trunk_may_not_take_it() -> None:
    world = make_world(
        allow=("10.1.2.3/32",), others={"other": ("10.9.0.0/16",)}, trunk={"takes_replaces": True}, alike=True
    )
    world.context.replace_refused = lambda leg_id: None
    world.established()
    world.caller(taking(body=OTHER_SDP.replace(b"10.1.2.4", b"10.9.0.1")), replace(OTHER, ip="10.9.0.1"))
    assert statuses(world) == [403]
    assert world.to_worker() == []


def test_where_it_is_not_taken_the_header_means_nothing_and_requiring_it_is_refused() -> None:
    world = make_world()
    world.established()
    world.caller(taking(), OTHER)
    assert first_request(world.to_worker()).call_id == "c2", "a new call"
    world.public.clear()
    world.caller(taking(more=("Require: replaces",)).replace(b"call-9", b"call-8"), OTHER)
    (answer,) = world.to_public()
    assert values(answer, "unsupported") == ["replaces"]


def test_it_is_announced_where_it_is_true() -> None:
    for takes in (True, False):
        world = make_world(trunk={"takes_replaces": takes})
        world.established()
        world.caller(call_request("OPTIONS", cseq=5, to_tag="bob", branch="z9hG4bKo", body=b""))
        (answer,) = world.to_public()
        assert ("replaces" in values(answer, "supported")) is takes


def test_a_repeated_invite_is_answered_again_and_not_taken_twice() -> None:
    world = phones()
    taken(world)
    world.to_public()
    world.caller(taking(), OTHER)
    assert statuses(world) == [200]
    assert world.to_worker() == []


def test_two_phones_at_once() -> None:
    world = phones()
    world.caller(taking(), OTHER)
    first_request(world.to_worker())
    world.public.clear()
    world.caller(taking().replace(b"call-9", b"call-10").replace(b"tag=carol", b"tag=dave"), OTHER)
    assert statuses(world) == [491]


# --- calls that a worker places --------------------------------------------------------------------------------------


def dialled_world() -> World:
    world = make_world(trunk={"takes_replaces": True})
    world.context.replace_refused = lambda leg_id: None
    return world


def of_call(invite: Request, tag: str = "callee") -> str:
    """How the other phone names the dialog of our INVITE: our tag is its to-tag."""
    return f"{invite.call_id};to-tag={invite.from_tag};from-tag={tag}"


def test_one_that_was_answered_is_taken_over() -> None:
    world = dialled_world()
    invite, _ = answered(world)
    world.caller(taking(of_call(invite)), OTHER)
    reinvite = first_request(world.to_worker())
    assert (reinvite.method, reinvite.call_id, reinvite.to_tag) == ("INVITE", "pjsip-1", "ours")
    world.public.clear()
    world.worker(world.answer(reinvite, 200))
    answer, bye = world.to_public()
    assert isinstance(answer, Response)
    assert (answer.status, answer.to_tag) == (200, "ours")
    assert isinstance(bye, Request)
    assert (bye.method, bye.call_id) == ("BYE", invite.call_id)


def test_one_that_rings_is_picked_up() -> None:
    world = dialled_world()
    invite = dialled(world)
    callee(world, invite, 180)
    world.workers.clear()
    world.caller(taking(f"{of_call(invite)};early-only"), OTHER)
    cancel = next(each for each in world.to_public() if isinstance(each, Request))
    assert (cancel.method, cancel.call_id) == ("CANCEL", invite.call_id)
    assert "Call completed elsewhere" in values(cancel, "reason")[0] + values(cancel, "reason")[-1]
    (ok,) = to_worker(world)
    assert (ok.status, ok.call_id) == (200, "pjsip-1")
    assert b"m=audio 42000" in ok.body
    world.worker(worker_invite("ACK", tag=f";tag={ok.to_tag}", branch="z9hG4bKack"))
    reinvite = first_request(world.to_worker())
    assert (reinvite.method, reinvite.to_tag) == ("INVITE", "ours")
    assert world.to_public() == [], "the ACK was not the phone's"
    world.worker(world.answer(reinvite, 200))
    (answer,) = world.to_public()
    assert isinstance(answer, Response)
    assert (answer.status, answer.call_id) == (200, "call-9")
    assert [each.leg_id for each in world.told if isinstance(each, LegReplaced)] == ["leg-1"]
    callee(world, invite, 487)
    assert requests(world) == [("ACK", "callee")]
    assert to_worker(world) == []
    assert world.ended == []


def test_the_phone_that_rang_and_answers_at_the_same_time_is_hung_up() -> None:
    world = dialled_world()
    invite = dialled(world)
    callee(world, invite, 180)
    world.caller(taking(of_call(invite)), OTHER)
    world.public.clear()
    world.workers.clear()
    callee(world, invite, 200, body=SDP)
    assert requests(world) == [("ACK", "callee"), ("BYE", "callee")]
    assert to_worker(world) == []


def test_a_pick_up_that_the_worker_cannot_follow_ends_the_leg() -> None:
    world = dialled_world()
    invite = dialled(world)
    callee(world, invite, 180)
    world.workers.clear()
    world.caller(taking(of_call(invite)), OTHER)
    (ok,) = to_worker(world)
    world.worker(worker_invite("ACK", tag=f";tag={ok.to_tag}", branch="z9hG4bKack"))
    reinvite = first_request(world.to_worker())
    world.public.clear()
    world.worker(world.answer(reinvite, 488))
    assert 488 in statuses(world)
    assert [each.method for each in world.to_worker() if isinstance(each, Request)] == ["ACK", "BYE"]
    assert world.ended == ["leg-1"]
