"""Calls that a worker places: where they go, and who ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import SDP, WORKER, WORKER_PORT, World, first_request, make_world, sip, statuses, values

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import DialAttempted, Hop
from telephony.edge.protocol import Dial
from telephony.errors import TelephonyMisuse
from telephony.sip.parse import Request, Response, parse

CALLEE = Hop("udp", "10.9.9.9", 5070, 0)
DIAL = Dial("leg-1", WORKER, "carrier", "sip:+15550100@10.9.9.9:5070", "sip:+15550199@192.0.2.1", "10.9.9.9", 5070)


def worker_invite(method: str = "INVITE", *, tag: str = "", leg: str = "leg-1", branch: str = "z9hG4bKout") -> bytes:
    """As a worker's PJSIP sends it; `tag`: of the called side."""
    body = SDP if method == "INVITE" else b""
    return sip(
        f"{method} sip:leg-1@127.0.0.1:{WORKER_PORT} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch={branch}",
        "Max-Forwards: 70",
        "From: <sip:trunkline@127.0.0.1:40001>;tag=ours",
        f"To: <sip:leg-1@127.0.0.1:{WORKER_PORT}>{tag}",
        "Call-ID: pjsip-1",
        f"CSeq: 17 {method}",
        "Contact: <sip:trunkline@127.0.0.1:40001>",
        f"X-Trunkline-Leg: {leg}",
        *(("Content-Type: application/sdp",) if body else ()),
        body=body,
    )


def dialled(world: World, dial: Dial = DIAL) -> Request:
    """The INVITE as the called side gets it."""
    world.core.allow_dial(dial, world.now)
    world.worker(worker_invite())
    assert [message.status for message in world.to_worker() if isinstance(message, Response)] == [100]
    return first_request(world.to_public())


def callee(world: World, invite: Request, status: int, tag: str = "callee", body: bytes = b"", *more: str) -> None:
    answer = world.answer(
        invite, status, to_tag=tag, more=(*more, *(("Content-Type: application/sdp",) if body else ()))
    )
    if body:
        answer = answer.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(body)) + body
    answer = answer.replace(b"sip:bob@127.0.0.1:40001", b"sip:callee@10.9.9.9:5070")
    world.caller(answer, CALLEE)


def to_worker(world: World) -> list[Response]:
    return [message for message in world.to_worker() if isinstance(message, Response)]


def requests(world: World) -> list[tuple[str, str]]:
    """Method and To tag of what the called side was sent."""
    return [(message.method, message.to_tag) for message in world.to_public() if isinstance(message, Request)]


def state(world: World) -> DialogState:
    dialog = world.context.dialogs.of_leg("leg-1")
    assert dialog is not None
    return dialog.state


def answered(world: World) -> tuple[Request, Response]:
    invite = dialled(world)
    callee(world, invite, 200, body=SDP)
    answer = to_worker(world)[0]
    world.worker(worker_invite("ACK", tag=f";tag={answer.to_tag}", branch="z9hG4bKack"))
    assert requests(world) == [("ACK", "callee")]
    return invite, answer


def test_an_invite_goes_where_the_gateway_said_and_not_where_the_worker_says(world: World) -> None:
    world.core.allow_dial(DIAL, world.now)
    world.worker(worker_invite())
    sent = world.public[0]
    assert sent.hop == CALLEE
    invite = first_request(world.to_public())
    text = sent.data.decode()
    assert invite.uri_text == DIAL.uri
    assert invite.sender.uri == DIAL.caller
    assert invite.recipient.uri == DIAL.uri
    assert values(invite, "contact") == ["<sip:192.0.2.1:5060>"]
    assert [via.split(";")[0] for via in values(invite, "via")] == ["SIP/2.0/UDP 192.0.2.1:5060"]
    assert "40001" not in text and "pjsip" not in text and "X-Trunkline" not in text
    assert invite.body == SDP


@pytest.mark.parametrize("why", ["nobody allowed it", "too late", "another worker's", "another leg"])
def test_an_invite_that_was_not_allowed_goes_nowhere(world: World, why: str) -> None:
    other = replace(WORKER, name="w2", port=40002)
    world.core.add_worker(other)
    if why != "nobody allowed it":
        world.core.allow_dial(replace(DIAL, worker=other) if why == "another worker's" else DIAL, world.now)
    if why == "too late":
        world.tick(11)
    world.worker(worker_invite(leg="leg-2" if why == "another leg" else "leg-1"))
    assert [message.status for message in to_worker(world)] == [403]
    assert not world.public


def test_an_allowance_is_for_one_call(world: World) -> None:
    dialled(world)
    world.worker(worker_invite(branch="z9hG4bKsecond").replace(b"pjsip-1", b"pjsip-2"))
    assert [message.status for message in to_worker(world)] == [403]


@pytest.mark.parametrize(
    ("host", "port", "transport"),
    [
        ("carrier.example", 5060, "udp"),
        ("192.0.2.1", 5060, "udp"),
        ("127.0.0.1", WORKER_PORT, "udp"),
        (WORKER.host, WORKER.port, "udp"),
        ("10.9.9.9", 0, "udp"),
    ],
)
def test_what_is_no_destination_is_refused_beforehand(world: World, host: str, port: int, transport: str) -> None:
    with pytest.raises(TelephonyMisuse):
        world.core.allow_dial(replace(DIAL, host=host, port=port), world.now)


def test_ringing_answer_and_ack_pass_and_both_sides_may_hang_up(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 100)
    assert not to_worker(world)
    callee(world, invite, 180)
    (ringing,) = to_worker(world)
    assert (ringing.status, ringing.call_id, ringing.cseq) == (180, "pjsip-1", 17)
    assert "callee" not in ringing.to_tag
    callee(world, invite, 200, body=SDP)
    (answer,) = to_worker(world)
    assert (answer.status, answer.to_tag) == (200, ringing.to_tag)
    assert values(answer, "contact") == [f"<sip:127.0.0.1:{WORKER_PORT}>"]
    assert b"m=audio 40000" in answer.body
    world.worker(worker_invite("ACK", tag=f";tag={answer.to_tag}", branch="z9hG4bKack"))
    assert requests(world) == [("ACK", "callee")]
    assert state(world) is DialogState.CONFIRMED
    world.worker(worker_invite("BYE", tag=f";tag={answer.to_tag}", branch="z9hG4bKbye").replace(b"17 BYE", b"18 BYE"))
    bye = first_request(world.to_public())
    assert (bye.method, bye.uri_text, bye.cseq) == ("BYE", "sip:callee@10.9.9.9:5070", 18)
    callee(world, bye, 200)
    assert [message.status for message in to_worker(world)] == [200]
    assert world.ended == ["leg-1"]


def test_the_called_side_hangs_up(world: World) -> None:
    invite, _ = answered(world)
    bye = sip(
        "BYE sip:192.0.2.1:5060 SIP/2.0",
        "Via: SIP/2.0/UDP 10.9.9.9:5070;rport;branch=z9hG4bKcallee",
        "Max-Forwards: 70",
        "From: <sip:+15550100@10.9.9.9>;tag=callee",
        "To: <sip:+15550199@192.0.2.1>;tag=ours",
        f"Call-ID: {invite.call_id}",
        "CSeq: 5 BYE",
    )
    world.caller(bye, CALLEE)
    got = world.to_worker()[0]
    assert isinstance(got, Request)
    assert (got.method, got.call_id, got.to_tag) == ("BYE", "pjsip-1", "ours")
    world.worker(world.answer(got, 200))
    assert statuses(world) == [200]
    assert world.ended == ["leg-1"]


def test_strangers_answer_nothing(world: World) -> None:
    invite = dialled(world)
    answer = world.answer(invite, 200, to_tag="stranger")
    world.caller(answer, Hop("udp", "203.0.113.9", 5070, 0))
    assert not world.workers
    assert not world.public
    assert world.context.counters["untrusted.response"] == 1


@pytest.mark.parametrize("status", [401, 404, 407, 486, 503, 603])
def test_a_refusal_is_acknowledged_here_and_told_with_its_status(world: World, status: int) -> None:
    invite = dialled(world)
    callee(world, invite, status, "callee", b"", 'Reason: Q.850;cause=17;text="Busy"')
    (ack,) = world.to_public()
    assert isinstance(ack, Request)
    assert (ack.method, ack.via.branch, ack.to_tag) == ("ACK", invite.via.branch, "callee")
    (told,) = [event for event in world.told if isinstance(event, DialAttempted)]
    assert (told.status, told.cause) == (status, 17)
    (refusal,) = to_worker(world)
    assert (refusal.status, refusal.reason) == (status, "Whatever")
    assert values(refusal, "reason") == ['Q.850;cause=17;text="Busy"']
    assert world.ended == ["leg-1"]
    callee(world, invite, status)
    assert requests(world) == [("ACK", "callee")]
    world.tick(0.6)  # until the worker has acknowledged it
    assert [message.status for message in to_worker(world)] == [status]
    world.worker(worker_invite("ACK", tag=f";tag={refusal.to_tag}"))
    world.tick(2)
    assert not world.workers
    assert not world.public


def test_an_invite_is_repeated_until_a_sign_of_life(world: World) -> None:
    invite = dialled(world)
    world.tick(1.8)
    assert requests(world) == [("INVITE", "")] * 2
    callee(world, invite, 100)
    world.tick(20)
    assert not world.public


def test_a_destination_that_says_nothing_is_given_up_after_32_s(world: World) -> None:
    dialled(world)
    world.tick(32.1)
    (answer,) = [message for message in to_worker(world) if message.status != 100][:1]
    assert answer.status == 408
    assert world.ended == ["leg-1"]


def test_ringing_for_too_long_is_cancelled(world: World) -> None:
    invite = dialled(world, replace(DIAL, ring_s=5.0))
    callee(world, invite, 180)
    to_worker(world)
    world.tick(4.8)
    assert not world.public
    world.tick(0.4)
    assert requests(world) == [("CANCEL", "")]
    assert [message.status for message in to_worker(world)] == [408]
    assert state(world) is DialogState.LOST
    callee(world, invite, 487)
    assert requests(world) == [("ACK", "callee")]


def test_a_cancel_goes_with_the_branch_of_its_invite_and_waits_for_a_sign_of_life(world: World) -> None:
    invite = dialled(world)
    world.worker(worker_invite("CANCEL"))
    assert [message.status for message in to_worker(world)] == [200]
    assert not world.public
    callee(world, invite, 180)
    (cancel,) = world.to_public()
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.via.branch, cancel.cseq) == ("CANCEL", invite.via.branch, invite.cseq)
    callee(world, cancel, 200)
    world.tick(1)
    assert not world.public
    callee(world, invite, 487)
    assert requests(world) == [("ACK", "callee")]
    assert [message.status for message in to_worker(world)] == [487]
    assert world.ended == ["leg-1"]


def test_a_cancel_that_nobody_answers_ends_the_call_all_the_same(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 180)
    world.worker(worker_invite("CANCEL"))
    to_worker(world)
    world.tick(2)
    assert 487 in [message.status for message in to_worker(world)]
    assert world.ended == ["leg-1"]


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 180)
    world.worker(worker_invite("CANCEL"))
    to_worker(world)
    world.to_public()
    callee(world, invite, 200, body=SDP)
    assert requests(world) == [("ACK", "callee"), ("BYE", "callee")]
    assert [message.status for message in to_worker(world)] == [487]
    assert world.ended == ["leg-1"]
    world.tick(1)
    assert {method for method, _ in requests(world)} == {"BYE"}  # the CANCEL is not sent again


@pytest.mark.parametrize("why", ["rang too long", "cancelled", "ended by the gateway"])
def test_an_answer_after_the_end_is_acknowledged_and_hung_up(world: World, why: str) -> None:
    invite = dialled(world, replace(DIAL, ring_s=5.0))
    callee(world, invite, 180)
    if why == "cancelled":
        world.worker(worker_invite("CANCEL"))
    elif why == "ended by the gateway":
        world.perform(world.core.end_leg("leg-1", "no longer wanted", world.now))
    world.tick(5.5)
    assert state(world) is DialogState.LOST
    world.to_public()
    world.to_worker()
    callee(world, invite, 200, body=SDP)
    assert requests(world) == [("ACK", "callee"), ("BYE", "callee")]
    assert not [message for message in to_worker(world) if message.status == 200]
    assert world.ended == ["leg-1"]


def test_a_second_phone_that_answers_is_hung_up(world: World) -> None:
    invite, answer = answered(world)
    callee(world, invite, 200, "another", SDP)
    assert requests(world) == [("ACK", "another"), ("BYE", "another")]
    callee(world, invite, 200, "callee", SDP)  # our ACK was lost
    assert [message.to_tag for message in to_worker(world)] == [answer.to_tag]
    assert state(world) is DialogState.CONFIRMED


def test_each_phone_that_rings_is_a_dialog_of_its_own_to_the_worker(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 183, "first", SDP)
    callee(world, invite, 180, "second")
    callee(world, invite, 200, "first", SDP)
    tags = [message.to_tag for message in to_worker(world)]
    assert tags[0] == tags[2] != tags[1]


def test_an_answer_that_cannot_be_used_is_hung_up(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 200, body=SDP.replace(b"PCMU/8000", b"iLBC/8000").replace(b"RTP/AVP 0", b"RTP/AVP 98"))
    assert requests(world) == [("ACK", "callee"), ("BYE", "callee")]
    assert [message.status for message in to_worker(world)] == [488]


def test_a_worker_that_is_lost_leaves_no_phone_ringing_or_talking(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 180)
    world.perform(world.core.end_worker_legs("w1", world.now)[1])
    assert requests(world) == [("CANCEL", "")]
    other = make_world()
    answered(other)
    other.perform(other.core.end_worker_legs("w1", other.now)[1])
    assert requests(other) == [("BYE", "callee")]


def reasons(world: World, method: str) -> list[str]:
    """Reason values of what the called side was sent."""
    sent = [message for message in world.to_public() if isinstance(message, Request) and message.method == method]
    return [value for message in sent for value in values(message, "reason")]


def test_each_cancel_and_bye_says_why_in_q850(world: World) -> None:
    invite = dialled(world, replace(DIAL, ring_s=5.0))
    callee(world, invite, 180)
    world.tick(5.2)
    assert reasons(world, "CANCEL") == ['Q.850;cause=19;text="the call was not answered in time"']
    callee(world, invite, 200, body=SDP)
    assert reasons(world, "BYE") == ['Q.850;cause=16;text="the call was cancelled"']
    other = make_world()
    callee(other, dialled(other), 180)
    cancel = worker_invite("CANCEL").replace(b"Content-Length", b'Reason: Q.850;cause=16;text="over"\r\nContent-Length')
    other.worker(cancel)
    assert reasons(other, "CANCEL") == ['Q.850;cause=16;text="over"']
    third = make_world()
    answered(third)
    third.perform(third.core.end_leg("leg-1", "no owner", third.now))
    assert reasons(third, "BYE")[0] == 'Q.850;cause=41;text="no owner"'


@pytest.mark.parametrize(("silent", "ring_s", "cause"), [(True, 33.0, 38), (True, 5.0, 38), (False, 33.0, 19)])
def test_the_worker_is_told_the_cause_of_our_own_end(world: World, silent: bool, ring_s: float, cause: int) -> None:
    invite = dialled(world, replace(DIAL, ring_s=ring_s))
    if not silent:
        callee(world, invite, 180)
    world.tick(33.2)
    answer = next(message for message in to_worker(world) if message.status == 408)
    assert values(answer, "reason")[0].startswith(f"Q.850;cause={cause};")
    assert values(answer, "server") == ["Trunkline edge"]
    (told,) = [event for event in world.told if isinstance(event, DialAttempted)]
    assert (told.status, told.cause) == (0, cause)


def test_the_gateway_ends_a_call_that_rings(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 180)
    to_worker(world)
    world.perform(world.core.end_leg("leg-1", "no longer wanted", world.now))
    assert requests(world) == [("CANCEL", "")]
    assert [message.status for message in to_worker(world)] == [500]


def test_nothing_is_left_of_calls_that_are_over(world: World) -> None:
    invite = dialled(world)
    callee(world, invite, 486)
    world.tick(200)
    context = world.context
    assert (len(context.dialogs), len(context.resends), len(context.relays)) == (0, 0, 0)
    assert context.dialogs.of_worker_call("pjsip-1") is None


def test_a_call_that_rings_for_minutes_is_still_known(world: World) -> None:
    invite = dialled(world, replace(DIAL, ring_s=300.0))
    callee(world, invite, 180)
    world.tick(150)
    to_worker(world)
    callee(world, invite, 200, body=SDP)
    assert [message.status for message in to_worker(world)] == [200]


def test_the_last_word_of_a_call_that_rings_is_a_cancel(world: World) -> None:
    invite = dialled(world)
    assert world.core.last_word("leg-1", "the gateway was lost") is None  # RFC 3261 section 9.1
    callee(world, invite, 180)
    word = world.core.last_word("leg-1", "the gateway was lost")
    assert word is not None and word.hop == CALLEE
    cancel = parse(word.data)
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.via.branch, cancel.cseq, cancel.uri_text) == (
        "CANCEL",
        invite.via.branch,
        17,
        DIAL.uri,
    )
    callee(world, invite, 200, body=SDP)
    word = world.core.last_word("leg-1", "the gateway was lost")
    assert word is not None and word.data.startswith(b"BYE ")
