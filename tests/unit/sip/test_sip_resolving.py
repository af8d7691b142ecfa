"""RFC 3263 with a dictionary as the name service."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.name_cache import NameCache
from telephony.sip.places import FailedPlaces
from telephony.sip.resolving import (
    Address,
    Answer,
    Naptr,
    Place,
    Question,
    Resolved,
    SipTransport,
    Srv,
    Target,
    plan,
)

ALL: tuple[SipTransport, ...] = ("udp", "tcp", "tls")
ZONE = {
    Question("NAPTR", "example.com"): Answer(
        (
            Naptr(50, 60, "s", "SIP+D2T", "_sip._tcp.example.com."),
            Naptr(50, 50, "S", "SIPS+D2T", "_sips._tcp.example.com."),
            Naptr(90, 50, "s", "SIP+D2U", "_sip._udp.example.com."),
            Naptr(10, 10, "u", "E2U+sip", "example.com."),
        ),
        900,
    ),
    Question("SRV", "_sips._tcp.example.com"): Answer((Srv(1, 1, 5061, "secure.example.com."),), 600),
    Question("SRV", "_sip._tcp.example.com"): Answer((Srv(1, 1, 5060, "tcp.example.com."),), 600),
    Question("SRV", "_sip._udp.example.com"): Answer(
        (Srv(2, 0, 5060, "spare.example.com."), Srv(1, 0, 5070, "main.example.com.")), 300
    ),
    Question("A", "secure.example.com"): Answer((Address("192.0.2.4"),), 60),
    Question("A", "tcp.example.com"): Answer((Address("192.0.2.3"),), 60),
    Question("A", "main.example.com"): Answer((Address("192.0.2.1"), Address("192.0.2.2")), 60),
    Question("A", "spare.example.com"): Answer((Address("192.0.2.9"),), 600),
    Question("AAAA", "main.example.com"): Answer((Address("2001:db8::1"),), 60),
    Question("A", "plain.example.net"): Answer((Address("198.51.100.7"),), 120),
    Question("SRV", "_sip._udp.shut.example"): Answer((Srv(0, 0, 0, "."),), 60),
    Question("A", "shut.example"): Answer((Address("198.51.100.8"),), 120),
}


def resolve(
    target: Target,
    transports: tuple[SipTransport, ...] = ALL,
    zone: dict[Question, Answer] | None = None,
    **kinds: object,
) -> tuple[Resolved, list[Question]]:
    asked: list[Question] = []
    answers = ZONE if zone is None else zone
    going = plan(target, transports, lambda: 0.0, **kinds)  # type: ignore[arg-type]
    try:
        question = next(going)
        while True:
            asked.append(question)
            question = going.send(answers.get(question, Answer(ttl_s=30)))
    except StopIteration as end:
        return end.value, asked


def places(target: Target, transports: tuple[SipTransport, ...] = ALL) -> list[tuple[str, str, int]]:
    return [(place.transport, place.ip, place.port) for place in resolve(target, transports)[0].places]


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (Target("192.0.2.5"), ("udp", "192.0.2.5", 5060)),
        (Target("192.0.2.5", 5070), ("udp", "192.0.2.5", 5070)),
        (Target("192.0.2.5", transport="tcp"), ("tcp", "192.0.2.5", 5060)),
        (Target("192.0.2.5", transport="tls"), ("tls", "192.0.2.5", 5061)),
        (Target("192.0.2.5", secure=True), ("tls", "192.0.2.5", 5061)),
        (Target("[2001:db8::5]"), ("udp", "2001:db8::5", 5060)),
    ],
)
def test_literals_are_asked_of_nobody(target: Target, place: tuple[str, str, int]) -> None:
    resolved, asked = resolve(target)
    assert [(p.transport, p.ip, p.port) for p in resolved.places] == [place]
    assert asked == []


def test_the_owners_preference_counts_then_priority() -> None:
    assert places(Target("example.com"), ("udp", "tcp")) == [
        ("tcp", "192.0.2.3", 5060),
        ("udp", "192.0.2.1", 5070),
        ("udp", "192.0.2.2", 5070),
        ("udp", "192.0.2.9", 5060),
    ]


def test_who_prefers_tls_is_not_called_in_the_clear() -> None:
    assert places(Target("example.com")) == [("tls", "192.0.2.4", 5061)]
    (place,) = resolve(Target("example.com"))[0].places
    assert place.name == "example.com"  # which the certificate must have (RFC 5922), not the name in the SRV record


def test_tls_is_for_those_who_say_so_or_have_said_so() -> None:
    """SRV alone does not show that a `sip:` URI means TLS; a requested transport is the only one."""
    assert [q.name for q in resolve(Target("plain.example.net"))[1] if q.kind == "SRV"] == [
        "_sip._udp.plain.example.net",
        "_sip._tcp.plain.example.net",
    ]
    resolved, asked = resolve(Target("example.com", transport="tls"))
    assert asked[0] == Question("SRV", "_sips._tcp.example.com")
    assert [(p.transport, p.port) for p in resolved.places] == [("tls", 5061)]
    assert places(Target("plain.example.net", transport="tls")) == [("tls", "198.51.100.7", 5061)]


def test_what_we_cannot_do_is_left_out() -> None:
    assert {p[0] for p in places(Target("example.com"), ("udp",))} == {"udp"}
    assert places(Target("example.com", transport="tls"), ("udp", "tcp")) == []
    assert [p[0] for p in places(Target("example.com", secure=True))] == ["tls"]


def test_a_transport_that_is_said_leaves_naptr_unasked() -> None:
    resolved, asked = resolve(Target("Example.COM.", transport="udp"))
    assert asked[0] == Question("SRV", "_sip._udp.example.com")
    assert [place.ip for place in resolved.places] == ["192.0.2.1", "192.0.2.2", "192.0.2.9"]


def test_a_port_that_is_said_leaves_srv_unasked() -> None:
    resolved, asked = resolve(Target("plain.example.net", 5080))
    assert asked == [Question("A", "plain.example.net")]
    assert resolved == Resolved((Place("udp", "198.51.100.7", 5080, "plain.example.net"),), 120)


def test_without_naptr_and_srv_the_address_serves() -> None:
    resolved, asked = resolve(Target("plain.example.net"), ("udp", "tcp"))
    assert [question.kind for question in asked] == ["NAPTR", "SRV", "SRV", "A"]
    assert resolved.places == (Place("udp", "198.51.100.7", 5060, "plain.example.net"),)


def test_both_kinds_of_addresses_where_both_can_be_sent_to() -> None:
    resolved, _ = resolve(Target("example.com", transport="udp"), kinds=("AAAA", "A"))
    assert [place.ip for place in resolved.places][:3] == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]


def test_the_shortest_time_to_live_counts_and_is_never_too_short() -> None:
    assert resolve(Target("example.com", transport="udp"))[0].ttl_s == 60
    zone = {Question("A", "x.example"): Answer((Address("192.0.2.1"),), 0.0)}
    assert resolve(Target("x.example", 5060), zone=zone)[0].ttl_s == 5


def test_a_service_that_is_declared_absent_is() -> None:
    assert places(Target("shut.example", transport="udp")) == []


def test_nothing_found_and_nothing_learnt_are_told_apart() -> None:
    assert resolve(Target("none.example", 5060))[0] == Resolved((), 30)
    zone = {Question("A", "none.example"): Answer(failed=True, ttl_s=5)}
    assert resolve(Target("none.example", 5060), zone=zone)[0].failed


def test_weights_share_the_load() -> None:
    random = Random(7)
    zone = {
        Question("SRV", "_sip._udp.w.example"): Answer(
            (Srv(1, 60, 5060, "192.0.2.1"), Srv(1, 30, 5060, "192.0.2.2"), Srv(1, 10, 5060, "192.0.2.3")), 60
        )
    }
    first: Counter[str] = Counter()
    for _ in range(5000):
        going = plan(Target("w.example", transport="udp"), ALL, random.random)
        question = next(going)
        try:
            going.send(zone[question])
        except StopIteration as end:
            first[end.value.places[0].ip] += 1
            assert len(end.value.places) == 3
    assert first["192.0.2.1"] == pytest.approx(3000, abs=150)
    assert first["192.0.2.3"] == pytest.approx(500, abs=100)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535)), max_size=12), st.integers(0, 2**32))
def test_every_record_is_tried_once_in_the_order_of_priorities(records: list[tuple[int, int]], seed: int) -> None:
    answers = Answer(tuple(Srv(p, w, 5060, f"192.0.2.{n}") for n, (p, w) in enumerate(records)), 60)
    going = plan(Target("w.example", transport="udp"), ALL, Random(seed).random)
    next(going)
    try:
        going.send(answers)
        found: list[int] = []
    except StopIteration as end:
        found = [int(place.ip.rpartition(".")[2]) for place in end.value.places]
    assert sorted(found) == list(range(len(records)))
    priorities = [records[n][0] for n in found]
    assert priorities == sorted(priorities)


def test_a_hostile_zone_is_cut_short() -> None:
    zone = {
        Question("SRV", "_sip._udp.big.example"): Answer(tuple(Srv(1, 1, n, f"h{n}.big") for n in range(1, 500)), 60)
    }
    zone |= {
        Question("A", f"h{n}.big"): Answer(tuple(Address(f"10.0.{n}.{m}") for m in range(250)), 60) for n in range(99)
    }
    resolved, asked = resolve(Target("big.example", transport="udp"), zone=zone)
    assert (len(resolved.places), len(asked)) == (32, 17)


A = Question("A", "x.example")
ONE = Answer((Address("192.0.2.1"),), 60)


def test_an_answer_holds_for_its_time_and_counts_down() -> None:
    cache = NameCache()
    assert cache.get(A, 0) is None
    cache.put(A, ONE, 0)
    assert cache.get(A, 20) == Answer(ONE.records, 40)
    assert cache.get(A, 60) is None
    assert cache.put(A, Answer((Address("192.0.2.1"),), 10**6), 60).ttl_s == 86_400


def test_that_there_is_none_holds_too_but_not_for_long() -> None:
    cache = NameCache(negative_s=300)
    cache.put(A, Answer((), 3600), 0)
    assert cache.get(A, 299) == Answer((), 1)
    assert cache.get(A, 300) is None


def test_a_dead_name_service_leaves_what_was_known() -> None:
    cache = NameCache(stale_s=1000)
    cache.put(A, ONE, 0)
    assert cache.put(A, Answer(failed=True), 70) == Answer(ONE.records, 5, failed=True)
    assert cache.put(A, Answer(failed=True), 2000) == Answer((), 5, failed=True)
    assert cache.get(A, 2001) == Answer((), 4, failed=True)


def test_the_cache_is_bounded() -> None:
    cache = NameCache(most=3)
    for number in range(10):
        cache.put(Question("A", f"{number}.example"), ONE, 0)
    assert len(cache) == 3


def test_a_place_that_failed_is_passed_over_for_a_while() -> None:
    one, two, three = (Place("udp", f"192.0.2.{n}", 5060) for n in (1, 2, 3))
    failed = FailedPlaces(first_s=30, longest_s=100)
    failed.failed(one, 0)
    assert failed.ordered((one, two, three), 10) == (two, three, one)
    assert failed.ordered((one, two, three), 30) == (one, two, three)
    for at in (30, 60, 90):
        failed.failed(one, at)
    assert failed.passed_over_until(one) == 190  # doubled, up to the longest
    failed.failed(two, 90)
    assert failed.ordered((one, two), 100) == (two, one)  # better than none
    failed.worked(one)
    assert failed.ordered((one, two, three), 100) == (one, three, two)
    failed.failed(three, 0, retry_after_s=70)
    assert failed.passed_over_until(three) == 70
