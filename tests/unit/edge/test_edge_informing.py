"""Our keys by INFO within a call: all of it ends in the edge."""

from __future__ import annotations

import pytest
from edge_world import CALLER, World, call_request, make_world, values

from telephony.edge.hops import Hop, KeyAnswered
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials
from telephony.sip.info import InfoKey, read_key
from telephony.sip.parse import Request


def send(world: World, key: str = "5", token: str = "t1") -> Request:
    world.perform(world.core.send_key("c1", key, 160, token, world.now))
    (request,) = world.to_public()
    assert isinstance(request, Request)
    return request


def told(world: World) -> list[KeyAnswered]:
    return [each for each in world.told if isinstance(each, KeyAnswered)]


@pytest.mark.parametrize("key", ["5", "*", "#", "D"])
def test_the_info_is_the_calls_own_and_says_the_key(key: str) -> None:
    world = make_world()
    world.established()
    request = send(world, key)
    assert (request.method, request.call_id, request.from_tag, request.to_tag) == ("INFO", "call-1", "bob", "alice")
    assert values(request, "content-type") == ["application/dtmf-relay"]
    assert read_key("application/dtmf-relay", request.body) == InfoKey(key, 160)
    assert world.to_worker() == []


@pytest.mark.parametrize("status", [200, 405, 415, 481, 501])
def test_its_answer_is_told_once_and_the_worker_sees_none_of_it(status: int) -> None:
    world = make_world()
    world.established()
    request = send(world)
    world.caller(world.answer(request, 100))
    world.caller(world.answer(request, status))
    world.caller(world.answer(request, status))
    assert told(world) == [KeyAnswered("t1", status, "Whatever")]
    assert world.to_worker() == []


def test_without_an_answer_it_is_sent_again_and_given_up() -> None:
    world = make_world()
    world.established()
    send(world)
    world.tick(33)
    again = [message for message in world.to_public() if isinstance(message, Request)]
    assert {message.method for message in again} == {"INFO"} and len(again) > 5
    assert told(world) == [KeyAnswered("t1", 0, "the peer did not answer the INFO")]


def test_each_key_has_its_own_number_and_its_own_answer() -> None:
    world = make_world()
    world.established()
    first, second = send(world, "1", "t1"), send(world, "2", "t2")
    assert second.cseq == first.cseq + 1
    world.caller(world.answer(second, 200))
    world.caller(world.answer(first, 200))
    assert [each.token for each in told(world)] == ["t2", "t1"]


def test_a_challenge_is_answered_with_the_trunks_account() -> None:
    world = make_world(trunk={"account": Credentials("us", "secret")})
    world.established()
    first = send(world)
    world.caller(world.answer(first, 407, more=('Proxy-Authenticate: Digest realm="carrier", nonce="n1", qop="auth"',)))
    (second,) = world.to_public()
    assert isinstance(second, Request)
    assert 'username="us"' in values(second, "proxy-authorization")[0] and second.body == first.body
    world.caller(world.answer(second, 200))
    assert told(world) == [KeyAnswered("t1", 200, "Whatever")]


def test_strangers_answer_nothing() -> None:
    world = make_world(others={"else": ("172.16.0.0/12",)})
    world.established()
    request = send(world)
    world.caller(world.answer(request, 415), Hop("udp", "172.16.0.9", 5060, CALLER.listener))
    assert told(world) == []


def test_where_no_key_can_be_sent() -> None:
    world = make_world()
    with pytest.raises(TelephonyMisuse, match="no call"):
        world.core.send_key("c1", "5", 160, "t1", world.now)
    world.caller(call_request())
    with pytest.raises(TelephonyMisuse, match="no key can be sent"):
        world.core.send_key("c1", "5", 160, "t1", world.now)
