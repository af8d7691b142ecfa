"""A flood hurts only the flooder: budgets before parsing, summaries instead of records, separate connection limits."""

from __future__ import annotations

import pytest
from edge_world import CALLER, SDP, World, call_request, make_world, statuses

from telephony.edge.admission import TrunkTable
from telephony.edge.budget import ConnectionPlaces, StrangerBudget, begins_something
from telephony.edge.floods import FloodTable
from telephony.edge.hops import FloodSummedUp, Hop
from telephony.edge.protocol import Flood
from telephony.edge.settings import EdgeLimits, Trunk

STRANGER = Hop("udp", "203.0.113.5", 5060, 0)


def floods(world: World) -> list[Flood]:
    return [event.flood for event in world.told if isinstance(event, FloodSummedUp)]


# Strangers


def test_strangers_share_one_budget_of_messages_and_bytes() -> None:
    budget = StrangerBudget(
        EdgeLimits(
            stranger_messages_per_second=10,
            stranger_message_burst=3,
            stranger_bytes_per_second=1000,
            stranger_byte_burst=2000,
            stranger_message_bytes=1500,
        )
    )
    assert not budget.allow(1501, 0.0)  # too long, and costs nothing
    assert budget.allow(1500, 0.0)
    assert not budget.allow(600, 0.0)  # out of bytes
    assert budget.allow(400, 0.0)
    assert [budget.allow(1, 0.5) for _ in range(4)] == [True, True, True, False]  # out of messages
    assert budget.allow(1, 0.7)


def test_what_is_over_a_strangers_budget_is_not_parsed() -> None:
    world = make_world(EdgeLimits(stranger_message_burst=2))
    for n in range(5):
        world.caller(call_request("OPTIONS", call=f"o{n}", body=b""), Hop("udp", f"203.0.113.{n}", 5060, 0))
    world.caller(call_request("OPTIONS", call="long", body=b"x" * 5000), STRANGER)
    assert statuses(world) == [200, 200]
    assert world.context.counters["received.OPTIONS"] == 2
    assert world.context.counters["dropped.stranger"] == 4
    world.caller(call_request("OPTIONS", call="trunk", body=b""))
    assert statuses(world) == [200]


def test_a_flood_of_strangers_is_summed_up_and_knows_few_sources() -> None:
    world = make_world(EdgeLimits(stranger_burst=1, stranger_message_burst=5))
    for n in range(50):
        world.caller(call_request(call=f"c{n}"), Hop("udp", f"203.0.113.{n}", 5060, 0))
    assert len(world.refused) == 1
    world.tick(61)
    assert sum(flood.attempts for flood in floods(world)) == 49
    assert len(floods(world)) == 21  # 20 sources, and one entry for the others
    assert floods(world)[-1].source == ""
    assert {flood.trunk for flood in floods(world)} == {None}


# Trunks over their rate


def test_new_calls_over_the_rate_are_one_summary_a_source_and_minute() -> None:
    world = make_world(EdgeLimits(invites_per_second=1, invite_burst=1))
    for n in range(10):
        world.caller(call_request(call=f"c{n}"))
        world.now += 0.01
    world.caller(call_request(call="d1"), Hop("udp", "10.9.9.9", 5060, 0))
    world.caller(call_request(call="d2"), Hop("udp", "10.9.9.9", 5060, 0))
    assert statuses(world) == [100, *[503] * 9, 100, 503]
    assert world.refused == []
    world.tick(58)
    assert floods(world) == []
    world.tick(3)
    first, second = floods(world)
    assert (first.source, first.trunk, first.attempts) == ("10.1.2.3", "carrier", 9)
    assert first.last_at - first.first_at == pytest.approx(0.08)
    assert (second.source, second.attempts) == ("10.9.9.9", 1)
    world.tick(61)
    assert len(floods(world)) == 2


def test_calls_that_were_answered_and_ended_don_t_count_as_a_flood() -> None:
    world = make_world(EdgeLimits(invites_per_second=1, invite_burst=2))
    for n in range(10):
        call = f"c{n}"
        world.established(call=call)
        world.caller(call_request("BYE", call=call, cseq=2, to_tag="bob", body=b""))
        world.workers.clear()
    assert statuses(world) == []  # no 503
    for n in range(3):
        world.caller(call_request(call=f"d{n}"))
        world.workers.clear()
        world.caller(call_request("BYE", call=f"d{n}", cseq=2, to_tag="guessed", body=b""))
    assert [status for status in statuses(world) if status != 481] == [100, 100, 503]


def test_what_has_not_been_told_is_told_at_the_end(world: World) -> None:
    world.context.floods.add("10.1.2.3", "carrier", 1.0)
    world.perform(world.core.finish())
    assert floods(world) == [Flood("10.1.2.3", "carrier", 1, 1.0, 1.0)]
    assert world.core.finish() == []


def test_a_repeated_invite_over_the_rate_gets_its_503_again_and_is_not_admitted_later() -> None:
    world = make_world(EdgeLimits(invites_per_second=1, invite_burst=1))
    world.caller(call_request(call="c1"))
    world.caller(call_request(call="c2"))
    world.now += 5
    world.caller(call_request(call="c2"))
    assert statuses(world) == [100, 503, 503]
    assert len(world.admitter.invites) == 1


def test_over_the_message_rate_refusals_end_too_but_dialogs_go_on() -> None:
    world = make_world(
        EdgeLimits(messages_per_second=1, message_burst=2, hard_factor=100, refusals_per_second=1, refusal_burst=2)
    )
    world.established()
    for n in range(5):
        world.caller(call_request(call=f"f{n}"))
    assert statuses(world) == [503, 503]
    world.caller(call_request("BYE", cseq=2, to_tag="bob", body=b""))
    assert len(world.workers) == 1
    world.tick(61)
    assert [flood.attempts for flood in floods(world)] == [5]


def test_the_flood_table_is_bounded() -> None:
    table = FloodTable()
    for n in range(1000):
        table.add(f"10.0.{n // 250}.{n % 250}", "carrier", 0.0)
        table.add(f"203.0.{n // 250}.{n % 250}", None, 0.0)
    assert len(table) == 222
    told = table.due(60.0)
    assert sum(flood.attempts for flood in told) == 2000
    assert len(table) == 0


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (call_request(), True),
        (call_request("OPTIONS", body=b""), True),
        (call_request(to_tag="x"), False),
        (call_request("ACK", body=b""), False),
        (call_request("CANCEL", body=b""), False),
        (b"SIP/2.0 200 OK\r\nTo: <sip:a@b>\r\n\r\n", False),
        (b"BYE sip:a@b SIP/2.0\r\nt : <sip:a@b> ; TAG = 1\r\n\r\n", False),
        (b"INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>;tag=1\r\n\r\n", True),
        (b"", True),
    ],
)
def test_what_begins_something_is_told_from_its_bytes(data: bytes, begins: bool) -> None:
    assert begins_something(data) is begins


# Connections


def test_strangers_cannot_take_the_trunks_connections() -> None:
    places = ConnectionPlaces(EdgeLimits(stranger_tcp_connections=4, stranger_tcp_per_source=2, tcp_connections=20), 1)
    taken = [places.take(None, f"203.0.113.{n // 3}") for n in range(12)]
    assert taken == [True, True, False, True, True, False, *[False] * 6]
    assert [places.take("a", f"10.0.0.{n}") for n in range(21)] == [*[True] * 20, False]
    places.give_back(None, "203.0.113.0")
    assert places.take(None, "203.0.113.9")
    places.give_back("a", "10.0.0.1")
    assert places.take("a", "10.0.0.77")


def test_no_trunk_can_take_the_last_connections_of_another() -> None:
    places = ConnectionPlaces(EdgeLimits(tcp_connections=100), 3)
    assert sum(places.take("a", f"10.0.0.{n}") for n in range(200)) == 68
    assert sum(places.take("b", f"10.1.0.{n}") for n in range(200)) == 16
    assert sum(places.take("c", f"10.2.0.{n}") for n in range(200)) == 16


def test_one_source_has_at_most_its_own_share() -> None:
    places = ConnectionPlaces(EdgeLimits(tcp_connections_per_source=3), 1)
    assert [places.take("a", "10.0.0.1") for _ in range(4)] == [True, True, True, False]


def test_forged_sources_push_no_trunk_out_of_the_table() -> None:
    table = TrunkTable([Trunk("carrier", ("10.0.0.0/8",))])
    assert table.trunk_of("10.1.2.3") == "carrier"
    for n in range(10_000):
        assert table.trunk_of(f"203.{n >> 16}.{n >> 8 & 255}.{n & 255}") is None
    assert list(table._known) == ["10.1.2.3"]
    assert len(table._strangers) == TrunkTable._KEPT


def test_a_call_goes_on_while_strangers_flood(world: World) -> None:
    for n in range(2000):
        world.caller(call_request(call=f"x{n}", body=SDP * 20), Hop("udp", f"203.0.113.{n % 250}", 5060, 0))
    world.public.clear()
    world.caller(call_request(), CALLER)
    assert statuses(world) == [100]


def test_a_few_new_calls_too_many_wait_for_their_turn() -> None:
    world = make_world(EdgeLimits(invites_per_second=4, invite_burst=1, invite_wait_s=0.5))
    for n in range(4):
        world.caller(call_request(call=f"c{n}"))
    assert statuses(world) == [100, 100, 100, 503]  # two wait: as many as have their turn within 0.5 s
    assert len(world.admitter.invites) == 1
    world.caller(call_request(call="c1"))  # sent again meanwhile
    assert statuses(world) == [100]
    world.tick(0.3)
    assert [invite.sip_call_id for invite in world.admitter.invites] == ["c0", "c1"]
    world.tick(0.3)
    assert [invite.sip_call_id for invite in world.admitter.invites] == ["c0", "c1", "c2"]
    assert len(world.context.waiting) == 0


def test_who_gives_up_while_waiting_gets_its_answer_and_a_record() -> None:
    world = make_world(EdgeLimits(invites_per_second=4, invite_burst=1))
    world.caller(call_request(call="c0"))
    world.caller(call_request(call="c1"))
    statuses(world)
    world.caller(call_request("CANCEL", call="c1", body=b""))
    assert statuses(world) == [200, 487]
    assert [(refused.invite.status, refused.invite.rule) for refused in world.refused] == [(487, "cancelled")]
    world.tick(1)
    assert len(world.admitter.invites) == 1
