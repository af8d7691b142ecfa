"""Numbers keep their meaning: the called number, the caller, and withheld callers."""

from __future__ import annotations

import pytest
from edge_world import World, call_request, make_world

from gateway.dialplan import normalise, normalise_caller


@pytest.mark.parametrize(
    ("uri", "called", "number"),
    [
        # tel: URIs (RFC 3966)
        ("tel:+1-555-01.99", "+15550199", "+15550199"),
        ("tel:+1(555)0199;isub=1411", "+15550199", "+15550199"),
        ("tel:+15550199;ext=22", "+15550199", "+15550199"),
        ("tel:+15550199;npdi;rn=+14045550000", "+15550199", "+15550199"),
        ("tel:+15550199;rn=+14045550000;rn-context=+1;cic=+15550;tgrp=x", "+15550199", "+15550199"),
        ("TEL:+15550199", "+15550199", "+15550199"),
        ("tel:863-1234;phone-context=+1-914", "8631234;phone-context=+1914", "+19148631234"),
        ("tel:0199;isub=1;phone-context=+1555", "0199;phone-context=+1555", "+15550199"),
        ("tel:2015550123;phone-context=+1", "2015550123;phone-context=+1", "+12015550123"),
        ("tel:020-7946-0123;phone-context=+44", "02079460123;phone-context=+44", "+442079460123"),
        ("tel:911;phone-context=+1", "911;phone-context=+1", "911"),
        ("tel:7042;phone-context=example.com", "7042", "7042"),
        ("tel:+15550199;phone-context=+49", "+15550199", "+15550199"),  # is global already
        ("tel:7042;phone-context=", "7042", "7042"),
        ("tel:7042;phone-context=+x", "7042", "7042"),
        ("tel:%2B15550199", "+15550199", "+15550199"),
        # telephone-subscribers in sip: URIs (RFC 3261 section 19.1.6)
        ("sip:+1-555-0199;isub=3@192.0.2.1;user=phone", "+15550199", "+15550199"),
        ("sip:+15550199;npdi;rn=+1404@192.0.2.1;user=phone", "+15550199", "+15550199"),
        ("sip:8631234;phone-context=+1914@192.0.2.1;user=phone", "8631234;phone-context=+1914", "+19148631234"),
        ("sip:8631234;phone-context=%2B1914@192.0.2.1;user=phone", "8631234;phone-context=+1914", "+19148631234"),
        ("sip:8631234@192.0.2.1;user=phone;phone-context=+1914", "8631234;phone-context=+1914", "+19148631234"),
        ("sip:8631234@192.0.2.1;phone-context=+1914", "8631234", None),  # a parameter of the host means nothing
        ("sip:7042;phone-context=carrier.example@192.0.2.1;user=phone", "7042", "7042"),
        ("sips:%2B1%205550199@192.0.2.1;user=phone", "+15550199", "+15550199"),
        ("sip:%2B1%28555%290199@192.0.2.1", "+15550199", "+15550199"),
        ("sip:+15550199:secret@192.0.2.1", "+15550199", "+15550199"),
        ("sip:front.desk-2@192.0.2.1", "front.desk-2", "front.desk-2"),
        ("sip:desk;x=1@192.0.2.1", "desk;x=1", "desk"),
        ("sip:desk;isub=1@192.0.2.1;user=phone", "desk", "desk"),
        ("sip:*72@192.0.2.1", "*72", "*72"),
        ("sip:192.0.2.1", "", ""),
        ("sip:a%0D%0AX%3A%201@192.0.2.1", "aX: 1", None),
    ],
)
def test_who_is_called(world: World, uri: str, called: str, number: str | None) -> None:
    world.caller(call_request(uri=uri))
    (invite,) = world.admitter.invites
    assert invite.called == called
    assert number is None or normalise(invite.called, "US") == number


PAI, RPID = "P-Asserted-Identity: ", "Remote-Party-ID: "


@pytest.mark.parametrize(
    ("more", "trusted", "otherwise"),
    [
        ((), "+15550123", "+15550123"),
        ((PAI + "<sip:+15550777@carrier>",), "+15550777", "+15550123"),
        ((PAI + '"Ann, \\"A\\" <x>" <sip:+15550777@carrier;user=phone>',), "+15550777", "+15550123"),
        ((PAI + "<tel:+1-555-0777;ext=3>",), "+15550777", "+15550123"),
        ((PAI + "<sip:ann@carrier>, <tel:+15550777>",), "+15550777", "+15550123"),
        ((PAI + "<sip:ann@carrier>", PAI + "<tel:+15550777>"), "+15550777", "+15550123"),
        ((PAI + "<sip:ann@carrier>",), "ann", "+15550123"),
        ((PAI + "<tel:5550777;phone-context=+1>",), "+15550777", "+15550123"),
        ((PAI + "<sip:anonymous@anonymous.invalid>",), "+15550123", "+15550123"),
        ((PAI + "<<<",), "+15550123", "+15550123"),
        ((PAI + '"broken <sip:+15550777@carrier>',), "+15550123", "+15550123"),
        # privacy counts from anybody (RFC 3323, 3325)
        ((PAI + "<sip:+15550777@carrier>", "Privacy: id"), None, None),
        ((PAI + "<sip:+15550777@carrier>", "Privacy: ID;critical"), None, None),
        (("Privacy: header; user",), None, None),
        (("Privacy: session", "Privacy: id"), None, None),
        (("Privacy: none",), "+15550123", "+15550123"),
        (("Privacy: session;critical",), "+15550123", "+15550123"),
        # Remote-Party-ID
        ((RPID + "<sip:+15550888@carrier>;party=calling;screen=yes;privacy=off",), "+15550888", "+15550123"),
        ((RPID + "<sip:+15550888@carrier>",), "+15550888", "+15550123"),
        ((RPID + '"A" <sip:+15550888@carrier>;party=calling;privacy=full',), None, None),
        ((RPID + "<sip:+15550888@carrier>;party=calling;privacy=uri;screen=yes",), None, None),
        ((RPID + "<sip:+15550888@carrier>;privacy=name",), "+15550888", "+15550123"),
        ((RPID + "<sip:+15550888@carrier>;party=called",), "+15550123", "+15550123"),
        ((RPID + "<sip:+1@carrier>;party=called, <sip:+15550888@carrier>;party=calling",), "+15550888", "+15550123"),
        ((RPID + "<sip:+15550888@carrier>;party=called;privacy=full",), "+15550123", "+15550123"),
        ((RPID + "<sip:+15550888@carrier>;screen=no",), "+15550123", "+15550123"),
        ((RPID + "<sip:+15550888@carrier>", PAI + "<sip:+15550777@carrier>"), "+15550777", "+15550123"),
        ((RPID + ">>",), "+15550123", "+15550123"),
    ],
)
def test_who_calls(more: tuple[str, ...], trusted: str | None, otherwise: str | None) -> None:
    for trust, caller in ((True, trusted), (False, otherwise)):
        world = make_world(trunk={"trust_identity": trust})
        world.caller(call_request(more=more))
        assert normalise_caller(world.admitter.invites[0].caller, "US") == caller


def test_the_called_number_may_stand_in_to() -> None:
    """Trunks that send every call to one registered user."""
    for called_from, called in (("to", "+15550199"), ("request-uri", "account42")):
        world = make_world(trunk={"called_from": called_from})
        world.caller(call_request(uri="sip:account42@192.0.2.1"))
        invite = world.admitter.invites[0]
        assert (invite.called, invite.to_user) == (called, "+15550199")


def test_a_to_without_a_user_leaves_the_request_uri() -> None:
    world = make_world(trunk={"called_from": "to"})
    data = call_request(uri="sip:+15550142@192.0.2.1").replace(b"To: <sip:+15550199@192.0.2.1>", b"To: <sip:192.0.2.1>")
    world.caller(data)
    assert world.admitter.invites[0].called == "+15550142"
