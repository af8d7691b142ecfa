"""Requests that a worker does not respond to: every caller gets an answer within two seconds."""

from __future__ import annotations

import pytest
from edge_world import World, call_request, first_request, statuses, values, worker_request

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import CallerGone, DialogEnded, InviteRefused
from telephony.sip.parse import Request


def methods(world: World) -> list[str]:
    return [message.method for message in world.to_worker() if isinstance(message, Request)]


def test_an_invite_that_is_not_taken_gets_503_and_a_record_that_says_so(world: World) -> None:
    world.caller(call_request())
    world.public.clear()
    world.tick(2.0)
    (answer,) = world.to_public()[:1]
    assert answer.lines and values(answer, "reason") == [
        'SIP;cause=503;text="the call worker did not take the request"'
    ]
    assert values(answer, "retry-after") == ["5"]
    assert methods(world)[:4] == ["INVITE", "INVITE", "INVITE", "CANCEL"]  # sent again after 0.5 and 1 s
    refused, ended = world.told
    assert isinstance(refused, InviteRefused) and isinstance(ended, DialogEnded)
    invite = refused.invite
    assert (invite.rule, invite.status, invite.leg_id) == ("not-taken", 503, "c1")
    assert world.context.counters["not_taken"] == 1


def test_an_invite_that_is_taken_is_sent_once(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 100))
    world.public.clear()
    world.tick(60.0)
    assert (world.public, world.workers, world.told) == ([], [], [])


def test_a_bye_that_is_not_taken_is_answered_and_the_worker_told_by_the_gateway(world: World) -> None:
    world.established()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    world.tick(2.0)
    assert statuses(world) == [200]
    assert methods(world) == ["BYE", "BYE", "BYE"]
    assert world.told == [CallerGone("c1", "the caller hung up"), DialogEnded("c1")]
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    assert statuses(world) == [200]
    world.worker(worker_request("BYE"))  # the worker ends its call
    (answer,) = world.to_worker()
    assert not isinstance(answer, Request) and answer.status == 200


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "PRACK"])
def test_another_request_that_is_not_taken_is_refused_and_the_call_goes_on(world: World, method: str) -> None:
    world.established()
    world.caller(call_request(method, cseq=2, to_tag="bob", branch="z9hG4bKb"))
    world.tick(2.0)
    assert statuses(world) == [500]
    assert world.told == []
    assert world.context.dialogs.live()[0].state is DialogState.CONFIRMED


def test_a_cancel_is_answered_at_once_and_its_invite_within_two_seconds(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 180))
    world.public.clear()
    world.caller(call_request("CANCEL", body=b""))
    world.caller(call_request("CANCEL", body=b""))
    assert statuses(world) == [200, 200]
    assert methods(world) == ["CANCEL"]
    world.tick(2.0)
    assert statuses(world)[0] == 487
    assert CallerGone("c1", "the caller gave up") in world.told
    world.caller(call_request("ACK", to_tag="bob", body=b""))
    world.public.clear()
    world.tick(10.0)
    assert world.public == []


def test_a_call_whose_record_closes_unanswered_has_its_final_answer_then(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 180))
    world.public.clear()
    world.perform(world.core.close_leg("c1", 480, "its INVITE never came", world.now))
    (answer,) = world.to_public()
    assert not isinstance(answer, Request)
    assert (answer.status, values(answer, "reason")) == (480, ['SIP;cause=480;text="its INVITE never came"'])
    assert methods(world) == ["CANCEL"]
    world.perform(world.core.close_leg("c1", 480, "again", world.now))
    world.perform(world.core.close_leg("unknown", 0, "never", world.now))
    assert world.public == []


def test_a_call_whose_record_closes_while_its_caller_talks_is_hung_up(world: World) -> None:
    world.established()
    world.perform(world.core.close_leg("c1", 200, "lost", world.now))
    assert first_request(world.to_public()).method == "BYE"
    assert methods(world) == ["BYE"]


def test_a_retransmitted_request_is_neither_relayed_twice_nor_left_without_its_answer(world: World) -> None:
    world.established()
    update = call_request("UPDATE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b"")
    world.caller(update)
    world.caller(update)
    first, second = world.to_worker()
    assert first.via.branch == second.via.branch
    assert isinstance(first, Request)
    world.worker(world.answer(first, 200))
    world.worker(world.answer(first, 200))
    world.caller(update)
    assert statuses(world) == [200, 200]
    assert world.workers == []


def test_what_the_workers_sip_stack_refuses_is_told_with_its_status(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 422))
    assert DialogEnded("c1", 422, "Whatever") in world.told


def test_an_answer_that_cannot_be_used_is_acknowledged_and_a_refusal_to_the_worker(world: World) -> None:
    """The caller's 200 to a re-INVITE of ours."""
    world.established()
    world.worker(worker_request("INVITE"))
    asked = first_request(world.to_public())
    broken = world.answer(asked, 200).replace(
        b"Content-Length: 0\r\n\r\n", b"Content-Type: x\r\nContent-Length: 1\r\n\r\nx"
    )
    world.caller(broken)
    assert first_request(world.to_public()).method == "ACK"
    (answer,) = world.to_worker()
    assert not isinstance(answer, Request)
    assert (answer.status, answer.body) == (488, b"")
