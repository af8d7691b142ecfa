"""Session timers of calls in both directions: asked, agreed, refreshed by either side, and the end of a call that
nobody refreshes. Workers see nothing of it."""

from __future__ import annotations

import pytest
from edge_world import CALLER, SDP, World, call_request, first_request, make_world, sip, values, worker_request
from test_edge_dial_attempts import next_invite
from test_edge_dialing import CALLEE, callee, dialled, state, to_worker, worker_invite

from telephony.edge.dialogs import DialogState
from telephony.sip.parse import Request, Response
from telephony.sip.session_timer import SessionPolicy

UPDATES = "Allow: INVITE, ACK, BYE, UPDATE"


def requests(world: World) -> list[Request]:
    return [message for message in world.to_public() if isinstance(message, Request)]


def outbound(*more: str, policy: SessionPolicy | None = None) -> World:
    """A call of ours that has been answered with these header fields."""
    world = make_world(trunk={"session": policy or SessionPolicy(90)})
    callee(world, dialled(world), 200, "callee", SDP, *more)
    (answer,) = to_worker(world)
    world.worker(worker_invite("ACK", tag=f";tag={answer.to_tag}", branch="z9hG4bKack"))
    assert values(answer, "session-expires") == values(answer, "require") == []
    requests(world)
    return world


def test_our_invite_asks_and_a_422_is_answered_by_a_longer_session() -> None:
    world = make_world(trunk={"session": SessionPolicy(300, "us")})
    invite = dialled(world)
    assert (values(invite, "session-expires"), values(invite, "min-se")) == (["300;refresher=uac"], ["90"])
    callee(world, invite, 422, "callee", b"", "Min-SE: 600")
    again = next_invite(world)
    assert (values(again, "session-expires"), again.cseq) == (["600;refresher=uac"], invite.cseq + 1)
    assert values(again, "min-se") == ["600"]
    assert not to_worker(world)
    for least in (700, 800):
        callee(world, again, 422, "callee", b"", f"Min-SE: {least}")
        again = next_invite(world)
    callee(world, again, 422, "callee", b"", "Min-SE: 900")
    assert [answer.status for answer in to_worker(world)] == [422]


def test_we_refresh_by_update_where_that_is_known() -> None:
    world = outbound(UPDATES, "Session-Expires: 90;refresher=uac")
    world.tick(44.8)
    assert not requests(world)
    world.tick(0.4)
    (update,) = requests(world)
    assert (update.method, update.uri_text, update.body) == ("UPDATE", "sip:callee@10.9.9.9:5070", b"")
    assert (update.to_tag, update.cseq) == ("callee", 18)
    assert values(update, "session-expires") == ["90;refresher=uac"]
    callee(world, update, 200, "callee", b"", "Session-Expires: 90;refresher=uac")
    assert not world.workers and not world.public
    world.tick(45.2)
    assert [request.method for request in requests(world)] == ["UPDATE"]
    assert state(world) is DialogState.CONFIRMED


def test_else_by_a_reinvite_with_the_description_that_it_has() -> None:
    world = outbound("Allow: INVITE, ACK, BYE", "Session-Expires: 90;refresher=uac")
    world.tick(45.2)
    invite = requests(world)[0]
    assert (invite.method, invite.body, values(invite, "content-type")) == ("INVITE", SDP, ["application/sdp"])
    callee(world, invite, 100)
    callee(world, invite, 200, "callee", SDP, "Session-Expires: 90;refresher=uac")
    (ack,) = requests(world)
    assert (ack.method, ack.cseq, ack.via.branch != invite.via.branch) == ("ACK", invite.cseq, True)
    callee(world, invite, 200, "callee", SDP, "Session-Expires: 90;refresher=uac")  # our ACK was lost
    assert [request.method for request in requests(world)] == ["ACK"]
    assert not world.workers
    bye = worker_invite("BYE", tag=f";tag={_ours(world)}", branch="z9hG4bKb")
    world.worker(bye.replace(b"17 BYE", b"18 BYE"))
    assert [(request.method, request.cseq) for request in requests(world)] == [("BYE", 19)]


def _ours(world: World) -> str:
    dialog = world.context.dialogs.of_leg("leg-1")
    assert dialog is not None
    return dialog.shown.public_tag


def test_an_update_that_is_not_known_after_all_becomes_a_reinvite() -> None:
    world = outbound(UPDATES, "Session-Expires: 90;refresher=uac")
    world.tick(45.2)
    callee(world, requests(world)[0], 405)
    assert [request.method for request in requests(world)] == ["INVITE"]


@pytest.mark.parametrize("answer", [481, 408, None])
def test_a_peer_that_knows_nothing_of_the_call_or_says_nothing_ends_it(answer: int | None) -> None:
    world = outbound(UPDATES, "Session-Expires: 90;refresher=uac")
    world.tick(45.2)
    (update,) = requests(world)
    if answer is None:
        world.tick(32.5)
    else:
        callee(world, update, answer)
    byes = [request for request in requests(world) if request.method == "BYE"]
    assert values(byes[0], "reason")[0] == 'Q.850;cause=102;text="its session was not refreshed"'
    told = [message for message in world.to_worker() if isinstance(message, Request)]
    assert "BYE" in [message.method for message in told]
    assert world.ended == ["leg-1"]


def test_a_refresh_that_is_refused_for_now_is_tried_again() -> None:
    world = outbound(UPDATES, "Session-Expires: 90;refresher=uac")
    world.tick(45.2)
    callee(world, requests(world)[0], 500)
    world.tick(8)
    assert [request.method for request in requests(world)] == ["UPDATE"]
    assert state(world) is DialogState.CONFIRMED


def test_a_call_whose_refresh_never_comes_is_ended() -> None:
    world = outbound("Session-Expires: 90;refresher=uas")
    world.tick(59.8)
    assert not world.public
    world.tick(0.4)
    assert [request.method for request in requests(world)] == ["BYE"]
    assert world.ended == ["leg-1"]


def test_a_refresh_of_theirs_keeps_the_call() -> None:
    world = outbound("Session-Expires: 90;refresher=uas")
    world.tick(50)
    dialog = world.context.dialogs.of_leg("leg-1")
    assert dialog is not None
    for number in (1, 2):
        update = sip(
            "UPDATE sip:192.0.2.1:5060 SIP/2.0",
            f"Via: SIP/2.0/UDP 10.9.9.9:5070;rport;branch=z9hG4bKu{number}",
            "Max-Forwards: 70",
            "From: <sip:+15550100@10.9.9.9>;tag=callee",
            "To: <sip:+15550199@192.0.2.1>;tag=ours",
            f"Call-ID: {dialog.sip_call_id}",
            f"CSeq: {number} UPDATE",
            "Contact: <sip:callee@10.9.9.9:5070>",
            "Supported: timer",
            "Session-Expires: 90;refresher=uac",
        )
        world.caller(update, CALLEE)
        asked = first_request(world.to_worker())
        assert values(asked, "session-expires") == values(asked, "supported") == []
        world.worker(world.answer(asked, 200))
        (answer,) = world.to_public()
        assert values(answer, "session-expires") == ["90;refresher=uac"]
        world.tick(50)
    assert state(world) is DialogState.CONFIRMED
    world.tick(11)
    assert world.ended == ["leg-1"]


def test_without_a_timer_nothing_is_refreshed_and_nothing_ended() -> None:
    world = outbound()
    world.tick(4000)
    assert not world.public and state(world) is DialogState.CONFIRMED


# Calls that come in


def inbound(*more: str, policy: SessionPolicy | None = None) -> tuple[World, Response]:
    world = make_world(trunk={"session": policy or SessionPolicy()})
    world.caller(call_request(more=more))
    invite = first_request(world.to_worker())
    assert values(invite, "session-expires") == []
    answered = world.answer(invite, 200, more=("Content-Type: application/sdp",))
    world.worker(answered.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(SDP)) + SDP)
    answer = world.to_public()[-1]
    assert isinstance(answer, Response)
    world.caller(call_request("ACK", to_tag="bob", branch="z9hG4bKack", body=b""))
    world.workers.clear()
    return world, answer


def test_a_caller_who_asks_is_answered_and_keeps_its_refreshes() -> None:
    world, answer = inbound("Supported: timer", "Session-Expires: 1800;refresher=uac")
    assert (values(answer, "session-expires"), values(answer, "require")) == (["1800;refresher=uac"], ["timer"])
    world.tick(1769)
    assert world.ended == ["c1"]
    assert [request.method for request in requests(world)][:1] == ["BYE"]


def test_a_caller_that_leaves_it_to_us_is_refreshed() -> None:
    world, answer = inbound("Supported: timer", UPDATES, "Session-Expires: 90;refresher=uas")
    assert (values(answer, "session-expires"), values(answer, "require")) == (["90;refresher=uas"], [])
    world.tick(45.2)
    (update,) = requests(world)
    assert (update.method, values(update, "session-expires")) == ("UPDATE", ["90;refresher=uac"])


def test_where_we_are_to_refresh_we_do_so_unasked() -> None:
    world, answer = inbound(policy=SessionPolicy(90, "us"))
    assert values(answer, "session-expires") == ["90;refresher=uas"]
    world.tick(45.2)
    (again,) = requests(world)
    assert (again.method, again.body) == ("INVITE", SDP)


def test_a_session_that_is_too_short_is_refused_by_the_edge() -> None:
    world = make_world()
    world.caller(call_request(more=("Supported: timer", "Session-Expires: 10")))
    (answer,) = world.to_public()
    assert (answer.status, values(answer, "min-se")) == (422, ["90"])  # type: ignore[union-attr]
    assert not world.workers


def test_a_reinvite_that_meets_our_own_waits() -> None:
    world = outbound("Allow: INVITE", "Session-Expires: 90;refresher=uac")
    world.tick(45.2)
    invite = requests(world)[0]
    dialog = world.context.dialogs.of_leg("leg-1")
    assert dialog is not None

    def theirs(number: int) -> list[int]:
        data = call_request(call=dialog.sip_call_id, cseq=number, branch=f"z9hG4bKr{number}", to_tag="ours")
        world.caller(data.replace(b";tag=alice", b";tag=callee"), CALLEE)
        return [message.status for message in world.to_public() if isinstance(message, Response)]

    assert theirs(1) == [491]
    callee(world, invite, 200, "callee", SDP, "Session-Expires: 90;refresher=uac")
    assert theirs(2) == []
    assert [message.method for message in world.to_worker() if isinstance(message, Request)] == ["INVITE"]


def test_a_reinvite_of_the_workers_is_a_refresh_too() -> None:
    world, _ = inbound("Supported: timer", "Session-Expires: 90;refresher=uac")
    world.tick(30)
    world.worker(worker_request("UPDATE", 7))
    update = requests(world)[0]
    assert values(update, "session-expires") == ["90;refresher=uas"]
    world.caller(world.answer(update, 200, more=("Session-Expires: 90;refresher=uas",)), CALLER)
    world.tick(50)
    assert not world.ended
