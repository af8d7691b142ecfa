"""A worker's call at several places, and with credentials: each attempt is told, and the worker knows of one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import SDP, World, first_request, make_world
from test_edge_dialing import CALLEE, DIAL, dialled, state, to_worker, worker_invite

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import DialAttempted, Hop, NotConnected, TrunkChanged
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials, read_parameters
from telephony.sip.parse import Request
from telephony.sip.resolving import Place

SECOND = Hop("udp", "10.9.9.8", 5080, 0)
TWO = replace(DIAL, others=(Place("udp", "10.9.9.8", 5080),))
ACCOUNT = replace(DIAL, account=Credentials("bob", "zanzibar"))
ASKS = 'WWW-Authenticate: Digest realm="carrier", nonce="n1", qop="auth"'


@pytest.fixture
def world() -> World:
    return make_world()


def said(world: World, invite: Request, status: int, *more: str, hop: Hop = CALLEE, body: bytes = b"") -> None:
    answer = world.answer(
        invite, status, to_tag="callee", more=(*more, *(("Content-Type: application/sdp",) if body else ()))
    )
    if body:
        answer = answer.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(body)) + body
    contact = f"sip:callee@{hop.ip}:5070".encode()
    world.caller(answer.replace(b"sip:bob@127.0.0.1:40001", contact), hop)


def sent(world: World) -> list[tuple[str, str, int]]:
    """Method, address and CSeq of what went out."""
    hops = [action.hop for action in world.public]
    found = list(zip(hops, world.to_public(), strict=True))
    return [(m.method, f"{hop.ip}:{hop.port}", m.cseq) for hop, m in found if isinstance(m, Request)]


def next_invite(world: World) -> Request:
    return next(m for m in world.to_public() if isinstance(m, Request) and m.method == "INVITE")


def attempts(world: World) -> list[tuple[str, int, str]]:
    return [(told.place.ip, told.status, told.reason) for told in world.told if isinstance(told, DialAttempted)]


# Credentials


@pytest.mark.parametrize(
    ("status", "asks", "answer"),
    [(401, "WWW-Authenticate", "authorization"), (407, "Proxy-Authenticate", "proxy-authorization")],
)
def test_a_challenge_is_answered_and_the_worker_knows_nothing_of_it(
    world: World, status: int, asks: str, answer: str
) -> None:
    first = dialled(world, ACCOUNT)
    said(world, first, status, f'{asks}: Digest realm="carrier", nonce="n1", qop="auth", algorithm=SHA-256')
    ack, again = [message for message in world.to_public() if isinstance(message, Request)]
    assert (ack.method, ack.via.branch, ack.cseq) == ("ACK", first.via.branch, first.cseq)
    assert (again.method, again.cseq, again.call_id) == ("INVITE", first.cseq + 1, first.call_id)
    assert again.via.branch != first.via.branch and again.body == first.body
    given = read_parameters(again.value(answer))
    assert (given["username"], given["uri"], given["nc"]) == ("bob", ACCOUNT.uri, "00000001")
    assert not to_worker(world)
    said(world, again, 200, body=SDP)
    (ok,) = to_worker(world)
    assert (ok.status, ok.cseq) == (200, 17)
    world.worker(worker_invite("ACK", tag=f";tag={ok.to_tag}", branch="z9hG4bKack"))
    assert sent(world) == [("ACK", "10.9.9.9:5070", first.cseq + 1)]
    assert [(ip, status) for ip, status, _ in attempts(world)] == [("10.9.9.9", 200)]


def test_credentials_that_are_refused_are_not_sent_again(world: World) -> None:
    said(world, dialled(world, ACCOUNT), 401, ASKS)
    said(world, next_invite(world), 401, ASKS.replace("n1", "n2"))
    assert [method for method, *_ in sent(world)] == ["ACK"]
    assert [answer.status for answer in to_worker(world)] == [401]
    assert [(ip, status) for ip, status, _ in attempts(world)] == [("10.9.9.9", 401)]


def test_without_an_account_the_worker_is_told(world: World) -> None:
    said(world, dialled(world), 407, ASKS.replace("WWW", "Proxy"))
    assert [answer.status for answer in to_worker(world)] == [407]


def test_the_cancel_of_a_call_with_credentials_is_of_its_second_invite(world: World) -> None:
    said(world, dialled(world, ACCOUNT), 401, ASKS)
    again = next_invite(world)
    said(world, again, 180)
    world.worker(worker_invite("CANCEL"))
    cancel = first_request(world.to_public())
    assert (cancel.method, cancel.via.branch, cancel.cseq) == ("CANCEL", again.via.branch, again.cseq)
    said(world, again, 487)
    assert [answer.status for answer in to_worker(world)][-1] == 487


# An outbound proxy


def test_what_begins_a_call_goes_with_the_proxys_route_and_the_rest_as_its_dialog_says() -> None:
    world = make_world(trunk={"route": "<sip:proxy.example;lr>"})
    invite = dialled(world, ACCOUNT)
    assert (invite.headers.get("route"), invite.uri_text) == (["<sip:proxy.example;lr>"], ACCOUNT.uri)
    said(world, invite, 401, ASKS)
    ack, again = [message for message in world.to_public() if isinstance(message, Request)]
    said(world, again, 180)
    world.worker(worker_invite("CANCEL"))
    cancel = first_request(world.to_public())
    assert [m.value("route") for m in (ack, again, cancel)] == ["<sip:proxy.example;lr>"] * 3
    said(world, again, 200, body=SDP)  # it crossed the CANCEL
    assert [message.headers.get("route") for message in world.to_public()] == [[], []]


# Several places


@pytest.mark.parametrize("status", [503, 500, 408])
def test_a_place_that_cannot_is_followed_by_the_next(world: World, status: int) -> None:
    first = dialled(world, TWO)
    said(world, first, status)
    assert sent(world) == [("ACK", "10.9.9.9:5070", 17), ("INVITE", "10.9.9.8:5080", 18)]


def test_the_next_place_answers_and_each_attempt_is_told(world: World) -> None:
    said(world, dialled(world, TWO), 503)
    again = next_invite(world)
    assert not to_worker(world)
    said(world, again, 180, hop=SECOND)
    said(world, again, 200, hop=SECOND, body=SDP)
    assert [answer.status for answer in to_worker(world)] == [180, 200]
    assert [(ip, status) for ip, status, _ in attempts(world)] == [("10.9.9.9", 503), ("10.9.9.8", 200)]


@pytest.mark.parametrize(("status", "refused"), [(503, 1), (403, 1), (488, 1), (486, 0), (404, 0), (603, 0)])
def test_a_trunk_that_takes_no_call_is_told_of_and_a_callee_who_takes_none_is_not(
    world: World, status: int, refused: int
) -> None:
    said(world, dialled(world, DIAL), status)
    told = [told for told in world.told if isinstance(told, TrunkChanged)]
    assert [(each.trunk, each.what, each.place) for each in told] == [
        (DIAL.trunk, "refused", DIAL.places[0]) for _ in range(refused)
    ]
    assert all(each.text.startswith(str(status)) for each in told)


@pytest.mark.parametrize("status", [486, 600, 603, 404, 403, 488])
def test_no_other_place_after_a_busy_a_6xx_or_any_other_word(world: World, status: int) -> None:
    said(world, dialled(world, TWO), status)
    assert [method for method, *_ in sent(world)] == ["ACK"]
    assert [answer.status for answer in to_worker(world)] == [status]


def test_480_where_that_is_said(world: World) -> None:
    said(world, dialled(world, replace(TWO, fail_over_on=frozenset({480, 486, 603}))), 480)
    assert world.public[-1].hop == SECOND
    said(world, next_invite(world), 486, hop=SECOND)
    assert [answer.status for answer in to_worker(world)] == [486]


def test_a_silent_place_is_left_and_what_it_says_later_is_seen_to(world: World) -> None:
    first = dialled(world, TWO)
    world.public.clear()
    world.tick(4.1)
    assert world.public[-1].hop == SECOND
    again = [m for m in world.to_public() if isinstance(m, Request)][-1]
    assert (again.method, again.cseq) == ("INVITE", 18)
    assert attempts(world) == [("10.9.9.9", 0, "no answer")]
    world.public.clear()
    world.tick(3)
    assert {where for _, where, _ in sent(world)} == {"10.9.9.8:5080"}  # the first is not asked any more
    said(world, again, 180, hop=SECOND)
    world.public.clear()
    said(world, first, 180)
    assert sent(world) == [("CANCEL", "10.9.9.9:5070", 17)]
    world.public.clear()
    said(world, first, 200, body=SDP)
    assert sent(world) == [("ACK", "10.9.9.9:5070", 17), ("BYE", "10.9.9.9:5070", 1017)]
    assert [answer.status for answer in to_worker(world)] == [180]
    assert state(world) is DialogState.INVITING


@pytest.mark.parametrize("status", [408, 480])
def test_a_phone_that_has_rung_in_vain_does_not_ring_again_elsewhere(world: World, status: int) -> None:
    first = dialled(world, replace(TWO, fail_over_on=frozenset({408, 480})))
    said(world, first, 180)
    said(world, first, status)
    assert [method for method, *_ in sent(world)] == ["ACK"]
    assert [answer.status for answer in to_worker(world)] == [180, status]
    assert not world.context.failed_places.passed_over_until(Place("udp", "10.9.9.9", 5070))


def test_a_place_that_rings_is_not_left(world: World) -> None:
    said(world, dialled(world, TWO), 180)
    world.public.clear()
    world.tick(20)
    assert not sent(world)


def test_when_the_last_place_is_silent_the_worker_is_told(world: World) -> None:
    dialled(world, TWO)
    world.tick(4.1)
    world.tick(32.5)
    assert [answer.status for answer in to_worker(world)] == [408]
    assert [(ip, status) for ip, status, _ in attempts(world)] == [("10.9.9.9", 0), ("10.9.9.8", 0)]


def test_no_connection_is_no_answer(world: World) -> None:
    world.core.allow_dial(replace(TWO, transport="tcp"), world.now)
    world.worker(worker_invite())
    hop = world.public[0].hop
    assert hop == Hop("tcp", "10.9.9.9", 5070, 1, chosen=True)
    world.public.clear()
    world.perform(world.core.not_connected(NotConnected(hop), world.now))
    assert sent(world)[-1][:2] == ("INVITE", "10.9.9.8:5080")


def test_a_bye_may_connect_to_the_place_that_was_chosen(world: World) -> None:
    place = replace(DIAL, transport="tcp", host="203.0.113.7", trunk="carrier")
    invite = dialled(world, place)
    hop = Hop("tcp", "203.0.113.7", 5070, 1)
    said(world, invite, 200, hop=hop, body=SDP)
    world.public.clear()
    world.perform(world.core.end_leg("leg-1", "over", world.now))
    assert [(action.hop.ip, action.hop.chosen) for action in world.public] == [("203.0.113.7", True)]


def test_a_cancelled_call_is_tried_nowhere_else(world: World) -> None:
    first = dialled(world, TWO)
    world.worker(worker_invite("CANCEL"))
    said(world, first, 503)
    assert [method for method, *_ in sent(world)] == ["ACK"]
    assert 487 in [answer.status for answer in to_worker(world)]


def test_a_place_that_failed_comes_last_for_a_while(world: World) -> None:
    said(world, dialled(world, TWO), 503, "Retry-After: 60")
    said(world, next_invite(world), 603, hop=SECOND)
    world.to_worker()
    world.public.clear()
    world.tick(70 - 35)
    world.core.allow_dial(replace(TWO, leg_id="leg-2"), world.now)
    world.worker(worker_invite(leg="leg-2", branch="z9hG4bKsecond").replace(b"pjsip-1", b"pjsip-2"))
    assert world.public[-1].hop.ip == "10.9.9.8"


def test_each_place_is_looked_at_beforehand(world: World) -> None:
    for place in (
        Place("udp", "192.0.2.1", 5060),
        Place("udp", "carrier.example", 5060),
        Place("tls", "10.9.9.8", 5061),
    ):
        with pytest.raises(TelephonyMisuse):
            world.core.allow_dial(replace(DIAL, others=(place,)), world.now)


def test_the_worker_dies_amid_the_second_attempt(world: World) -> None:
    said(world, dialled(world, TWO), 503)
    again = next_invite(world)
    said(world, again, 180, hop=SECOND)
    world.public.clear()
    _, actions = world.core.end_worker_legs("w1", world.now)
    world.perform(actions)
    assert sent(world)[-1] == ("CANCEL", "10.9.9.8:5080", 18)
