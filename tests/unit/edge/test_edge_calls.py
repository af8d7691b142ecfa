"""New calls through the core: what each side receives when the other sends something."""

from __future__ import annotations

import pytest
from edge_world import (
    CALLER_TAG,
    PUBLIC,
    SDP,
    WORKER_PORT,
    World,
    call_request,
    first_request,
    make_world,
    statuses,
    values,
    worker_request,
)

from telephony.edge.hops import Hop
from telephony.edge.protocol import Forward, GatewayStatus, Refuse, WorkerAddress
from telephony.edge.settings import EdgeLimits
from telephony.sip.parse import Response, parse
from telephony.sip.sdp import parse_sdp

# New calls


def test_a_new_invite_gets_100_and_goes_to_the_worker_written_anew(world: World) -> None:
    world.caller(call_request(more=("X-Customer: 7", "X-Trunkline-Leg: forged", "Unknown-Thing:  a ;b"), forwards=""))
    assert statuses(world) == [100]
    invite = first_request(world.to_worker())
    assert [line.text for line in invite.lines] == [
        f"Via: SIP/2.0/UDP 127.0.0.1:{WORKER_PORT};branch={invite.via.branch}",
        "Max-Forwards: 70",
        f"From: <sip:+15550123@caller.invalid>;tag={CALLER_TAG}",
        "To: <sip:+15550199@127.0.0.1:40001>",
        "Call-ID: c1",
        "CSeq: 1 INVITE",
        f"Contact: <sip:127.0.0.1:{WORKER_PORT}>",
        "X-Trunkline-Leg: c1",
        "Content-Type: application/sdp",
        f"Content-Length: {len(SDP)}",
    ]
    assert invite.uri_text == "sip:+15550199@127.0.0.1:40001"
    assert parse_sdp(invite.body) == parse_sdp(SDP)
    (info,) = world.admitter.invites
    assert (info.called, info.to_user, info.caller, info.trunk) == ("+15550199", "+15550199", "+15550123", "carrier")
    assert dict(info.headers) == {"X-Customer": "7"}
    assert info.source.ip == "10.1.2.3"


def test_a_request_that_is_too_long_for_a_worker_loses_what_it_does_not_need(world: World) -> None:
    long = tuple(f"X-Long-{n}: {'x' * 500}" for n in range(12))
    world.caller(call_request(more=(*long, "Supported: 100rel", "Subject: dinner")))
    invite = first_request(world.to_worker())
    assert len(world.admitter.invites[0].headers) == 12
    texts = [line.text for line in invite.lines]
    assert not any(text.startswith("X-Long") for text in texts) and "Subject: dinner" not in texts
    assert "Supported: 100rel" in texts and invite.body
    assert values(invite, "x-trunkline-leg") == ["c1"]


def test_a_long_offer_is_shortened_to_what_a_worker_needs_and_an_endless_one_refused(world: World) -> None:
    world.caller(call_request(body=SDP + b"a=candidate:x\r\n" * 400))
    invite = first_request(world.to_worker())
    assert parse_sdp(invite.body) == parse_sdp(SDP)
    world.public.clear()
    world.caller(call_request(call="call-2", body=SDP + b"a=x\r\n" * 1000))
    assert statuses(world) == [488] and world.workers == []
    assert [event.invite.rule for event in world.refused] == ["sdp"]


def test_max_forwards_counts_down(world: World) -> None:
    world.caller(call_request(forwards="Max-Forwards: 9"))
    assert first_request(world.to_worker()).max_forwards == 8


def test_the_callers_route_set_is_that_of_the_proxies_before_us(world: World) -> None:
    world.caller(call_request(more=("Record-Route: <sip:10.9.9.9;lr>",)))
    invite = first_request(world.to_worker())
    assert values(invite, "record-route") == []
    world.public.clear()
    world.worker(world.answer(invite, 200))
    (answer,) = world.to_public()
    assert values(answer, "record-route") == ["<sip:10.9.9.9;lr>"]


@pytest.mark.parametrize(
    ("hop", "via", "contact"),
    [
        (Hop("udp", "10.1.2.3", 5060, 0), "SIP/2.0/UDP 10.1.2.3:5060", f"<sip:{PUBLIC}:5060>"),
        (Hop("tcp", "10.1.2.3", 50123, 1, 7), "SIP/2.0/TCP 10.1.2.3:5060", f"<sip:{PUBLIC}:5060;transport=tcp>"),
    ],
)
def test_a_caller_is_told_our_address_and_not_the_workers(world: World, hop: Hop, via: str, contact: str) -> None:
    """A worker's address is on loopback, which to the caller means its own machine."""
    world.established(via=via, hop=hop)
    world.worker(worker_request("UPDATE").replace(b"X-Trunkline-Secret: 1", b"Contact: <sip:w@127.0.0.1:40001>"))
    request = first_request(world.to_public())
    assert values(request, "contact") == [contact]
    world.caller(call_request(via=via, call="call-2"), hop)
    world.public.clear()
    world.worker(world.answer(first_request(world.to_worker()[-1:]), 200))
    assert values(world.to_public()[0], "contact") == [contact]


VIDEO = b"m=video 40002 UDP/TLS/RTP/SAVPF 120\r\n"


def test_streams_that_are_refused_keep_their_places_in_answers_and_in_our_own_offers(world: World) -> None:
    head, _, audio = SDP.partition(b"m=")
    offer = head + VIDEO + b"m=" + audio
    world.caller(call_request(body=offer))
    invite = first_request(world.to_worker())
    assert parse_sdp(invite.body) == parse_sdp(SDP)
    world.public.clear()
    ok = world.answer(invite, 200)
    world.worker(ok.replace(b"Content-Length: 0", b"Content-Length: %d" % len(SDP)) + SDP)
    refused = VIDEO.replace(b"40002", b"0")
    assert world.to_public()[0].body == head + refused + b"m=" + audio
    request = worker_request("INVITE", 2)
    world.worker(request.replace(b"Content-Length: 0", b"Content-Length: %d" % len(SDP)) + SDP)
    assert first_request(world.to_public()).body == head + refused + b"m=" + audio
    world.caller(call_request(cseq=2, branch="z9hG4bKre", to_tag="bob"))  # it has no second stream any more
    assert world.context.dialogs.of_leg("c1").streams.before == refused  # type: ignore[union-attr]
    world.public.clear()
    again = first_request(world.to_worker()[-1:])
    world.worker(world.answer(again, 200).replace(b"Content-Length: 0", b"Content-Length: %d" % len(SDP)) + SDP)
    assert world.to_public()[0].body == SDP


def test_responses_lose_our_via_and_go_back_where_the_request_came_from(world: World) -> None:
    world.caller(call_request(), Hop("udp", "10.1.2.3", 41000, 0))
    invite = first_request(world.to_worker())
    world.public.clear()
    world.worker(world.answer(invite, 180))
    (sent,) = world.public
    assert (sent.hop.ip, sent.hop.port) == ("10.1.2.3", 41000)  # rport
    assert len(values(parse(sent.data), "via")) == 1


def test_without_rport_the_answer_goes_to_the_sent_by_port_of_the_source_address(world: World) -> None:
    world.caller(call_request(via="SIP/2.0/UDP phone.example.com:5070"), Hop("udp", "10.1.2.3", 41000, 0))
    world.worker(world.answer(first_request(world.to_worker()), 180))
    assert {(a.hop.ip, a.hop.port) for a in world.public} == {("10.1.2.3", 5070)}
    assert "received=10.1.2.3" in values(world.to_public()[1], "via")[0]


def test_over_tcp_the_answer_names_its_connection_and_a_way_to_make_a_new_one(world: World) -> None:
    world.caller(call_request(via="SIP/2.0/TCP 10.1.2.3:5066"), Hop("tcp", "10.1.2.3", 50123, 1, 7))
    world.public.clear()
    world.worker(world.answer(first_request(world.to_worker()), 200))
    assert world.public[0].hop == Hop("tcp", "10.1.2.3", 5066, 1, 7)


def test_the_workers_100_is_absorbed(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.public.clear()
    world.worker(world.answer(invite, 100))
    assert world.public == []


# Refusals


def test_a_source_without_trunk_is_refused_by_name_and_once_recorded(world: World) -> None:
    stranger = Hop("udp", "203.0.113.5", 5060, 0)
    world.caller(call_request(), stranger)
    world.caller(call_request(), stranger)
    answers = world.to_public()
    assert [a.status for a in answers if isinstance(a, Response)] == [403, 403]
    assert values(answers[0], "reason") == ['SIP;cause=403;text="no trunk allows source 203.0.113.5"']
    assert answers[0].to_tag == answers[1].to_tag != ""
    assert [event.invite.rule for event in world.refused] == ["acl"]
    assert world.admitter.invites == []
    assert world.workers == []


def test_the_admitters_refusal_reaches_the_caller_and_its_ack_is_absorbed(world: World) -> None:
    world.admitter.decide = Refuse(503, "Full", retry_after=7, cause_text='all "slots" taken')
    world.caller(call_request())
    (answer,) = world.to_public()
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason) == (503, "Full")
    assert values(answer, "retry-after") == ["7"]
    assert values(answer, "reason") == [r'SIP;cause=503;text="all \"slots\" taken"']
    world.caller(call_request("ACK", to_tag=answer.to_tag, body=b""))
    assert (world.public, world.workers) == ([], [])
    assert world.context.counters["absorbed.ACK"] == 1


def test_a_refusal_cannot_smuggle_header_lines(world: World) -> None:
    world.admitter.decide = Refuse(404, "No\r\nX-Evil: 1", cause_text="a\r\nb")
    world.caller(call_request())
    (answer,) = world.to_public()
    assert values(answer, "x-evil") == []


def test_an_admitter_that_fails_leads_to_500_and_one_that_names_a_worker_that_is_gone_to_503(world: World) -> None:
    def broken(_: object) -> Refuse:
        raise RuntimeError("no")

    world.admitter.decide = broken
    world.caller(call_request())
    world.admitter.decide = Forward(WorkerAddress("w9", "127.0.0.1", 1), "c9")
    world.caller(call_request(call="call-2"))
    assert statuses(world) == [500, 503]
    assert [(event.invite.rule, event.invite.leg_id) for event in world.refused] == [("error", ""), ("error", "c9")]


def test_new_calls_above_the_rate_get_503_and_strangers_nothing() -> None:
    world = make_world(EdgeLimits(invites_per_second=1, invite_burst=2, stranger_burst=2))
    for n in range(3):
        world.caller(call_request(call=f"call-{n}"))
    answers = world.to_public()
    assert [a.status for a in answers if isinstance(a, Response)] == [100, 100, 503]
    assert values(answers[2], "retry-after") == ["5"]
    assert world.refused == []  # summed up
    stranger = Hop("udp", "203.0.113.5", 5060, 0)
    for n in range(3):
        world.caller(call_request(call=f"call-{n}"), stranger)
    assert statuses(world) == [403, 403]
    world.now += 1.0
    world.caller(call_request(call="call-later"))
    assert statuses(world) == [100]


def test_above_the_message_rate_dialogs_go_on_and_above_the_hard_limit_nothing_does() -> None:
    world = make_world(EdgeLimits(messages_per_second=1, message_burst=3, hard_factor=2))
    world.established()  # two messages
    world.caller(call_request("OPTIONS", call="o1", body=b""))
    world.caller(call_request("OPTIONS", call="o2", body=b""))
    world.caller(call_request("UPDATE", to_tag="bob", cseq=2, body=b""))
    assert statuses(world) == [200, 503]
    assert first_request(world.to_worker()).method == "UPDATE"
    for _ in range(3):
        world.caller(call_request("OPTIONS", call="o3", body=b""))
    assert statuses(world) == [503]
    assert world.context.counters["rate_limited.dropped"] == 2


@pytest.mark.parametrize(
    ("request_bytes", "status", "header"),
    [
        (call_request(uri="mailto:a@b"), 416, ""),
        (call_request(forwards="Max-Forwards: 0"), 483, ""),
        (call_request(more=("Proxy-Require: foo, bar",)), 420, "unsupported"),
        (call_request("REGISTER", body=b""), 405, "allow"),
        (call_request("MESSAGE"), 405, "allow"),
        (call_request("SUBSCRIBE", body=b""), 405, "allow"),
        (call_request("BYE", body=b""), 481, ""),
        (call_request("BYE", to_tag="nobody", body=b""), 481, ""),
        (call_request("INVITE", to_tag="nobody"), 481, ""),
        (call_request("CANCEL", body=b""), 481, ""),
    ],
)
def test_what_is_not_served_is_refused(world: World, request_bytes: bytes, status: int, header: str) -> None:
    world.caller(request_bytes)
    (answer,) = world.to_public()
    assert isinstance(answer, Response)
    assert answer.status == status
    assert not header or values(answer, header)
    assert world.workers == []


def test_an_ack_without_dialog_is_dropped(world: World) -> None:
    world.caller(call_request("ACK", to_tag="nobody", body=b""))
    assert (world.public, world.workers) == ([], [])


def test_options_tells_whether_calls_are_taken(world: World) -> None:
    world.caller(call_request("OPTIONS", body=b""))
    world.admitter.gateway_status = GatewayStatus(False, 30, "draining")
    world.caller(call_request("OPTIONS", call="c2", body=b""))
    up, down = world.to_public()
    assert isinstance(up, Response)
    assert isinstance(down, Response)
    assert (up.status, down.status) == (200, 503)
    assert "INVITE" in values(up, "allow")
    assert values(down, "retry-after") == ["30"]


# Retransmissions, CANCEL, ACK


def test_a_retransmitted_invite_goes_to_the_same_worker_with_the_same_branch_and_is_admitted_once(world: World) -> None:
    world.caller(call_request())
    world.caller(call_request())
    first, second = world.workers
    assert first == second
    assert len(world.admitter.invites) == 1
    world.worker(world.answer(first_request(world.to_worker()), 100))
    world.caller(call_request())
    assert world.workers == []  # it has it


def test_after_the_final_answer_a_retransmitted_invite_gets_it_again_from_the_edge(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 486))
    final = world.public[-1].data
    world.public.clear()
    world.caller(call_request())
    assert [a.data for a in world.public] == [final]
    assert first_request(world.to_worker()).method == "ACK"
    assert world.ended == ["c1"]


def test_cancel_follows_its_invite_with_the_same_branch(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.public.clear()
    world.caller(call_request("CANCEL", body=b""))
    cancel = first_request(world.to_worker())
    assert cancel.via.branch == invite.via.branch
    world.worker(world.answer(cancel, 200))
    world.worker(world.answer(invite, 487))
    assert statuses(world) == [200, 487]
    ack = first_request(world.to_worker())
    assert (ack.method, ack.via.branch, ack.to_tag) == ("ACK", invite.via.branch, "bob")
    world.tick(0.6)
    assert statuses(world) == [487]
    world.caller(call_request("ACK", to_tag="bob", body=b""))
    world.tick(5.0)
    assert (world.public, world.workers) == ([], [])
    assert (world.cancelled, world.ended) == (["c1"], ["c1"])


def test_the_same_call_by_a_second_way_is_a_loop(world: World) -> None:
    world.caller(call_request())
    world.public.clear()
    world.caller(call_request(branch="z9hG4bKother"))
    assert statuses(world) == [482]
