"""Calls through the core: what each side gets for what the other sends."""

from __future__ import annotations

import pytest
from edge_world import CALLER, PUBLIC, SDP, WORKER_PORT, World, call_request, make_world, sip

from telephony.edge.dialogs import DialogState
from telephony.edge.hops import Hop
from telephony.edge.parse import Request, Response, parse
from telephony.edge.protocol import Forward, GatewayStatus, Refuse, WorkerAddress
from telephony.edge.settings import EdgeLimits
from telephony.errors import TelephonyMisuse


def values(message: Request | Response, name: str) -> list[str]:
    return list(message.headers.get(name))


def statuses(world: World) -> list[int]:
    return [message.status for message in world.to_caller() if isinstance(message, Response)]


def first_request(messages: list[Request | Response]) -> Request:
    assert isinstance(messages[0], Request)
    return messages[0]


# New calls


def test_a_new_invite_gets_100_and_goes_to_the_worker_with_both_record_routes(world: World) -> None:
    world.caller(call_request(more=("X-Customer: 7", "X-Trunkline-Call: forged", "Unknown-Thing:  a ;b"), forwards=""))
    assert statuses(world) == [100]
    invite = first_request(world.to_worker())
    assert values(invite, "via")[0].startswith(f"SIP/2.0/UDP 127.0.0.1:{WORKER_PORT};branch=z9hG4bKtl")
    assert values(invite, "via")[1].endswith(";branch=z9hG4bKa;received=10.1.2.3;rport=5060")
    assert values(invite, "record-route") == [f"<sip:127.0.0.1:{WORKER_PORT};lr>", f"<sip:{PUBLIC}:5060;lr>"]
    assert invite.max_forwards == 70
    assert values(invite, "x-trunkline-call") == ["c1"]
    assert "Unknown-Thing:  a ;b" in [line.text for line in invite.lines]
    assert invite.body == SDP
    (info,) = world.admitter.invites
    assert (info.called, info.to_user, info.caller, info.trunk) == ("+15550199", "+15550199", "+15550123", "carrier")
    assert dict(info.headers) == {"X-Customer": "7"}
    assert info.source.ip == "10.1.2.3"


def test_a_request_that_is_too_long_for_a_worker_loses_what_it_does_not_need(world: World) -> None:
    long = tuple(f"X-Long-{n}: {'x' * 500}" for n in range(12))
    world.caller(call_request(more=(*long, "Supported: timer", "Subject: dinner")))
    invite = first_request(world.to_worker())
    assert len(world.admitter.invites[0].headers) == 12
    texts = [line.text for line in invite.lines]
    assert not any(text.startswith("X-Long") for text in texts) and "Subject: dinner" not in texts
    assert "Supported: timer" in texts and invite.body == SDP
    assert values(invite, "x-trunkline-call") == ["c1"]


def test_a_body_that_is_too_long_for_a_worker_is_refused_and_told(world: World) -> None:
    world.caller(call_request(body=SDP + b"a=x\r\n" * 1000))
    assert statuses(world) == [513] and world.workers == []
    assert [event.invite.rule for event in world.refused] == ["too-large"]
    world.established(call="call-2")
    world.caller(call_request("INFO", call="call-2", cseq=2, to_tag="bob", branch="z9hG4bKi", body=b"x" * 4000))
    assert statuses(world) == [513] and world.workers == []


def test_max_forwards_counts_down(world: World) -> None:
    world.caller(call_request(forwards="Max-Forwards: 9"))
    assert first_request(world.to_worker()).max_forwards == 8


def test_an_earlier_proxys_record_route_stays_below_ours(world: World) -> None:
    world.caller(call_request(more=("Record-Route: <sip:10.9.9.9;lr>",)))
    assert values(first_request(world.to_worker()), "record-route")[2] == "<sip:10.9.9.9;lr>"


def test_over_tcp_the_public_record_route_says_so(world: World) -> None:
    world.caller(call_request(via="SIP/2.0/TCP 10.1.2.3:5060"), Hop("tcp", "10.1.2.3", 50123, 1, 7))
    assert f"<sip:{PUBLIC}:5060;transport=tcp;lr>" in values(first_request(world.to_worker()), "record-route")


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
    assert "received=10.1.2.3" in values(world.to_caller()[1], "via")[0]


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


@pytest.mark.parametrize(
    ("more", "caller"),
    [
        (("P-Asserted-Identity: <sip:+15550777@carrier>",), "+15550777"),
        (("P-Asserted-Identity: <tel:+1-555-0777>",), "+15550777"),
        (("P-Asserted-Identity: <sip:+15550777@carrier>", "Privacy: id"), None),
        (("Privacy: none",), "+15550123"),
        (("P-Asserted-Identity: <<<",), "+15550123"),
    ],
)
def test_who_calls(world: World, more: tuple[str, ...], caller: str | None) -> None:
    world.caller(call_request(more=more))
    assert world.admitter.invites[0].caller == caller


@pytest.mark.parametrize(
    ("uri", "called"),
    [
        ("sip:%2B15550199@192.0.2.1", "+15550199"),
        ("tel:+1-555-(01)99;phone-context=x", "+15550199"),
        ("sip:+15550199;npdi@192.0.2.1", "+15550199"),
        ("sip:front.desk-2@192.0.2.1", "front.desk-2"),
        ("sip:192.0.2.1", ""),
        ("sip:a%0D%0AX%3A%201@192.0.2.1", "aX: 1"),
    ],
)
def test_who_is_called(world: World, uri: str, called: str) -> None:
    world.caller(call_request(uri=uri))
    assert world.admitter.invites[0].called == called


# Refusals


def test_a_source_without_trunk_is_refused_by_name_and_once_recorded(world: World) -> None:
    stranger = Hop("udp", "203.0.113.5", 5060, 0)
    world.caller(call_request(), stranger)
    world.caller(call_request(), stranger)
    answers = world.to_caller()
    assert [a.status for a in answers if isinstance(a, Response)] == [403, 403]
    assert values(answers[0], "reason") == ['SIP;cause=403;text="no trunk allows source 203.0.113.5"']
    assert answers[0].to_tag == answers[1].to_tag != ""
    assert [event.invite.rule for event in world.refused] == ["acl"]
    assert world.admitter.invites == []
    assert world.workers == []


def test_the_admitters_refusal_reaches_the_caller_and_its_ack_is_absorbed(world: World) -> None:
    world.admitter.decide = Refuse(503, "Full", retry_after=7, cause_text='all "slots" taken')
    world.caller(call_request())
    (answer,) = world.to_caller()
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason) == (503, "Full")
    assert values(answer, "retry-after") == ["7"]
    assert values(answer, "reason") == [r'SIP;cause=503;text="all \"slots\" taken"']
    world.caller(call_request("ACK", to_tag=answer.to_tag, body=b""))
    assert (world.public, world.workers) == ([], [])
    assert world.ground.counters["absorbed.ACK"] == 1


def test_a_refusal_cannot_smuggle_header_lines(world: World) -> None:
    world.admitter.decide = Refuse(404, "No\r\nX-Evil: 1", cause_text="a\r\nb")
    world.caller(call_request())
    (answer,) = world.to_caller()
    assert values(answer, "x-evil") == []


def test_an_admitter_that_fails_or_names_an_unknown_worker_leads_to_500(world: World) -> None:
    def broken(_: object) -> Refuse:
        raise RuntimeError("no")

    world.admitter.decide = broken
    world.caller(call_request())
    world.admitter.decide = Forward(WorkerAddress("w9", "127.0.0.1", 1), "c9")
    world.caller(call_request(call="call-2"))
    assert statuses(world) == [500, 500]
    assert [(event.invite.rule, event.invite.call_id) for event in world.refused] == [("error", ""), ("error", "c9")]


def test_new_calls_above_the_rate_get_503_and_strangers_nothing() -> None:
    world = make_world(EdgeLimits(invites_per_second=1, invite_burst=2))
    for n in range(3):
        world.caller(call_request(call=f"call-{n}"))
    answers = world.to_caller()
    assert [a.status for a in answers if isinstance(a, Response)] == [100, 100, 503]
    assert values(answers[2], "retry-after") == ["5"]
    assert [event.invite.rule for event in world.refused] == ["rate"]
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
    world.caller(call_request("INFO", to_tag="bob", cseq=2))
    assert statuses(world) == [200, 503]
    assert first_request(world.to_worker()).method == "INFO"
    for _ in range(3):
        world.caller(call_request("OPTIONS", call="o3", body=b""))
    assert statuses(world) == [503]
    assert world.ground.counters["rate_limited.dropped"] == 2


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
    (answer,) = world.to_caller()
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
    up, down = world.to_caller()
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
    assert first.data.partition(b"\r\nMax")[0].split(b"Record")[0] == second.data.partition(b"\r\nMax")[0] + b"\r\n"
    assert len(world.admitter.invites) == 1


def test_after_the_final_answer_a_retransmitted_invite_gets_it_again_from_the_edge(world: World) -> None:
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 486))
    final = world.public[-1].data
    world.public.clear()
    world.caller(call_request())
    assert [a.data for a in world.public] == [final]
    assert world.workers == []
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
    world.caller(call_request("ACK", to_tag="bob", body=b""))
    assert first_request(world.to_worker()).via.branch == invite.via.branch
    assert (world.cancelled, world.ended) == (["c1"], ["c1"])


def test_the_same_call_by_a_second_way_is_a_loop(world: World) -> None:
    world.caller(call_request())
    world.public.clear()
    world.caller(call_request(branch="z9hG4bKother"))
    assert statuses(world) == [482]


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
    assert world.ground.dialogs.live() == ()


def test_made_up_methods_pass_in_a_dialog_and_make_no_counter_names(world: World) -> None:
    world.established()
    world.caller(call_request("XYZZY", cseq=2, to_tag="bob"))
    assert first_request(world.to_worker()).method == "XYZZY"
    assert world.ground.counters["forwarded_in.other"] == 1
    assert not any("XYZZY" in name for name in world.ground.counters.snapshot())


def test_a_strict_router_before_us_is_tolerated(world: World) -> None:
    world.established()
    more = (f"Route: <sip:127.0.0.1:{WORKER_PORT};lr>, <sip:bob@127.0.0.1:40001>",)
    world.caller(call_request("INFO", cseq=2, to_tag="bob", uri=f"sip:{PUBLIC}:5060;lr", more=more))
    assert first_request(world.to_worker()).uri_text == "sip:bob@127.0.0.1:40001"


def worker_request(method: str, cseq: int = 1, *, route: str = "", uri: str = "sip:alice@10.1.2.3:5060") -> bytes:
    own = f"<sip:127.0.0.1:{WORKER_PORT};lr>, <sip:{PUBLIC}:5060;lr>"
    return sip(
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKw{cseq}",
        "Max-Forwards: 70",
        "From: <sip:+15550199@192.0.2.1>;tag=bob",
        "To: Alice <sip:+15550123@10.1.2.3>;tag=alice",
        "Call-ID: call-1",
        f"CSeq: {cseq} {method}",
        f"Route: {own}{route}",
        "X-Trunkline-Secret: 1",
    )


def test_requests_of_the_worker_reach_the_caller_and_the_answer_comes_back(world: World) -> None:
    world.established()
    world.worker(worker_request("BYE"))
    (sent,) = world.public
    bye = first_request(world.to_caller())
    assert (sent.hop.ip, sent.hop.port) == ("10.1.2.3", 5060)
    assert values(bye, "route") == []
    assert values(bye, "x-trunkline-secret") == []
    assert values(bye, "via")[0].startswith(f"SIP/2.0/UDP {PUBLIC}:5060;branch=z9hG4bKtl-1.0.")
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
    world.worker(worker_request("INFO", uri=uri))
    assert (world.public[0].hop.ip, world.public[0].hop.port) == hop


def test_a_proxy_beyond_us_is_routed_through(world: World) -> None:
    world.established(more=("Record-Route: <sip:10.9.9.9:5070;lr>",))
    world.worker(worker_request("INFO", route=", <sip:10.9.9.9:5070;lr>"))
    assert (world.public[0].hop.ip, world.public[0].hop.port) == ("10.9.9.9", 5070)
    assert values(first_request(world.to_caller()), "route") == ["<sip:10.9.9.9:5070;lr>"]


def test_a_worker_has_only_its_own_dialogs(world: World) -> None:
    world.established()
    other = WorkerAddress("w2", "127.0.0.1", 40002)
    world.core.add_worker(other)
    world.worker(worker_request("BYE"), ("127.0.0.1", 40002))
    assert world.public == []
    world.worker(worker_request("BYE"), ("127.0.0.1", 45555))  # nobody's
    assert world.ground.counters["dropped.not_a_worker"] == 1


def test_two_workers_cannot_share_a_name_or_an_address(world: World) -> None:
    with pytest.raises(TelephonyMisuse):
        world.core.add_worker(WorkerAddress("w1", "127.0.0.1", 40009))
    with pytest.raises(TelephonyMisuse):
        world.core.add_worker(WorkerAddress("w2", "127.0.0.1", 40001))


def test_forged_responses_go_nowhere(world: World) -> None:
    world.established()
    for via in (
        f"SIP/2.0/UDP {PUBLIC}:5060;branch=z9hG4bKtl-1.0.0123",
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
    assert world.ground.counters["stray_response"] == 2


# The worker is lost


def test_an_answered_call_of_a_lost_worker_gets_a_bye_until_it_is_answered(world: World) -> None:
    world.established()
    world.worker(worker_request("INFO", 41))
    world.public.clear()
    ended, actions = world.core.end_worker_calls("w1", world.now)
    world.perform(actions)
    assert ended == world.ended == ["c1"]
    (sent,) = world.public
    bye = first_request(world.to_caller())
    assert (sent.hop.ip, sent.hop.port) == ("10.1.2.3", 5060)
    assert (bye.method, bye.uri_text, bye.cseq) == ("BYE", "sip:alice@10.1.2.3:5060", 1041)
    assert (bye.from_tag, bye.to_tag, bye.call_id) == ("bob", "alice", "call-1")
    assert values(bye, "reason") == ['SIP;cause=500;text="worker lost"']
    world.tick(4.0)  # timer E: 0.5, 1, 2 s
    assert len(world.to_caller()) == 3
    world.caller(world.answer(bye, 200))
    world.tick(40.0)
    assert (world.public, world.workers) == ([], [])


def test_an_unanswered_bye_is_given_up_after_32_s(world: World) -> None:
    world.established()
    world.perform(world.core.end_worker_calls("w1", world.now)[1])
    world.tick(32.0)
    sent = len(world.public)
    assert 9 <= sent <= 11
    world.tick(60.0)
    assert len(world.public) == sent
    assert len(world.ground.resends) == 0


def test_an_unanswered_call_of_a_lost_worker_is_refused_until_its_ack(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.worker(world.answer(invite, 180))
    world.public.clear()
    ended, actions = world.core.end_worker_calls("w1", world.now)
    world.perform(actions)
    world.tick(0.6)
    first, again = world.to_caller()
    assert isinstance(first, Response)
    assert (first.status, first.to_tag) == (500, "bob")
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
    world.perform(world.core.end_call("c1", "reaped", world.now))
    assert first_request(world.to_caller()).method == "BYE"
    bye = first_request(world.to_worker())
    assert (bye.method, bye.from_tag, bye.to_tag, bye.cseq) == ("BYE", "alice", "bob", 1001)
    assert world.core.end_call("c1", "again", world.now) == []
    assert world.core.end_call("unknown", "x", world.now) == []


def test_end_call_before_the_answer_cancels_at_the_worker(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.public.clear()
    world.perform(world.core.end_call("c1", "reaped", world.now))
    assert statuses(world) == [500]
    cancel = first_request(world.to_worker())
    assert (cancel.method, cancel.via.branch, cancel.cseq) == ("CANCEL", invite.via.branch, 1)


@pytest.mark.parametrize(("status", "methods"), [(487, ["ACK"]), (200, ["ACK", "BYE"])])
def test_a_worker_that_answers_too_late_gets_its_ack_and_is_not_left_talking(
    world: World, status: int, methods: list[str]
) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.perform(world.core.end_call("c1", "reaped", world.now))
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
    world.workers.clear()
    world.public.clear()
    world.tick(180.2)
    assert statuses(world)[0] == 408
    assert world.ended == ["c1"]
    world.tick(70.0)
    assert len(world.ground.dialogs) == 0


def test_a_bye_whose_answer_never_comes_ends_the_dialog_after_32_s(world: World) -> None:
    world.established()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    assert world.ground.dialogs.live()[0].state is DialogState.ENDING
    world.tick(32.5)
    assert world.ended == ["c1"]
    assert len(world.ground.dialogs) == 0


def test_nothing_is_kept_for_ever(world: World) -> None:
    world.established()
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", body=b""))
    world.worker(world.answer(first_request(world.to_worker()), 200))
    world.tick(70.0)
    assert (len(world.ground.dialogs), world.ground.remembered, len(world.ground.resends)) == (0, 0, 0)


def test_dialogs_can_be_seen(world: World) -> None:
    world.caller(call_request())
    (dialog,) = world.ground.dialogs.live()
    assert (dialog.call_id, dialog.worker, dialog.trunk, dialog.state) == ("c1", "w1", "carrier", DialogState.INVITING)
    assert dialog.source.ip == CALLER.ip
