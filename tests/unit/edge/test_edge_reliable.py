"""Provisional answers that want to be acknowledged (RFC 3262): to our calls by the edge, to others by their worker."""

from __future__ import annotations

from edge_world import SDP, World, call_request, first_request, make_world, statuses, values
from test_edge_dialing import DIAL, callee, dialled, state, to_worker, worker_invite

from telephony.edge.dialogs import DialogState
from telephony.sip.parse import Request

RELIABLE = ("Require: 100rel", "RSeq: 7")


def pracks(world: World) -> list[Request]:
    return [m for m in world.to_public() if isinstance(m, Request) and m.method == "PRACK"]


def test_a_reliable_ringing_is_acknowledged_once_and_plain_to_the_worker(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 180, "callee", b"", *RELIABLE)
    (prack,) = pracks(world)
    assert (prack.uri_text, prack.to_tag, prack.from_tag) == ("sip:callee@10.9.9.9:5070", "callee", invite.from_tag)
    assert (prack.cseq, prack.value("rack")) == (invite.cseq + 1, f"7 {invite.cseq} INVITE")
    (ringing,) = to_worker(world)
    assert (ringing.status, values(ringing, "require"), values(ringing, "rseq")) == (180, [], [])
    callee(world, invite, 180, "callee", b"", *RELIABLE)  # our PRACK was lost: it is on its way again by itself
    assert not pracks(world) and not to_worker(world)
    world.tick(0.6)
    assert [again.via.branch for again in pracks(world)] == [prack.via.branch]
    callee(world, prack, 200)
    world.tick(5)
    assert not world.public and not to_worker(world)


def test_one_that_comes_before_its_predecessor_is_left_alone(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 180, "callee", b"", *RELIABLE)
    callee(world, invite, 183, "callee", SDP, "Require: 100rel", "RSeq: 9")
    callee(world, invite, 183, "callee", SDP, "Require: 100rel", "RSeq: 8")
    assert [prack.value("rack").split()[0] for prack in pracks(world)] == ["7", "8"]
    assert [answer.status for answer in to_worker(world)] == [180, 183]


def test_each_early_dialog_has_numbers_of_its_own_and_a_call_goes_on_after_them(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 183, "first", SDP, *RELIABLE)
    callee(world, invite, 183, "second", SDP, "Require: 100rel", "RSeq: 50")
    assert [(prack.to_tag, prack.cseq) for prack in pracks(world)] == [("first", 18), ("second", 19)]
    callee(world, invite, 200, "first")  # the answer was in the reliable 183 (section 5)
    answer = to_worker(world)[-1]
    assert (answer.status, b"m=audio 40000" in answer.body) == (200, True)
    assert state(world) is DialogState.CONFIRMED
    world.worker(worker_invite("ACK", tag=f";tag={answer.to_tag}", branch="z9hG4bKack"))
    world.worker(worker_invite("BYE", tag=f";tag={answer.to_tag}", branch="z9hG4bKbye").replace(b"17 BYE", b"18 BYE"))
    ack, bye = [message for message in world.to_public() if isinstance(message, Request)]
    assert [(m.method, m.cseq, m.to_tag) for m in (ack, bye)] == [("ACK", 17, "first"), ("BYE", 20, "first")]


def test_an_answer_without_a_description_is_hung_up(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 183, "other", SDP)
    callee(world, invite, 200)
    assert [m.method for m in world.to_public() if isinstance(m, Request)] == ["ACK", "BYE"]
    answer = to_worker(world)[-1]
    assert (answer.status, values(answer, "reason")[1]) == (
        488,
        'SIP;cause=488;text="the answer has no session description"',
    )


def test_even_a_cancelled_call_acknowledges(world: World) -> None:
    invite = dialled(world)
    world.worker(worker_invite("CANCEL"))
    callee(world, invite, 180, "callee", b"", *RELIABLE)
    assert [m.method for m in world.to_public() if isinstance(m, Request)] == ["PRACK", "CANCEL"]


def test_what_our_calls_say_of_it() -> None:
    for reliable, supported, required in (
        ("off", ["timer"], []),
        ("supported", ["timer", "100rel"], []),
        ("required", ["timer", "100rel"], ["100rel"]),
    ):
        world = make_world(trunk={"reliable": reliable})
        world.core.allow_dial(DIAL, world.now)
        world.worker(worker_invite().replace(b"Contact:", b"Supported: 100rel\r\nContact:"))
        invite = first_request(world.to_public())
        assert (values(invite, "supported"), values(invite, "require")) == (supported, required)


def test_a_caller_that_requires_it_is_refused_where_it_is_off() -> None:
    world = make_world(trunk={"reliable": "off"})
    world.caller(call_request(more=("Require: 100rel",)))
    (answer,) = world.to_public()
    assert (answer.status, values(answer, "unsupported")) == (420, ["100rel"])  # type: ignore[union-attr]


def test_a_caller_that_can_gets_it_where_it_is_required() -> None:
    for more, required in ((("Supported: timer, 100rel",), ["100rel"]), ((), [])):
        world = make_world(trunk={"reliable": "required"})
        world.caller(call_request(more=more))
        (invite,) = world.to_worker()
        assert values(invite, "require") == required
        assert statuses(world) == [100]
