"""Parsing messages: what is refused before PJSIP sees it, and that nothing crashes the edge."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from edge_world import CALLER, call_request, first_request, make_world, sip, statuses

from telephony.edge.hops import Hop
from telephony.sip.framing import KEEPALIVE, FramingError, StreamFramer
from telephony.sip.parse import Malformed, Request, Response, parse
from telephony.sip.uri import parse_name_addr, parse_uri, phone_user
from telephony.sip.writing import stamp_via

GOOD = call_request()


def changed(old: str, new: str) -> bytes:
    data = GOOD.replace(old.encode(), new.encode("latin-1"), 1)
    assert data != GOOD
    return data


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"x", "truncated"),
        (b"INVITE sip:a SIP/2.0\r\nVia: x", "truncated"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "start-line"),
        (changed("Max-", "\0Max-"), "nul"),
        (changed("\r\nMax-", "\nMax-"), "line-break"),
        (changed("\r\nMax-", "\rX: 1\r\nMax-"), "line-break"),
        (changed("Max-Forwards: 70", "Max-Forwards 70"), "header-line"),
        (changed("Max-Forwards", "Max Forwards"), "header-line"),
        (changed("Max-Forwards: 70", "Max-Forwards: 256"), "max-forwards"),
        (changed("Max-Forwards: 70", "Max-Forwards: -1"), "max-forwards"),
        (changed("CSeq: 1 ", "CSeq: -1 "), "cseq"),
        (changed("CSeq: 1 ", "CSeq: 1_0 "), "cseq"),
        (changed("CSeq: 1 ", "CSeq: 2147483648 "), "cseq"),
        (changed("CSeq: 1 INVITE", "CSeq: 1"), "cseq"),
        (changed("CSeq: 1 INVITE", "CSeq: 1 BYE"), "cseq-method"),
        (changed("CSeq: 1 INVITE", "CSeq: 1 INVITE\r\nCSeq: 2 INVITE"), "duplicate-header"),
        (changed("CSeq: 1 INVITE", "X-CSeq: 1 INVITE"), "missing-header"),
        (changed("Call-ID: call-1", "i: \xff"), "call-id"),
        (changed("Call-ID: call-1", "i:"), "call-id"),
        (changed("Content-Length: 120", "Content-Length: -1"), "content-length"),
        (changed("Content-Length: 120", "Content-Length: 3x"), "content-length"),
        (changed("Content-Length: 120", "Content-Length: 121"), "body-short"),
        (changed("Content-Length: 120", "Content-Length: 120\r\nl: 30"), "duplicate-header"),
        (changed("SIP/2.0/UDP 10", "SIP/3.0/UDP 10"), "via"),
        (changed("10.1.2.3:5060;rport", "10.1.2.3:99999;rport"), "via"),
        (changed("10.1.2.3:5060;rport", "<script>;rport"), "via"),
        (changed("branch=z9hG4bKa", "branch=z9hG4bK"), "via"),
        (changed("tag=alice", "tag=al ice"), "tag"),
        (changed("Alice <sip", "Alice sip"), "address"),
        (changed(" SIP/2.0\r", " SIP/4.0\r"), "version"),
        (changed("INVITE sip:+1555", "INVITE +1555"), "request-uri"),
        (changed("Contact:", "X: " + "1" * 16_384 + "\r\nContact:"), "too-large"),
        (changed("Contact:", "X: 1\r\n" * 300 + "Contact:"), "too-many-headers"),
    ],
)
def test_malformed(data: bytes, kind: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert caught.value.kind == kind
    world = make_world()
    world.caller(data)
    assert world.workers == []
    assert world.context.counters[f"malformed.{kind}"] == 1


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (changed("Contact:", "X: a\0b\r\nContact:"), [400]),
        (changed("Contact:", "X: a\nY: b\r\nContact:"), [400]),
        (changed("Call-ID: call-1", "Call-ID: call-1\nX: y"), []),  # it would go back to the caller as it came
        (changed("tag=alice", "tag=al\0ce"), []),
    ],
)
def test_what_breaks_lines_is_answered_when_the_answer_has_nothing_of_it(data: bytes, answered: list[int]) -> None:
    world = make_world()
    world.caller(data)
    assert statuses(world) == answered and world.workers == []


def test_over_tcp_content_length_is_mandatory() -> None:
    data = b"".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(b"Content-L"))
    assert isinstance(parse(data), Request)
    with pytest.raises(Malformed):
        parse(data, stream=True)


def test_what_is_too_large_is_dropped() -> None:
    world = make_world()
    world.caller(GOOD + b"x" * 65_536)
    assert world.public == []
    assert world.context.counters["malformed.too-large"] == 1


def test_octets_after_the_body_are_cut_off() -> None:
    assert parse(GOOD + b"INVITE again").body == parse(GOOD).body


def test_a_response_is_read() -> None:
    response = parse(
        sip(
            "SIP/2.0 180", "v: SIP/2.0/UDP a;branch=1, SIP/2.0/TCP [2001:db8::1]:5061;branch=2", "f: <sip:a@b>;tag=1"
        ).replace(b"Content-", b"t: sip:c@d;tag=2\r\ni: x\r\nCSeq: 1 INVITE\r\nContent-")
    )
    assert isinstance(response, Response)
    below = response.below
    assert below is not None
    assert (below.transport, below.host, below.port) == ("TCP", "2001:db8::1", 5061)
    assert (response.from_tag, response.to_tag) == ("1", "2")


@pytest.mark.parametrize(
    ("value", "stamped"),
    [
        ("SIP/2.0/UDP 10.1.2.3:5060;branch=b", "SIP/2.0/UDP 10.1.2.3:5060;branch=b"),
        ("SIP/2.0/UDP 10.0.0.9;branch=b", "SIP/2.0/UDP 10.0.0.9;branch=b;received=10.1.2.3"),
        ("SIP/2.0/UDP 10.1.2.3;rport;branch=b", "SIP/2.0/UDP 10.1.2.3;branch=b;received=10.1.2.3;rport=4000"),
        ("SIP/2.0/UDP 10.1.2.3;branch=b;rport", "SIP/2.0/UDP 10.1.2.3;branch=b;received=10.1.2.3;rport=4000"),
        ("SIP/2.0/UDP h;received=6.6.6.6;rport=1;branch=b", "SIP/2.0/UDP h;branch=b;received=10.1.2.3;rport=4000"),
    ],
)
def test_via_says_where_it_came_from(value: str, stamped: str) -> None:
    request = parse(GOOD.replace(b"SIP/2.0/UDP 10.1.2.3:5060;rport;branch=z9hG4bKa", value.encode()))
    assert stamp_via(value, request.via, "10.1.2.3", 4000) == stamped


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:alice:secret@example.com:5070;lr?x=y", "alice", "example.com", 5070),
        ("sips:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it@example.com", "", "example.com", None),
        ("sip:user;par=u%40example.net@example.com", "user;par=u%40example.net", "example.com", None),
        ("sip:[2001:db8::9]:5080", "", "[2001:db8::9]", 5080),
    ],
)
def test_uris(text: str, user: str, host: str, port: int | None) -> None:
    uri = parse_uri(text)
    assert (uri.host, uri.port) == (host, port)
    assert not user or uri.user == user


@pytest.mark.parametrize("text", ["", "alice", "sip:", "sip:a@", "sip:a@b:0", "sip:a@b:x", "sip:a@[::1", "sip:a@b c"])
def test_broken_uris(text: str) -> None:
    with pytest.raises(ValueError):
        parse_uri(text)


def test_name_addrs() -> None:
    assert parse_name_addr(r'"a <\"> ;b" <sip:x@y;lr>;tag=1').params == {"tag": "1"}
    assert parse_name_addr("sip:x@y;tag=1").uri == "sip:x@y"
    for broken in ('"a <sip:x@y>', '"a" sip:x@y', "<sip:x@y", 'a" <sip:x@y>'):
        with pytest.raises(ValueError):
            parse_name_addr(broken)
    assert phone_user(parse_uri("tel:555-0100;isub=1")) == "5550100"


# TCP framing


def test_messages_are_cut_out_of_a_stream_of_single_bytes() -> None:
    framer = StreamFramer(4096)
    stream = b"\r\n" + GOOD + KEEPALIVE + GOOD
    frames = [frame for n in range(len(stream)) for frame in framer.feed(stream[n : n + 1])]
    assert frames == [GOOD, KEEPALIVE, GOOD]
    assert not framer.partial


def test_a_stream_in_one_piece() -> None:
    framer = StreamFramer(4096)
    assert list(framer.feed(GOOD + GOOD + GOOD[:50])) == [GOOD, GOOD]
    assert framer.partial


@pytest.mark.parametrize(
    "stream",
    [
        b"x" * 5000,
        b"A b SIP/2.0\r\nContent-Length: 5000\r\n\r\n",
        b"A b SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"A b SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
        b"A b SIP/2.0\r\n\r\n",
    ],
)
def test_a_stream_that_cannot_be_followed(stream: bytes) -> None:
    with pytest.raises(FramingError):
        list(StreamFramer(4096).feed(stream))


# Fuzz


def test_nothing_that_arrives_raises_or_reaches_a_worker_broken() -> None:
    """6,000 messages made from good and torture messages by flipping, cutting, doubling and mixing, seeded."""
    chance = random.Random(4475)
    seeds = [path.read_bytes() for path in sorted((Path(__file__).parent / "rfc4475").glob("*.dat"))]
    seeds += [GOOD, call_request("CANCEL"), call_request("BYE", to_tag="bob"), call_request("OPTIONS")] * 8
    world = make_world(allow=("0.0.0.0/0",))
    invite = world.established(call="live")
    seeds += [world.answer(invite, status) for status in (180, 200, 486)] * 4
    world.caller(call_request(call="rings"))
    seeds += [world.answer(first_request(world.to_worker()), 183)] * 16
    for number in range(6_000):
        data = bytearray(chance.choice(seeds).replace(b"call-1", b"call-%d" % number))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            match chance.randrange(5):
                case 0:
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at] = chance.choice(b'\r\n\0 :;,"<>@/%=\\\xff09azA')
                case 2:
                    del data[at : at + chance.randint(1, 30)]
                    data = data or bytearray(b"x")
                case 3:
                    data[at:at] = data[at : at + chance.randint(1, 30)]
                case _:
                    other = chance.choice(seeds)
                    data[at:at] = other[(start := chance.randrange(len(other))) : start + 20]
        world.now += 0.01
        if number % 3:
            world.caller(bytes(data), Hop("udp", f"10.1.{number % 200}.3", 5060, 0))
        else:
            world.worker(bytes(data))
        for action in world.workers:
            if not action.data.startswith(b"SIP/2.0 4"):  # an answer to a broken request of a worker repeats its Vias
                parse(action.data)
        world.public.clear()
        world.workers.clear()
    assert world.context.counters["internal_errors"] == 0
    assert world.context.counters["forwarded_in.INVITE"] > 20
    assert world.context.counters["responses_out.1xx"] > 5


def test_random_octets() -> None:
    chance = random.Random(3261)
    world = make_world()
    for _ in range(2_000):
        world.caller(chance.randbytes(chance.randint(0, 200)), CALLER)
        world.now += 0.01
    assert (world.public, world.workers) == ([], [])
    assert world.context.counters["internal_errors"] == 0
