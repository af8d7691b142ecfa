"""A call to a phone with several devices: all ring, one gets it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_phones import DESK, Device, phone_world, told
from edge_world import SDP, WORKER, WORKER_PORT, World, sip
from test_edge_dialing import to_worker, worker_invite

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import DialogEnded, Hop
from telephony.edge.protocol import Dial, Fork
from telephony.sip.parse import Request
from telephony.sip.resolving import Place

SOFT = replace(DESK, port=40002)
CALLS = (("sip:anna@192.168.7.2:5060", DESK), ("sip:anna@192.168.7.3:5060", SOFT))


def place(hop: Hop) -> Place:
    return Place(hop.transport, hop.ip, hop.port)


@pytest.fixture
def world() -> World:
    world = phone_world()
    for uri, hop in CALLS:
        Device(world, hop=hop, uri=uri).register()
    world.public.clear()
    told(world)
    return world


@pytest.fixture
def rung(world: World) -> dict[Hop, Request]:
    """Both have got the INVITE."""
    (first, at), (second, beside) = CALLS
    dial = Dial(
        "leg-1",
        WORKER,
        "phones",
        first,
        "sip:+15550199@192.0.2.1",
        at.ip,
        at.port,
        besides=(Fork(second, place(beside)),),
    )
    world.core.allow_dial(dial, world.now)
    world.worker(worker_invite())
    hops = [sent.hop for sent in world.public]
    invites = [message for message in world.to_public() if isinstance(message, Request)]
    assert [invite.uri_text for invite in invites] == [first, second]
    assert len({invite.via.branch for invite in invites}) == 2
    assert {(invite.call_id, invite.cseq, invite.from_tag) for invite in invites} == {
        (invites[0].call_id, invites[0].cseq, invites[0].from_tag)
    }
    world.workers.clear()
    return dict(zip(hops, invites, strict=True))


def answers(world: World, rung: dict[Hop, Request], hop: Hop, status: int, tag: str = "") -> None:
    more = ("Content-Type: application/sdp",) if 200 <= status < 300 else ()
    data = world.answer(rung[hop], status, to_tag=tag or f"tag{hop.port}", more=more)
    if more:
        body = SDP.replace(b"10.1.2.3", hop.ip.encode())
        data = data.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(body)) + body
    world.caller(data.replace(b"sip:bob@127.0.0.1:40001", b"sip:anna@192.168.7.2"), hop)


def sent(world: World) -> list[tuple[str, int]]:
    """Method, and the port of the device that it was sent to."""
    found = [(each.data.split(b" ", 1)[0].decode(), each.hop.port) for each in world.public]
    world.public.clear()
    return [each for each in found if each[0] not in ("OPTIONS", "SIP/2.0")]


def status(world: World) -> list[int]:
    return [answer.status for answer in to_worker(world)]


def state(world: World) -> DialogState:
    dialog = world.context.dialogs.of_leg("leg-1")
    assert dialog is not None
    return dialog.state


@pytest.mark.parametrize(("winner", "other"), [(DESK, SOFT), (SOFT, DESK)])
def test_the_first_to_answer_has_the_call_and_the_others_stop_ringing(
    world: World, rung: dict[Hop, Request], winner: Hop, other: Hop
) -> None:
    for hop in (DESK, SOFT):
        answers(world, rung, hop, 180)
    assert status(world) == [180, 180]
    answers(world, rung, winner, 200)
    accepted = to_worker(world)
    assert [answer.status for answer in accepted] == [200]
    assert sent(world) == [("CANCEL", other.port)]
    answers(world, rung, other, 487)
    assert sent(world) == [("ACK", other.port)]
    assert state(world) is DialogState.CONFIRMED
    bye = sip(
        f"BYE sip:leg-1@127.0.0.1:{WORKER_PORT} SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKbye",
        "From: <sip:trunkline@127.0.0.1:40001>;tag=ours",
        f"To: <sip:leg-1@127.0.0.1:{WORKER_PORT}>;tag={accepted[0].to_tag}",
        "Call-ID: pjsip-1",
        "CSeq: 18 BYE",
    )
    world.worker(bye)
    assert sent(world) == [("BYE", winner.port)]


def test_one_that_answers_too_late_is_hung_up(world: World, rung: dict[Hop, Request]) -> None:
    for hop in (DESK, SOFT):
        answers(world, rung, hop, 180)
    answers(world, rung, SOFT, 200)
    sent(world)
    answers(world, rung, DESK, 200)
    assert sent(world) == [("ACK", DESK.port), ("BYE", DESK.port)]
    assert state(world) is DialogState.CONFIRMED


@pytest.mark.parametrize(("first", "second"), [(DESK, SOFT), (SOFT, DESK)])
def test_one_that_is_busy_leaves_it_to_the_other(
    world: World, rung: dict[Hop, Request], first: Hop, second: Hop
) -> None:
    answers(world, rung, first, 486)
    assert sent(world) == [("ACK", first.port)]
    assert status(world) == []
    answers(world, rung, second, 180)
    answers(world, rung, second, 200)
    assert status(world) == [180, 200]
    assert sent(world) == []


def test_all_are_busy_or_absent(world: World, rung: dict[Hop, Request]) -> None:
    answers(world, rung, SOFT, 486)
    answers(world, rung, DESK, 480)
    assert status(world) == [486]  # which says more
    assert [event.sip_status for event in world.told if isinstance(event, DialogEnded)] == [486]


@pytest.mark.parametrize(("who", "other"), [(DESK, SOFT), (SOFT, DESK)])
def test_a_decline_speaks_for_all(world: World, rung: dict[Hop, Request], who: Hop, other: Hop) -> None:
    for hop in (DESK, SOFT):
        answers(world, rung, hop, 180)
    status(world)
    sent(world)
    answers(world, rung, who, 603)
    assert status(world) == [603]
    assert ("CANCEL", other.port) in sent(world)


def test_the_caller_gives_up(world: World, rung: dict[Hop, Request]) -> None:
    answers(world, rung, DESK, 180)
    sent(world)
    world.worker(worker_invite("CANCEL"))
    assert sent(world) == [("CANCEL", DESK.port)]  # the other has said nothing yet (RFC 3261 section 9.1)
    answers(world, rung, SOFT, 180)
    assert sent(world) == [("CANCEL", SOFT.port)]
    answers(world, rung, DESK, 487)
    answers(world, rung, SOFT, 487)
    assert status(world)[-1] == 487
    assert state(world) is DialogState.ENDED


def test_a_device_that_is_gone_is_noticed_and_the_other_rings_on(world: World, rung: dict[Hop, Request]) -> None:
    answers(world, rung, SOFT, 180)
    status(world)
    world.tick(5)
    assert ("anna", False, "no answer") in told(world)
    assert [each.uri for each in world.core.phones.reachable("anna", world.now)] == [CALLS[1][0]]
    answers(world, rung, SOFT, 200)
    assert status(world) == [200]


def test_when_all_are_gone_the_call_fails_at_once(world: World, rung: dict[Hop, Request]) -> None:
    world.tick(5)
    assert set(status(world)) == {408}
    assert told(world) == [("anna", False, "no answer")] * 2
    assert world.core.phones.reachable("anna", world.now) == ()
