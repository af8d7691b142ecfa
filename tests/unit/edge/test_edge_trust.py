"""A dialog's owner: strangers cannot change it, and nobody can aim us at a third party."""

from __future__ import annotations

import pytest
from edge_world import CALLER, World, call_request, first_request, make_world, statuses, values, worker_request

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import Hop

STRANGER = Hop("udp", "203.0.113.9", 5060, 0)
BESIDE = Hop("udp", "10.7.7.7", 5099, 0)  # another address of the same trunk
PUBLIC_CALLER = Hop("udp", "198.51.100.7", 40000, 0)


def caller_is_reached_at(world: World) -> tuple[str, int]:
    world.worker(worker_request("UPDATE", cseq=9))
    (sent,) = world.public
    world.public.clear()
    return sent.hop.ip, sent.hop.port


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "BYE", "INFO", "REFER", "CANCEL", "PRACK", "OPTIONS", "ACK"])
def test_a_stranger_with_the_right_tags_changes_nothing(world: World, method: str) -> None:
    world.established(contact="Contact: <sip:alice@phone.example.com>")
    evil = call_request(method, cseq=50, to_tag="bob", branch="z9hG4bKevil", contact="Contact: <sip:x@203.0.113.9>")
    world.caller(evil, STRANGER)
    assert statuses(world) == ([] if method == "ACK" else [481])
    assert world.workers == []
    (dialog,) = world.context.dialogs.of_worker("w1")
    assert (dialog.state, dialog.public.hop, dialog.public.cseq) == (DialogState.CONFIRMED, CALLER, 1)
    assert dialog.public.contact == "sip:alice@phone.example.com"
    assert caller_is_reached_at(world) == ("10.1.2.3", 5060)
    assert world.context.counters["untrusted.request"] == 1


def test_a_stranger_cancels_no_ringing_call(world: World) -> None:
    world.caller(call_request())
    world.workers.clear()
    world.caller(call_request("CANCEL", body=b""), STRANGER)
    assert world.workers == []
    assert world.cancelled == []


def test_another_trunk_is_a_stranger_to_the_dialog() -> None:
    world = make_world(allow=("10.1.0.0/16",), others={"other": ("10.2.0.0/16",)})
    world.established()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", body=b""), Hop("udp", "10.2.0.1", 5060, 0))
    assert statuses(world) == [481]
    assert world.workers == []


def test_within_the_trunk_a_caller_may_move(world: World) -> None:
    """Its NAT has a new mapping, or another proxy of the carrier took over."""
    world.established(contact="Contact: <sip:alice@phone.example.com>")
    contact = "Contact: <sip:alice@phone.example.com>"
    world.caller(call_request("UPDATE", cseq=2, to_tag="bob", contact=contact, body=b""), BESIDE)
    assert first_request(world.to_worker()).method == "UPDATE"
    assert caller_is_reached_at(world) == ("10.7.7.7", 5099)


def test_an_ack_and_what_is_older_than_the_last_request_teach_nothing(world: World) -> None:
    world.established(contact="Contact: <sip:alice@phone.example.com>")
    world.caller(call_request("UPDATE", cseq=5, to_tag="bob", body=b""))
    world.caller(call_request("ACK", cseq=1, to_tag="bob", branch="z9hG4bKx", body=b""), BESIDE)
    world.caller(call_request("UPDATE", cseq=4, to_tag="bob", body=b""), BESIDE)
    assert caller_is_reached_at(world) == ("10.1.2.3", 5060)


def test_an_answer_counts_only_from_the_dialogs_trunk(world: World) -> None:
    world.established()
    world.worker(worker_request("BYE"))
    answer = world.answer(first_request(world.to_public()), 200)
    world.caller(answer, STRANGER)
    assert (world.workers, world.ended) == ([], [])
    assert world.context.counters["untrusted.response"] == 1
    world.caller(answer, BESIDE)
    assert len(world.workers) == 1
    assert world.ended == ["c1"]


def test_the_edges_own_bye_is_not_silenced_by_a_stranger(world: World) -> None:
    world.established()
    world.perform(world.core.end_leg("c1", "gone", world.now))
    bye = first_request(world.to_public())
    world.caller(world.answer(bye, 200), STRANGER)
    world.tick(0.6)
    assert first_request(world.to_public()).method == "BYE"


@pytest.mark.parametrize(
    ("contact", "reached"),
    [
        ("sip:sbc@10.4.4.4:5070", ("10.4.4.4", 5070)),  # behind a proxy that does not record-route: the Contact
        ("sip:sbc@10.4.4.4", ("10.4.4.4", 5060)),
        ("sip:alice@10.1.2.3:5080", ("10.1.2.3", 5080)),  # the source itself
        ("sip:x@203.0.113.9:5060", ("10.1.2.3", 5060)),  # a third party
        ("sip:x@127.0.0.1:40001", ("10.1.2.3", 5060)),  # a worker
        ("sip:x@192.0.2.1:5060", ("10.1.2.3", 5060)),  # ourselves
        ("sip:sbc.example.com", ("10.1.2.3", 5060)),  # names are not looked up
        ("sip:x@[2001:db8::1]:5060", ("10.1.2.3", 5060)),
    ],
)
@pytest.mark.parametrize("by", ["worker", "edge"])
def test_requests_go_to_the_contact_within_the_trunks_networks(
    world: World, contact: str, reached: tuple[str, int], by: str
) -> None:
    world.established(contact=f"Contact: <{contact}>")
    if by == "worker":
        assert caller_is_reached_at(world) == reached
    else:
        world.perform(world.core.end_leg("c1", "gone", world.now))
        assert (world.public[0].hop.ip, world.public[0].hop.port) == reached
        assert first_request(world.to_public()).uri_text == contact


@pytest.mark.parametrize(
    "route", ["sip:203.0.113.9:6279;lr", "sip:203.0.113.9:6279;lr;transport=tcp", "sip:evil.example;lr"]
)
@pytest.mark.parametrize("by", ["worker", "edge"])
def test_a_record_route_to_a_third_party_is_not_obeyed(world: World, route: str, by: str) -> None:
    world.established(more=(f"Record-Route: <{route}>",))
    if by == "worker":
        assert caller_is_reached_at(world) == ("10.1.2.3", 5060)
    else:
        world.perform(world.core.end_leg("c1", "gone", world.now))
        assert (world.public[0].hop.ip, world.public[0].hop.port) == ("10.1.2.3", 5060)
        assert values(first_request(world.to_public()), "route") == [f"<{route}>"]


@pytest.mark.parametrize(
    ("contact", "reached"),
    [
        ("sip:alice@192.168.1.20:5060", ("198.51.100.7", 40000)),
        ("sip:alice@127.0.0.1:9999", ("198.51.100.7", 40000)),
        ("sip:alice@198.51.100.99:5062", ("198.51.100.99", 5062)),
    ],
)
def test_a_private_contact_from_a_public_source_is_behind_a_nat(contact: str, reached: tuple[str, int]) -> None:
    """Even where every address may call."""
    world = make_world(allow=("0.0.0.0/0",))
    world.established(hop=PUBLIC_CALLER, contact=f"Contact: <{contact}>")
    assert caller_is_reached_at(world) == reached


def test_over_tcp_another_address_gets_a_connection_of_its_own_and_the_callers_stands_by(world: World) -> None:
    hop = Hop("tcp", "10.1.2.3", 33333, 1, 7)
    world.established(hop=hop, via="SIP/2.0/TCP 10.1.2.3:5060;rport", contact="Contact: <sip:sbc@10.4.4.4:5070>")
    world.worker(worker_request("UPDATE"))
    assert world.public[0].hop == Hop("tcp", "10.4.4.4", 5070, 1, 0, fallback=7)
    world.public.clear()
    world.caller(
        call_request("UPDATE", cseq=2, to_tag="bob", contact="Contact: <sip:alice@10.1.2.3:5061>", body=b""), hop
    )
    world.worker(worker_request("UPDATE", cseq=2))
    assert world.public[0].hop == Hop("tcp", "10.1.2.3", 5061, 1, 7)
