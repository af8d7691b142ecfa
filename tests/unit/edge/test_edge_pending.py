"""A worker's request that met the caller's own is sent again (RFC 3261 section 14.1)."""

from __future__ import annotations

import pytest
from edge_world import World, make_world, worker_request

from telephony.sip.parse import Request, Response


def requests(world: World) -> list[Request]:
    return [message for message in world.to_public() if isinstance(message, Request)]


@pytest.fixture
def world() -> World:
    made = make_world()
    made.established()
    return made


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_it_is_sent_again_within_two_seconds_and_the_worker_knows_nothing_of_it(world: World, method: str):
    world.worker(worker_request(method, 7))
    (first,) = requests(world)
    world.caller(world.answer(first, 491))
    acks = requests(world)
    assert [(ack.method, ack.cseq) for ack in acks] == ([("ACK", 7)] if method == "INVITE" else [])
    assert all(ack.via.branch == first.via.branch for ack in acks)
    world.worker(worker_request(method, 7))  # its retransmission
    assert (requests(world), world.to_worker()) == ([], [])
    world.tick(2.1)
    (again,) = requests(world)
    assert (again.method, again.cseq, again.call_id, again.body) == (method, 8, first.call_id, first.body)
    assert again.via.branch != first.via.branch
    world.worker(worker_request(method, 7))
    assert [request.cseq for request in requests(world)] == [8]  # a retransmission of the new one
    world.caller(world.answer(again, 200))
    (answer,) = world.to_worker()
    assert isinstance(answer, Response)
    assert (answer.status, answer.cseq) == (200, 7)
    world.worker(worker_request("BYE", 8))
    assert requests(world)[0].cseq == 9


def test_a_copy_of_the_491_asks_for_nothing_more(world: World):
    world.worker(worker_request("INVITE", 7))
    refusal = world.answer(requests(world)[0], 491)
    world.caller(refusal)
    world.caller(refusal)
    assert [request.method for request in requests(world)] == ["ACK", "ACK"]
    world.tick(2.1)
    assert [request.cseq for request in requests(world)] == [8]


def test_a_caller_that_is_always_busy_with_its_own_is_told_to_the_worker_in_the_end(world: World):
    world.worker(worker_request("INVITE", 7))
    for cseq in (7, 8, 9, 10):
        sent = [request for request in requests(world) if request.method == "INVITE"]
        assert [request.cseq for request in sent] == [cseq]
        world.caller(world.answer(sent[0], 491))
        world.tick(2.1)
    (answer,) = world.to_worker()
    assert isinstance(answer, Response)
    assert answer.status == 503  # PJSIP would end the call for a 491, and tries again after a 503


def test_nothing_is_sent_again_once_the_call_is_over(world: World):
    world.worker(worker_request("UPDATE", 7))
    world.caller(world.answer(requests(world)[0], 491))
    world.worker(worker_request("BYE", 8))
    assert [request.method for request in requests(world)] == ["BYE"]
    world.tick(2.1)
    assert requests(world) == []
