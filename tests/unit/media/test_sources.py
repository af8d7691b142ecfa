"""Which packets are the peer's."""

from __future__ import annotations

from ipaddress import ip_network

from telephony.media.sources import SourceLatch

SAID, NAT, OTHER, STRANGER = ("192.168.1.2", 4000), ("198.51.100.7", 31000), ("198.51.100.7", 31002), ("203.0.113.9", 5)
TRUNK = [ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")]


def latch() -> SourceLatch:
    made = SourceLatch()
    made.offer(SAID, TRUNK)
    return made


def test_nobody_is_heard_before_an_offer():
    made = SourceLatch()
    assert (made.admitted, made.open, made.stranger(NAT)) == ((), False, False)


def test_a_peer_behind_nat_is_taken_once_and_from_its_trunk_only():
    made = latch()
    assert not made.stranger(STRANGER)
    assert made.stranger(NAT)
    assert made.admitted == (SAID, NAT)
    assert not made.stranger(OTHER)
    assert not made.open


def test_a_peer_that_is_where_it_said_leaves_no_room_for_another():
    made = latch()
    made.heard()
    assert not made.stranger(NAT)
    assert made.admitted == (SAID,)


def test_a_new_offer_allows_another_source():
    made = latch()
    made.stranger(NAT)
    made.offer(SAID, TRUNK)
    assert made.admitted == (SAID, NAT)  # until another one comes
    assert made.stranger(OTHER)
    assert made.admitted == (SAID, OTHER)
    made.offer(("198.51.100.8", 6000), TRUNK)
    assert made.admitted == (("198.51.100.8", 6000),)


def test_hold_without_an_address_changes_nothing():
    made = latch()
    made.heard()
    made.offer(None, TRUNK)
    assert made.admitted == (SAID,)
    assert not made.stranger(NAT)
