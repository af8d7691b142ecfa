"""A call whose admission waits for an answer from elsewhere: the caller gets 100, and nothing else is delayed."""

from __future__ import annotations

import pytest
from edge_world import World, call_request, first_request, make_world, statuses

from telephony.edge.protocol import Refuse
from telephony.edge.undecided import LONGEST_S


@pytest.fixture
def world() -> World:
    made = make_world()
    made.admitter.later = ["t1"]
    return made


def decided(world: World, token: str = "t1") -> bool:
    actions = world.core.decided(token, world.now)
    world.perform(actions or [])
    return actions is not None


def test_it_goes_to_its_worker_once_it_is_decided(world: World) -> None:
    world.caller(call_request())
    assert (statuses(world), world.to_worker()) == ([100], [])
    world.now += 0.7
    assert decided(world)
    assert first_request(world.to_worker()).method == "INVITE"
    assert not decided(world)


def test_a_retransmission_gets_100_and_is_not_asked_about_again(world: World) -> None:
    world.caller(call_request())
    world.caller(call_request())
    assert statuses(world) == [100, 100]
    assert len(world.admitter.invites) == 1
    assert world.to_worker() == []


def test_other_calls_go_on_meanwhile(world: World) -> None:
    world.caller(call_request())
    world.caller(call_request(call="call-2", branch="z9hG4bKother"))
    assert first_request(world.to_worker()).call_id


def test_it_may_be_refused(world: World) -> None:
    world.caller(call_request())
    world.admitter.decide = Refuse(503, "Full", cause_text="all slots taken")
    assert decided(world)
    assert statuses(world)[-1] == 503
    assert world.refused[-1].invite.cause_text == "all slots taken"


def test_a_caller_who_gives_up_is_answered_and_nobody_is_called(world: World) -> None:
    world.caller(call_request())
    world.caller(call_request("CANCEL", body=b""))
    assert statuses(world) == [100, 200, 487]
    assert world.refused[-1].invite.rule == "cancelled"
    assert not decided(world)
    assert world.to_worker() == []


def test_nobody_waits_for_ever(world: World) -> None:
    world.caller(call_request())
    world.tick(LONGEST_S + 0.2)
    assert statuses(world)[-1] == 503
    assert not decided(world)


def test_the_same_call_by_two_ways_is_taken_once(world: World) -> None:
    world.admitter.later = ["t1", "t2"]
    world.caller(call_request())
    world.caller(call_request(branch="z9hG4bKother"))
    assert decided(world, "t1")
    assert decided(world, "t2")
    assert statuses(world)[-1] == 482
