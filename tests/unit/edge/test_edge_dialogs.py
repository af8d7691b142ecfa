"""Established calls and their ends, through the core, including lost workers and phones."""

from __future__ import annotations

import pytest
from edge_world import (
    CALLER,
    CALLER_TAG,
    PUBLIC,
    WORKER_PORT,
    World,
    call_request,
    first_request,
    sip,
    statuses,
    values,
    worker_request,
)

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import Hop
from telephony.edge.protocol import WorkerAddress
from telephony.errors import TelephonyMisuse
from telephony.sip.parse import Request, Response, parse

# Inside dialogs


def test_requests_of_the_caller_lose_their_route_and_reach_the_worker(world: World) -> None:
    world.established()
    route = f"Route: <sip:{PUBLIC}:5060;lr>, <sip:127.0.0.1:{WORKER_PORT};lr>"
    world.caller(call_request("BYE", cseq=2, to_tag="bob", uri="sip:bob@127.0.0.1:40001", more=(route,), body=b""))
    bye = first_request(world.to_worker())
    assert (values(bye, "route"), bye.uri_text) == ([], "sip:bob@127.0.0.1:40001")
    assert world.ended == []
    world.worker(world.answer(bye, 200))
    assert statuses(world) == [200]
    assert world.ended == ["c1"]
    assert world.context.dialogs.live() == ()


def test_made_up_methods_end_in_the_edge_and_make_no_counter_names(world: World) -> None:
    world.established()
    world.caller(call_request("XYZZY", cseq=2, to_tag="bob"))
    assert statuses(world) == [405]
    assert world.workers == []
    assert world.context.counters["received.other"] == 1
    assert not any("XYZZY" in name for name in world.context.counters.snapshot())


def test_a_strict_router_before_us_is_tolerated(world: World) -> None:
    world.established()
    more = (f"Route: <sip:127.0.0.1:{WORKER_PORT};lr>, <sip:bob@127.0.0.1:40001>",)
    world.caller(call_request("UPDATE", cseq=2, to_tag="bob", uri=f"sip:{PUBLIC}:5060;lr", more=more, body=b""))
    assert first_request(world.to_worker()).uri_text == "sip:bob@127.0.0.1:40001"


def test_requests_of_the_worker_reach_the_caller_and_the_answer_comes_back(world: World) -> None:
    world.established()
    world.worker(worker_request("BYE"))
    (sent,) = world.public
    bye = first_request(world.to_public())
    assert (sent.hop.ip, sent.hop.port) == ("10.1.2.3", 5060)
    assert values(bye, "route") == []
    assert values(bye, "x-trunkline-secret") == []
    assert values(bye, "via")[0].startswith(f"SIP/2.0/UDP {PUBLIC}:5060;branch=z9hG4bKtl")
    world.caller(world.answer(bye, 200))
    (answer,) = world.to_worker()
    assert isinstance(answer, Response)
    assert (answer.status, len(values(answer, "via"))) == (200, 1)
    assert world.ended == ["c1"]


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:alice@10.1.2.3:5080", ("10.1.2.3", 5080)),  # same address: its Contact is believed
        ("sip:alice@192.168.1.20:5060", ("10.1.2.3", 41000)),  # behind a NAT: where it came from
        ("sip:alice@phone.example.com", ("10.1.2.3", 41000)),  # names are not looked up
    ],
)
def test_where_the_caller_is_reached(world: World, uri: str, hop: tuple[str, int]) -> None:
    world.established(hop=Hop("udp", "10.1.2.3", 41000, 0), contact=f"Contact: <{uri}>")
    world.worker(worker_request("UPDATE"))
    assert (world.public[0].hop.ip, world.public[0].hop.port) == hop


def test_a_proxy_beyond_us_is_routed_through(world: World) -> None:
    world.established(more=("Record-Route: <sip:10.9.9.9:5070;lr>",))
    world.worker(worker_request("UPDATE"))
    assert (world.public[0].hop.ip, world.public[0].hop.port) == ("10.9.9.9", 5070)
    assert values(first_request(world.to_public()), "route") == ["<sip:10.9.9.9:5070;lr>"]


def test_a_worker_has_only_its_own_dialogs(world: World) -> None:
    world.established()
    other = WorkerAddress("w2", "127.0.0.1", 40002)
    world.core.add_worker(other)
    world.worker(worker_request("BYE"), ("127.0.0.1", 40002))
    assert world.public == []
    world.worker(worker_request("BYE"), ("127.0.0.1", 45555))  # nobody's
    assert world.context.counters["dropped.not_a_worker"] == 1


def test_two_workers_cannot_share_a_name_or_an_address(world: World) -> None:
    with pytest.raises(TelephonyMisuse):
        world.core.add_worker(WorkerAddress("w1", "127.0.0.1", 40009))
    with pytest.raises(TelephonyMisuse):
        world.core.add_worker(WorkerAddress("w2", "127.0.0.1", 40001))


def test_forged_responses_go_nowhere(world: World) -> None:
    world.established()
    for via in (
        f"SIP/2.0/UDP {PUBLIC}:5060;branch=z9hG4bKtl0123",
        "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKx",
    ):
        world.caller(
            sip(
                "SIP/2.0 200 OK",
                f"Via: {via}",
                "Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bKw1",
                "From: <sip:b@x>;tag=bob",
                "To: <sip:a@x>;tag=alice",
                "Call-ID: call-1",
                "CSeq: 1 BYE",
            )
        )
    assert world.workers == []
    assert world.context.counters["stray_response"] == 2


# The worker is lost


def test_an_answered_call_of_a_lost_worker_gets_a_bye_until_it_is_answered(world: World) -> None:
    world.established()
    world.worker(worker_request("UPDATE", 41))
    world.public.clear()
    ended, actions = world.core.end_worker_legs("w1", world.now)
    world.perform(actions)
    assert ended == world.ended == ["c1"]
    (sent,) = world.public
    bye = first_request(world.to_public())
    assert (sent.hop.ip, sent.hop.port) == ("10.1.2.3", 5060)
    assert (bye.method, bye.uri_text, bye.cseq) == ("BYE", "sip:alice@10.1.2.3:5060", 1041)
    assert (bye.from_tag, bye.to_tag, bye.call_id) == ("bob", "alice", "call-1")
    assert values(bye, "reason") == [
        'Q.850;cause=41;text="worker lost"',
        'SIP;cause=500;text="worker lost"',
    ]
    world.tick(4.0)  # timer E: 0.5, 1, 2 s
    assert len(world.to_public()) == 3
    world.caller(world.answer(bye, 200))
    world.tick(40.0)
    assert (world.public, world.workers) == ([], [])


def test_the_last_word_of_a_call_is_a_bye_that_somebody_else_may_send(world: World) -> None:
    assert world.core.last_word("c1", "the gateway was lost") is None
    world.established()
    word = world.core.last_word("c1", "the gateway was lost")
    assert word is not None
    bye = parse(word.data)
    assert isinstance(bye, Request)
    assert (word.hop.ip, word.hop.port) == ("10.1.2.3", 5060)
    assert (bye.method, bye.uri_text, bye.from_tag, bye.to_tag) == ("BYE", "sip:alice@10.1.2.3:5060", "bob", "alice")
    assert (world.public, world.ended) == ([], [])  # the call goes on
    world.perform(world.core.end_worker_legs("w1", world.now)[1])
    ours = first_request(world.to_public())
    assert ours.cseq < bye.cseq
    assert world.core.last_word("c1", "the gateway was lost") is None


def test_over_tcp_there_is_no_last_word(world: World) -> None:
    world.established(hop=Hop("tcp", "10.1.2.3", 5060, 1, 7), via="SIP/2.0/TCP 10.1.2.3:5060")
    assert world.core.last_word("c1", "the gateway was lost") is None
    world.perform(world.core.end_worker_legs("w1", world.now)[1])
    assert world.public[0].hop.transport == "tcp"


def test_an_unanswered_bye_is_given_up_after_32_s(world: World) -> None:
    world.established()
    world.perform(world.core.end_worker_legs("w1", world.now)[1])
    world.tick(32.0)
    sent = len(world.public)
    assert 9 <= sent <= 11
    world.tick(60.0)
    assert len(world.public) == sent
    assert len(world.context.resends) == 0


def test_an_unanswered_call_of_a_lost_worker_is_refused_until_its_ack(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.worker(world.answer(invite, 180))
    world.public.clear()
    ended, actions = world.core.end_worker_legs("w1", world.now)
    world.perform(actions)
    world.tick(0.6)
    first, again = world.to_public()
    assert isinstance(first, Response)
    assert (first.status, first.to_tag, values(first, "retry-after")) == (503, "bob", ["5"])
    assert again.lines == first.lines
    assert ended == ["c1"]
    world.caller(call_request("ACK", to_tag="bob", body=b""))
    world.tick(10.0)
    assert (world.public, world.workers) == ([], [])
    world.worker(world.answer(invite, 200))  # the dead sometimes speak
    assert world.public == []


def test_after_its_death_the_caller_is_answered_by_the_edge(world: World) -> None:
    world.established()
    world.perform(world.core.remove_worker("w1", world.now))
    world.public.clear()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    world.caller(call_request("INVITE", cseq=3, to_tag="bob", branch="z9hG4bKc"))
    world.caller(call_request("ACK", to_tag="bob", branch="z9hG4bKd", body=b""))
    assert statuses(world) == [200, 481]
    assert world.workers == []


def test_end_call_tells_both_sides(world: World) -> None:
    world.established()
    world.perform(world.core.end_leg("c1", "reaped", world.now))
    assert first_request(world.to_public()).method == "BYE"
    bye = first_request(world.to_worker())
    assert (bye.method, bye.from_tag, bye.to_tag, bye.cseq) == ("BYE", CALLER_TAG, "bob", 1001)
    assert world.core.end_leg("c1", "again", world.now) == []
    assert world.core.end_leg("unknown", "x", world.now) == []


def test_end_call_before_the_answer_cancels_at_the_worker(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.public.clear()
    world.perform(world.core.end_leg("c1", "reaped", world.now))
    assert statuses(world) == [500]
    cancel = first_request(world.to_worker())
    assert (cancel.method, cancel.via.branch, cancel.cseq) == ("CANCEL", invite.via.branch, 1)


@pytest.mark.parametrize(("status", "methods"), [(487, ["ACK"]), (200, ["ACK", "BYE"])])
def test_a_worker_that_answers_too_late_gets_its_ack_and_is_not_left_talking(
    world: World, status: int, methods: list[str]
) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.perform(world.core.end_leg("c1", "reaped", world.now))
    cancel = first_request(world.to_worker())
    world.worker(world.answer(cancel, 200))
    world.public.clear()
    world.worker(world.answer(invite, status))
    sent = world.to_worker()
    assert [message.method for message in sent if isinstance(message, Request)] == methods
    assert (sent[0].via.branch == invite.via.branch) == (status == 487)
    for message in sent[1:]:
        assert isinstance(message, Request)
        world.worker(world.answer(message, 200))
    world.tick(5.0)
    assert world.workers == []


# Time


def test_an_invite_that_nobody_answers_ends_after_three_minutes(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 180))
    world.public.clear()
    world.tick(180.2)
    assert statuses(world)[0] == 408
    assert world.ended == ["c1"]
    world.tick(70.0)
    assert len(world.context.dialogs) == 0


def test_a_bye_whose_answer_never_comes_ends_the_dialog_after_32_s(world: World) -> None:
    world.established()
    world.worker(worker_request("BYE"))
    assert world.context.dialogs.live()[0].state is DialogState.ENDING
    world.tick(32.5)
    assert world.ended == ["c1"]
    assert len(world.context.dialogs) == 0


def test_nothing_is_kept_for_ever(world: World) -> None:
    world.established()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    world.worker(world.answer(first_request(world.to_worker()), 200))
    world.tick(70.0)
    assert (len(world.context.dialogs), world.context.remembered, len(world.context.resends)) == (0, 0, 0)


def test_dialogs_can_be_seen(world: World) -> None:
    world.caller(call_request())
    (dialog,) = world.context.dialogs.live()
    assert (dialog.leg_id, dialog.worker, dialog.trunk, dialog.state) == (
        "c1",
        "w1",
        "carrier",
        DialogState.INVITING,
    )
    assert dialog.source.ip == CALLER.ip
