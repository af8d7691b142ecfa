"""Who forwarded a call (Diversion, History-Info), and headers that a trunk's settings ask for."""

from __future__ import annotations

import pytest
from edge_world import call_request, make_world
from test_edge_which_trunk import invite

from telephony.call import CallInfo, Direction, Diversion
from telephony.edge.diversions import diversions_of

HISTORY = (
    "History-Info: <sip:+15550100@a.example>;index=1, "
    "<sip:+15550101@a.example;cause=486>;index=1.1, <sip:+15550199@192.0.2.1;cause=408>;index=1.2"
)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (
            [
                "Diversion: <sip:+15550102@a>;reason=user-busy;counter=1",
                'Diversion: "A" <tel:+15550101>;reason=no-answer',
            ],
            [("+15550102", "user-busy"), ("+15550101", "no-answer")],
        ),
        (["Diversion: <sip:+15550102@a>;privacy=full, <sip:+15550101@a>;privacy=off"], [("+15550101", "")]),
        (["Diversion: nonsense, <sip:@a>, <sip:+15550101@a"], []),
        ([HISTORY], [("+15550101", "no-answer"), ("+15550100", "user-busy")]),
        (
            ["History-Info: <sip:+15550100@a?Reason=SIP%3Bcause%3D302>;index=1", "History-Info: <sip:s@b>;index=1.1"],
            [("+15550100", "unconditional")],
        ),
        (["History-Info: <sip:+15550100@a?Privacy=history>;index=1, <sip:s@b>;index=1.1"], []),
        (["History-Info: <sip:+15550199@a>;index=1, <sip:+15550199@b>;index=1.1"], []),
        ([HISTORY, "Diversion: <sip:+15550109@a>;reason=deflection"], [("+15550109", "deflection")]),
        (['Diversion: <sip:+15550101@a>;reason="Some<Thing\'"'], [("+15550101", "something")]),
        ([f"Diversion: {', '.join(f'<sip:{n}@a>' for n in range(100, 190))}"], [(str(n), "") for n in range(100, 105)]),
        ([], []),
    ],
)
def test_who_forwarded_a_call_the_latest_first(headers: list[str], found: list[tuple[str, str]]) -> None:
    request = invite("+15550199", "192.0.2.1", *headers)
    assert [(each.number, each.reason) for each in diversions_of(request)] == found


def test_only_trusted_trunks_say_so() -> None:
    for trusted, found in ((True, ("+15550100",)), (False, ())):
        world = make_world(trunk={"trust_identity": trusted})
        world.caller(call_request(more=("Diversion: <sip:+15550100@a>;reason=user-busy",)))
        assert tuple(each.number for each in world.admitter.invites[0].diversions) == found


def test_headers_that_are_asked_for_come_beside_the_x_headers() -> None:
    more = (
        "X-A: 1",
        "Subject: order 7",
        "Organization: none of it",
        "X-Trunkline-Leg: forged",
        f"User-To-User: {'x' * 1025}",
    )
    world = make_world(trunk={"headers_in": frozenset({"subject", "user-to-user", "x-trunkline-leg"})})
    world.caller(call_request(more=more))
    found = {name.lower(): value for name, value in world.admitter.invites[0].headers.items()}
    assert found == {"x-a": "1", "subject": "order 7"}


def test_diversions_survive_json() -> None:
    info = CallInfo("c", Direction.INBOUND, "+1", None, "t", diversions=({"number": "+2", "reason": "x"},))  # type: ignore[arg-type]
    assert info.diversions == (Diversion("+2", "x"),)
