"""Limits, settings and the small tables."""

from __future__ import annotations

import pytest
from edge_world import WORKER, call_request, first_request, make_world

from telephony.edge import EdgeLimits, EdgeSettings, EdgeTimers, ListenAddress, Trunk
from telephony.edge.admission import RateLimiter, TrunkTable
from telephony.edge.hops import Hop, SendPublic
from telephony.edge.protocol import Forward
from telephony.edge.resend import ResendTable
from telephony.errors import TelephonyMisuse
from telephony.sip.transactions import Timers

KEPT_S = EdgeTimers().kept_s


def test_a_bucket_fills_at_its_rate_and_never_above_its_burst() -> None:
    limiter = RateLimiter(10, 2, 100)
    assert [limiter.allow("a", 0.0) for _ in range(3)] == [True, True, False]
    assert limiter.allow("b", 0.0)
    assert limiter.allow("a", 0.1)
    assert not limiter.allow("a", 0.1)
    assert [limiter.allow("a", 100.0) for _ in range(3)] == [True, True, False]


def test_the_limiters_memory_is_bounded() -> None:
    limiter = RateLimiter(1, 1, 10)
    for n in range(1000):
        limiter.allow(f"s{n}", 0.0)
    assert len(limiter._buckets) == 10


def test_the_first_trunk_that_allows_names_the_call() -> None:
    table = TrunkTable([Trunk("a", ("10.0.0.0/8", "2001:db8::/32")), Trunk("b", ("10.1.0.0/16", "192.0.2.7"))])
    assert [table.trunk_of(ip) for ip in ("10.1.1.1", "2001:db8::5", "192.0.2.7", "192.0.2.8", "::ffff:10.1.1.1")] == [
        "a",
        "a",
        "b",
        None,
        "a",
    ]
    assert table.trunk_of("10.1.1.1") == "a"


@pytest.mark.parametrize(
    "text", ["127.0.0.1:5060", "sctp://127.0.0.1:5060", "udp://127.0.0.1", "udp://host:5060", "udp://127.0.0.1:70000"]
)
def test_bad_listen_addresses(text: str) -> None:
    with pytest.raises(TelephonyMisuse):
        ListenAddress.parse(text)


def test_listen_addresses_read_back() -> None:
    assert str(ListenAddress.parse("tcp://[::1]:5060")) == "tcp://[::1]:5060"


def test_contradictory_settings_are_refused() -> None:
    with pytest.raises(TelephonyMisuse):
        EdgeSettings((), ())
    with pytest.raises(TelephonyMisuse, match="public_address"):
        EdgeSettings(("udp://0.0.0.0:5060",), ())
    with pytest.raises(TelephonyMisuse):
        EdgeSettings(("udp://127.0.0.1:5060",), (Trunk("a", ()), Trunk("a", ())))
    with pytest.raises(TelephonyMisuse):
        Trunk("a", ("10.0.0.300",))
    with pytest.raises(TelephonyMisuse):
        EdgeLimits(invites_per_second=0)
    with pytest.raises(TelephonyMisuse):
        EdgeSettings(("udp://127.0.0.1:5060",), (), public_address="a\r\nb")


def test_resending_doubles_up_to_four_seconds_and_stops_after_32() -> None:
    table = ResendTable(Timers())
    action = SendPublic(Hop("udp", "10.0.0.1", 5060, 0), b"BYE")
    table.request("k", action, 0.0)
    sent = [n / 10 for n in range(1, 400) if table.due(n / 10)[0]]
    assert sent == pytest.approx([0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
    assert len(table) == 0


def test_tcp_is_sent_once() -> None:
    table = ResendTable(Timers())
    table.request("k", SendPublic(Hop("tcp", "10.0.0.1", 5060, 0, 1), b"BYE"), 0.0)
    assert [n for n in range(1, 400) if table.due(n / 10)[0]] == []
    assert len(table) == 0


def test_an_invite_is_sent_again_until_a_provisional_answer_and_is_lost_without_any() -> None:
    table, action = ResendTable(Timers()), SendPublic(Hop("udp", "10.0.0.1", 5060, 0), b"INVITE")
    table.request("rings", action, 0.0, invite=True)
    table.request("silent", action, 0.0, invite=True)
    assert [len(table.due(n / 10)[0]) for n in (4, 5, 14, 15)] == [0, 2, 0, 2]
    table.provisional("rings", 2.0)
    assert len(table.due(3.5)[0]) == 1
    assert table.due(32.0)[1] == ["silent"]
    assert "rings" in table
    assert table.answered("rings")


def test_a_final_answer_is_repeated_until_its_ack() -> None:
    table = ResendTable(Timers())
    table.final_answer("k", SendPublic(Hop("udp", "10.0.0.1", 5060, 0), b"486"), 0.0)
    assert len(table.due(0.5)[0]) == 1
    assert table.answered("k")
    assert table.due(1.5) == ([], [])


def test_remembered_attempts_are_bounded_and_forgotten() -> None:
    world = make_world(EdgeLimits(remembered_attempts=50, stranger_burst=150, stranger_message_burst=200))
    world.caller(call_request(call="friend"))
    world.worker(world.answer(first_request(world.to_worker()), 180))
    for n in range(200):
        world.caller(call_request(call=f"c{n}"), Hop("udp", f"203.0.113.{n}", 5060, 0))
    assert world.context.remembered == 5 + 1
    assert len(world.refused) == 150
    assert world.context.counters["dropped.stranger"] == 50
    world.caller(call_request(call="friend"))
    assert len(world.admitter.invites) == 1
    world.tick(KEPT_S + 1)
    assert world.context.remembered == 1  # it still rings


def test_a_call_that_rings_long_is_still_admitted_once() -> None:
    world = make_world()
    world.caller(call_request())
    world.worker(world.answer(first_request(world.to_worker()), 180))
    world.tick(KEPT_S + 10)
    world.caller(call_request())
    assert len(world.admitter.invites) == 1


def test_the_table_holds_a_thousand_dialogs_and_lets_go_of_them() -> None:
    world = make_world(EdgeLimits(invites_per_second=1e6, invite_burst=10**6, messages_per_second=1e6))
    world.admitter.decide = lambda invite: Forward(WORKER, invite.sip_call_id)
    for n in range(1000):
        world.caller(call_request(call=f"c{n}"))
    assert len(world.context.dialogs.live()) == 1000
    ended, _ = world.core.end_worker_legs("w1", world.now)
    assert len(ended) == 1000
    assert world.context.dialogs.live() == ()


def test_the_transactions_timers_are_settings() -> None:
    timers = EdgeTimers(public=Timers(t1=0.125, limit_s=1.0))
    table, action = ResendTable(timers.public), SendPublic(Hop("udp", "10.0.0.1", 5060, 0), b"BYE")
    table.request("bye", action, 0.0)
    sent = [at / 8 for at in range(1, 12) if table.due(at / 8)[0]]
    assert sent == [0.125, 0.375, 0.875]
    assert len(table) == 0
    assert (timers.after_bye_s, timers.kept_s) == (1.0, 2.0)
