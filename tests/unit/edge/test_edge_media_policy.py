"""An offer with a forbidden media address never reaches a worker or takes a slot."""

from __future__ import annotations

import pytest
from edge_world import SDP, call_request, first_request, make_world, values

from telephony.edge.hops import Hop
from telephony.sip.parse import Response


def refusal(messages: list[object]) -> Response:
    finals = [message for message in messages if isinstance(message, Response) and message.status >= 200]
    assert len(finals) == 1
    return finals[0]


@pytest.mark.parametrize(
    ("where", "warning", "says"),
    [
        (("10.1.2.3", "224.1.1.1"), "330", "multicast"),
        (("10.1.2.3", "255.255.255.255"), "399", "is not assigned"),
        (("10.1.2.3", "192.168.7.7"), "399", "not within the trunk's networks"),
        (("40000", "53"), "399", "port of a service"),
    ],
)
def test_a_new_call_is_refused_with_a_warning_and_a_record(where: tuple[str, str], warning: str, says: str):
    world = make_world()
    world.caller(call_request(body=SDP.replace(*(part.encode() for part in where))))
    answer = refusal(world.to_public())
    assert (answer.status, values(answer, "warning")[0][:3]) == (488, warning)
    assert says in values(answer, "warning")[0]
    assert (world.workers, world.admitter.invites) == ([], [])
    refused = world.refused[0].invite
    assert (refused.status, refused.rule) == (488, "sdp")
    assert says in refused.cause_text


def test_a_call_that_moves_its_audio_to_where_it_may_not_is_refused_that_and_goes_on():
    world = make_world()
    world.established()
    body = SDP.replace(b"c=IN IP4 10.1.2.3", b"c=IN IP4 224.1.1.1")
    world.caller(call_request(to_tag="bob", cseq=2, branch="z9hG4bKre", body=body))
    assert refusal(world.to_public()).status == 488
    assert (world.workers, world.ended) == ([], [])
    world.caller(call_request(to_tag="bob", cseq=3, branch="z9hG4bKthird", body=SDP.replace(b"40000", b"40010")))
    assert b"m=audio 40010" in first_request(world.to_worker()).body


def test_an_address_behind_nat_is_where_the_offer_came_from():
    world = make_world(allow=("8.8.4.0/24",))
    world.caller(call_request(), Hop("udp", "8.8.4.4", 5060, 0))
    assert b"c=IN IP4 8.8.4.4" in first_request(world.to_worker()).body
