"""A call of ours that is sent elsewhere by a 3xx: followed within its trunk's own hosts only."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edge_world import SDP, World, first_request, sip, values
from test_edge_dial_attempts import SECOND, TWO, attempts, next_invite, said, sent
from test_edge_dialing import dialled, to_worker, worker_invite

from telephony.edge.hops import Hop
from telephony.edge.redirecting import Moved, NotFollowed, redirection
from telephony.sip.parse import Request, Response, parse
from telephony.sip.resolving import Place

SAME = "sip:+15550100@10.9.9.8"


def moved(world: World, invite: Request, *contacts: str, status: int = 302) -> None:
    answer = world.answer(invite, status, to_tag="callee").replace(b"Contact: <sip:bob@127.0.0.1:40001>\r\n", b"")
    lines = "".join(f"Contact: {contact}\r\n" for contact in contacts).encode()
    world.caller(answer.replace(b"Content-Length", lines + b"Content-Length"), _hop(invite))


def _hop(invite: Request) -> Hop:
    return SECOND if "10.9.9.8" in invite.uri_text else replace(SECOND, ip="10.9.9.9", port=5070)


def test_it_is_followed_to_another_host_of_the_trunk(world: World) -> None:
    invite = dialled(world, TWO)
    moved(world, invite, f"<{SAME};x=1>")
    (ack, again) = [message for message in world.to_public() if isinstance(message, Request)]
    assert (ack.method, ack.via.branch, ack.uri_text) == ("ACK", invite.via.branch, TWO.uri)
    assert (again.method, again.uri_text, again.cseq) == ("INVITE", f"{SAME};x=1", invite.cseq + 1)
    assert (again.recipient.uri, again.call_id, again.body) == (TWO.uri, invite.call_id, SDP)
    assert not to_worker(world)
    said(world, again, 180, hop=SECOND)
    world.worker(worker_invite("CANCEL"))
    cancel = first_request(world.to_public())
    assert (cancel.method, cancel.uri_text) == ("CANCEL", again.uri_text)
    assert [(ip, status) for ip, status, _ in attempts(world)] == [("10.9.9.9", 302)]


def test_elsewhere_it_is_not_and_the_record_says_where(world: World) -> None:
    moved(world, dialled(world, TWO), "<sip:+15550100@203.0.113.9>")
    assert [method for method, *_ in sent(world)] == ["ACK"]
    (answer,) = to_worker(world)
    why = "redirected by 302, which is not followed: 203.0.113.9 is not a host of the trunk"
    assert answer.status == 302
    assert values(answer, "reason") == [f'Q.850;cause=127;text="{why}"', f'SIP;cause=302;text="{why}"']
    assert attempts(world) == [("10.9.9.9", 302, why)]


def test_not_in_circles(world: World) -> None:
    invite = dialled(world, TWO)
    for _ in range(5):
        moved(world, invite, f"<{SAME}>")
        invite = next_invite(world)
    moved(world, invite, f"<{SAME}>")
    assert [answer.status for answer in to_worker(world)] == [302]


def test_a_number_that_may_not_be_called_is_not_called_by_a_redirection(world: World) -> None:
    moved(world, dialled(world, TWO), "<sip:+19005550100@10.9.9.8>")
    assert [answer.status for answer in to_worker(world)] == [302]
    assert "+19005550100 is not a number that may be called" in attempts(world)[0][2]


def test_a_number_that_may_be_called_is(world: World) -> None:
    world.context.may_redirect = lambda trunk, number: (trunk, number) == ("carrier", "+15550177")
    moved(world, dialled(world, TWO), "<sip:+15550177@10.9.9.8>")
    assert next_invite(world).uri_text == "sip:+15550177@10.9.9.8"


PLACES = (Place("udp", "10.9.9.9", 5070, "sip.carrier.example"), Place("tcp", "10.9.9.8", 5080))
CALLED = "sip:+15550100@carrier.example"


@pytest.mark.parametrize(
    ("contacts", "found"),
    [
        (f"Contact: <{SAME}>;q=0.5, <sip:+15550100@10.9.9.9>;q=0.9", Moved(PLACES[0], "sip:+15550100@10.9.9.9")),
        ("m: <sip:+1-555-0100@SIP.carrier.example.>", Moved(PLACES[0], "sip:+1-555-0100@SIP.carrier.example.")),
        (f"Contact: {SAME}:5099", Moved(replace(PLACES[1], port=5099), f"{SAME}:5099")),
        (f"Contact: <{SAME}?Replaces=x>", Moved(PLACES[1], SAME)),
        (f"Contact: <{SAME};transport=udp>", None),
        ("Contact: <sips:+15550100@10.9.9.8>", None),
        ("Contact: <tel:+15550100>", None),
        ("Contact: <sip:+15550100@elsewhere.example>", None),
        ("Contact: *", None),
        ('Contact: "', None),
        ("X: y", None),
    ],
)
def test_which_contact_is_followed(contacts: str, found: Moved | None) -> None:
    via, parties = "Via: SIP/2.0/UDP a;branch=z9hG4bK1", ("From: <sip:a@b>;tag=1", "To: <sip:a@b>;tag=2")
    response = parse(sip("SIP/2.0 302 Moved", via, *parties, "Call-ID: c", "CSeq: 1 INVITE", contacts))
    assert isinstance(response, Response)
    got = redirection(response, PLACES, CALLED, lambda number: False)
    assert got == found if found is not None else isinstance(got, NotFollowed)


def test_a_secure_call_stays_one() -> None:
    place = Place("tls", "10.9.9.8", 5061)
    for scheme, followed in (("sip", False), ("sips", True)):
        via, parties = "Via: SIP/2.0/TLS a;branch=z9hG4bK1", ("From: <sip:a@b>;tag=1", "To: <sip:a@b>;tag=2")
        contact = f"Contact: <{scheme}:+15550100@10.9.9.8>"
        response = parse(sip("SIP/2.0 302 Moved", via, *parties, "Call-ID: c", "CSeq: 1 INVITE", contact))
        assert isinstance(response, Response)
        got = redirection(response, [place], "sips:+15550100@carrier.example", lambda number: False)
        assert isinstance(got, Moved) == followed


def test_where_it_is_not_to_be_followed_it_is_a_refusal(world: World) -> None:
    moved(world, dialled(world, replace(TWO, follow=False)), f"<{SAME}>")
    assert [method for method, *_ in sent(world)] == ["ACK"]
    (answer,) = to_worker(world)
    assert answer.status == 302
    assert "which is not followed for who is called in" in values(answer, "reason")[0]
