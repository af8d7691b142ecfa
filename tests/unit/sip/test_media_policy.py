"""Where we may be told to send audio."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from telephony.sip.media_policy import MediaPolicy, TrunkMedia, addresses
from telephony.sip.offer import for_worker
from telephony.sip.sdp import Direction, Media, Rtcp, SdpNotAcceptable, parse_sdp

CARRIER, PHONE = "198.51.100.7", "10.1.1.7"  # documentation addresses are not global, so public ones stand below
PUBLIC, ELSEWHERE = "8.8.4.4", "9.9.9.9"
OPEN = TrunkMedia((ip_network("8.8.4.0/24"),))
CLOSED = TrunkMedia((ip_network("8.8.4.0/24"),), (ip_network("1.1.1.0/24"),))
LAN = TrunkMedia((ip_network("10.1.0.0/16"),))
POLICY = MediaPolicy(addresses(["9.9.9.1", "0.0.0.0", "not-an-address"]), frozenset({5060, 8080}), range(20000, 30000))


def offer(address: str, port: int = 4000, *more: str, way: str = "sendrecv") -> bytes:
    lines = ("v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0", f"m=audio {port} RTP/AVP 0")
    return "\r\n".join((*lines, *more, f"a={way}", "")).encode()


def applied(body: bytes, trunk: TrunkMedia = OPEN, source: str = PUBLIC) -> Media:
    return POLICY.apply(parse_sdp(body), trunk, source).media[0]


@pytest.mark.parametrize(
    ("address", "trunk", "source", "becomes"),
    [
        (PUBLIC, OPEN, PUBLIC, PUBLIC),
        ("8.8.4.9", CLOSED, PUBLIC, "8.8.4.9"),  # another of the trunk's own
        (ELSEWHERE, OPEN, PUBLIC, ELSEWHERE),  # a carrier's media server
        ("1.1.1.1", CLOSED, PUBLIC, "1.1.1.1"),
        ("192.168.1.5", OPEN, PUBLIC, PUBLIC),  # behind NAT
        ("192.168.1.5", CLOSED, PUBLIC, PUBLIC),
        ("169.254.169.254", OPEN, PUBLIC, PUBLIC),  # a cloud's metadata server: not sent to
        ("127.0.0.1", OPEN, PUBLIC, PUBLIC),
        ("10.1.2.3", LAN, PHONE, "10.1.2.3"),
    ],
)
def test_where_audio_goes(address: str, trunk: TrunkMedia, source: str, becomes: str):
    assert str(applied(offer(address), trunk, source).address) == becomes


@pytest.mark.parametrize(
    ("address", "port", "trunk", "source", "warning"),
    [
        ("224.0.0.1", 4000, OPEN, PUBLIC, 330),
        ("239.255.0.1", 4000, TrunkMedia((ip_network("0.0.0.0/0"),)), PUBLIC, 330),
        ("255.255.255.255", 4000, OPEN, PUBLIC, 399),
        ("240.0.0.1", 4000, OPEN, PUBLIC, 399),
        (ELSEWHERE, 4000, CLOSED, PUBLIC, 399),
        ("10.2.0.1", 4000, LAN, PHONE, 399),
        ("127.0.0.1", 4000, LAN, PHONE, 399),
        (PUBLIC, 53, OPEN, PUBLIC, 399),
        (PUBLIC, 1023, OPEN, PUBLIC, 399),
        ("9.9.9.1", 5060, OPEN, PUBLIC, 399),
        ("9.9.9.1", 8080, OPEN, PUBLIC, 399),
        ("9.9.9.1", 20500, OPEN, PUBLIC, 399),
        ("127.0.0.2", 20500, TrunkMedia((ip_network("127.0.0.0/8"),)), "127.0.0.1", 399),
    ],
)
def test_where_it_never_goes(address: str, port: int, trunk: TrunkMedia, source: str, warning: int):
    with pytest.raises(SdpNotAcceptable) as refused:
        applied(offer(address, port), trunk, source)
    assert (refused.value.sip_status, refused.value.warning) == (488, warning)


def test_ports_of_others_are_not_ours():
    assert applied(offer(PUBLIC, 5060)).port == 5060
    assert applied(offer("9.9.9.1", 30000)).port == 30000


def test_rtcp_is_held_against_the_same_rules():
    assert applied(offer(PUBLIC, 4000, "a=rtcp:4007")).rtcp == Rtcp(4007)
    behind_nat = applied(offer("192.168.1.5", 4000, "a=rtcp:4001 IN IP4 192.168.1.5"))
    assert (str(behind_nat.address), behind_nat.rtcp) == (PUBLIC, Rtcp(4001))  # without an address: RTP's
    for line in ("a=rtcp:53", "a=rtcp:4001 IN IP4 224.0.0.1", "a=rtcp:5060 IN IP4 9.9.9.1"):
        with pytest.raises(SdpNotAcceptable):
            applied(offer(PUBLIC, 4000, line))
    with pytest.raises(SdpNotAcceptable):
        applied(offer(PUBLIC, 4000, f"a=rtcp:4001 IN IP4 {ELSEWHERE}"), CLOSED)


@pytest.mark.parametrize(
    ("way", "becomes"),
    [("sendrecv", Direction.SENDONLY), ("recvonly", Direction.INACTIVE), ("inactive", Direction.INACTIVE)],
)
def test_an_address_of_zeros_means_hold(way: str, becomes: Direction):
    held = applied(offer("0.0.0.0", way=way))
    assert (str(held.address), held.direction) == (PUBLIC, becomes)


def test_a_stream_that_is_not_wanted_is_nobodys_target():
    assert applied(offer("224.0.0.1", 0)).port == 0


@pytest.mark.parametrize(
    ("lines", "ptime_ms"),
    [
        ((), None),
        (("a=ptime:30",), 30),
        (("a=ptime:30", "a=maxptime:60"), 30),
        (("a=ptime:60", "a=maxptime:40"), 40),
        (("a=maxptime:10",), 10),
        (("a=maxptime:40",), None),
        (("a=maxptime:3",), None),
    ],
)
def test_packets_are_no_longer_than_the_peer_takes(lines: tuple[str, ...], ptime_ms: int | None):
    assert for_worker(parse_sdp(offer(PUBLIC, 4000, *lines)))[0].media[0].ptime_ms == ptime_ms
