"""Session descriptions parsed and written, valid and broken."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.sip.sdp import (
    Codec,
    Crypto,
    Direction,
    Media,
    Origin,
    Rtcp,
    SdpError,
    SdpNotAcceptable,
    SessionDescription,
    parse_sdp,
    write_sdp,
)

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
PHONE = """\
v=0
o=alice 2890844526 2 IN IP4 host.example
s=A call
i=über
c=IN IP4 192.0.2.10
b=AS:80
t=0 0
a=sendonly
m=audio 49170/2 RTP/AVP 0 8 96 101 13
a=rtpmap:0 PCMU/8000
a=rtpmap:96 opus/48000/2
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=maxptime:150
a=rtcp:49300
a=silenceSupp:off - - - -
a=recvonly
m=video 0 RTP/AVP 31
m=image 49200 udptl t38
c=IN IP6 2001:db8::1
""".replace("\n", "\r\n")

WRITTEN = """\
v=0
o=- 2890844526 2 IN IP4 192.0.2.10
s=-
c=IN IP4 192.0.2.10
t=0 0
m=audio 49170 RTP/AVP 0 8 96 101 13
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:96 opus/48000/2
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtpmap:13 CN/8000
a=ptime:20
a=maxptime:150
a=rtcp:49300
a=silenceSupp:off - - - -
a=recvonly
m=video 0 RTP/AVP 31
m=image 49200 udptl t38
c=IN IP6 2001:db8::1
a=sendonly
""".replace("\n", "\r\n")


def audio_of(
    *lines: str, formats: str = "0", protocol: str = "RTP/AVP", connection: str = "IN IP4 192.0.2.10"
) -> Media:
    text = ["v=0", "o=- 1 1 IN IP4 192.0.2.10", "s=-", f"c={connection}", "t=0 0", f"m=audio 4000 {protocol} {formats}"]
    audio = parse_sdp("\r\n".join((*text, *lines, "")).encode()).audio
    assert audio is not None
    return audio


def test_what_a_phone_offers() -> None:
    description = parse_sdp(PHONE.encode())
    assert description.origin == Origin(2890844526, 2)
    audio, video, image = description.media
    assert audio == Media(
        "audio",
        49170,
        "RTP/AVP",
        ("0", "8", "96", "101", "13"),
        IPv4Address("192.0.2.10"),
        (
            Codec(0, "PCMU", 8000),
            Codec(8, "PCMA", 8000),
            Codec(96, "opus", 48000, 2),
            Codec(101, "telephone-event", 8000, 1, "0-15"),
            Codec(13, "CN", 8000),
        ),
        Direction.RECVONLY,
        20,
        150,
        Rtcp(49300),
        silence_suppression=False,
    )
    assert audio.rtp_address == (IPv4Address("192.0.2.10"), 49170)
    assert audio.comfort_noise
    assert video == Media("video", 0, "RTP/AVP", ("31",))
    assert image == Media("image", 49200, "udptl", ("t38",), IPv6Address("2001:db8::1"), direction=Direction.SENDONLY)
    assert parse_sdp(write_sdp(description)) == description


def test_written_form_is_our_own() -> None:
    written = write_sdp(parse_sdp(PHONE.encode())).decode()
    assert written == WRITTEN


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", [Crypto(1, "AES_CM_128_HMAC_SHA1_80", KEY)]),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20", [Crypto(1, "AES_CM_128_HMAC_SHA1_80", KEY)]),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80  inline:{KEY} -FEC", [Crypto(1, "AES_CM_128_HMAC_SHA1_80", KEY)]),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4", []),  # its packets would hold an index
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP", []),
        (f"a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:{KEY}", []),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short", []),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY * 10}", []),
    ],
)
def test_keys(line: str, keys: list[Crypto]) -> None:
    assert list(audio_of(line, protocol="RTP/SAVP").crypto) == keys


def test_a_key_is_not_shown() -> None:
    assert KEY not in repr(audio_of(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"))


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("a=ptime:30", {"ptime_ms": 30}),
        ("a=ptime:20.5", {"ptime_ms": 20}),
        ("a=ptime:0", {}),
        ("a=ptime:-20", {}),
        ("a=ptime:99999999", {}),
        ("a=maxptime:10", {"maxptime_ms": 10}),
        ("a=inactive ", {"direction": Direction.INACTIVE}),
        ("a=sendrecv:", {}),
        ("a=rtcp:4009 IN IP4 192.0.2.11", {"rtcp": Rtcp(4009, IPv4Address("192.0.2.11"))}),
        ("a=rtcp:4009 IN IP4", {}),
        ("a=rtcp:", {}),
        ("a=rtcp:99999", {}),
        ("a=rtcp-mux", {"rtcp_mux": True}),
        ("a=silenceSupp:on - - - -", {"silence_suppression": True}),
        ("a=silenceSupp:maybe", {}),
        ("a=rtpmap:0 PCMU/0", {"codecs": ()}),
        ("a=rtpmap:0", {}),
        ("a=rtpmap:0 evil name/8000", {}),
        ("a=fmtp:0 \u00e9", {}),
        ("a=fmtp:300 x=1", {}),
        ("a=", {}),
    ],
)
def test_attributes(said: str, what: dict[str, object]) -> None:
    assert audio_of(said) == replace(audio_of(), **what)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_endings(ending: str) -> None:
    assert parse_sdp(PHONE.replace("\r\n", ending).rstrip().encode()) == parse_sdp(PHONE.encode())


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_only_line_breaks_break_lines(separator: str) -> None:
    body = PHONE.replace("s=A call", f"s=A call{separator}c=IN IP4 203.0.113.1").encode()
    try:
        audio = parse_sdp(body).audio
    except SdpError:
        return
    assert audio is not None and audio.address == IPv4Address("192.0.2.10")


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("v=0", "v=1", 400),
        ("o=alice 2890844526 2 IN IP4 host.example\r\n", "", 400),
        ("o=alice 2890844526 2 IN", "o=alice 2 IN", 400),
        ("c=IN IP4 192.0.2.10\r\n", "", 400),
        ("c=IN IP4 192.0.2.10", "c=IN IP4", 400),
        ("c=IN IP4 192.0.2.10", "c=IN IP4 media.carrier.example", 488),
        ("c=IN IP4 192.0.2.10", "c=IN IP4 " + "9" * 300, 488),
        ("c=IN IP4 192.0.2.10", "c=IN IP6 192.0.2.10", 488),
        ("c=IN IP4 192.0.2.10", "c=IN IP4 192.0.2.010", 488),
        ("a=rtcp:49300", "a=rtcp:49300 IN IP4 " + "9" * 300, 488),
        ("49170/2", "-1", 400),
        ("49170/2", "65536", 400),
        ("m=audio 49170/2 RTP/AVP 0 8 96 101 13", "m=", 400),
        ("RTP/AVP 0 8", "RTP/AVP 0 128", 400),
        ("RTP/AVP 0 8", "RTP/AVP 0 x", 400),
        ("RTP/AVP 0 8 96 101 13", "RTP/AVP", 400),
        ("RTP/AVP 0 8", "RTP/\u00e4 0 8", 400),
        ("RTP/AVP 0 8", "RTP/AVP" + " 0" * 100, 488),
        ("m=video 0 RTP/AVP 31\r\n", "m=video 0 RTP/AVP 31\r\n" * 100, 488),
        ("a=ptime:20", "no type", 400),
        ("a=ptime:20", "a=x\r\n" * 1000, 488),
        ("s=A call", "s=\0", 400),
        ("s=A call", "s=" + "x" * 20_000, 488),
    ],
)
def test_broken_descriptions(old: str, new: str, status: int) -> None:
    body = PHONE.replace(old, new, 1)
    assert body != PHONE
    with pytest.raises(SdpError) as caught:
        parse_sdp(body.encode())
    assert caught.value.sip_status == status
    assert isinstance(caught.value, SdpNotAcceptable) == (status == 488)
    assert 300 <= caught.value.warning <= 399


def test_multicast_keeps_its_address_without_the_time_to_live() -> None:
    assert audio_of(connection="IN IP4 224.2.36.42/127").address == IPv4Address("224.2.36.42")


ADDRESSES = st.ip_addresses()
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,15}", fullmatch=True)
CODECS = st.builds(
    Codec,
    st.integers(0, 127),
    NAMES,
    st.integers(1, 192_000),
    st.integers(1, 8),
    st.from_regex(r"[a-z0-9=;,\-][a-z0-9=;, \-]{0,30}[a-z0-9]", fullmatch=True) | st.just(""),
)
CRYPTO = st.builds(
    Crypto, st.integers(1, 999_999_999), NAMES.map(lambda n: n.replace(".", "_").replace("-", "_")), st.just(KEY)
)
TIMES = st.none() | st.integers(1, 10_000)


@st.composite
def streams(draw: st.DrawFn) -> Media:
    if not draw(st.booleans()):
        return Media(draw(NAMES), 0, "udptl", ("t38",))
    codecs = draw(st.lists(CODECS, min_size=1, max_size=8, unique_by=lambda codec: codec.payload_type))
    return Media(
        draw(st.sampled_from(["audio", "video"])),
        draw(st.integers(1, 65_535)),
        draw(st.sampled_from(["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVPF"])),
        tuple(str(codec.payload_type) for codec in codecs),
        draw(ADDRESSES.filter(lambda address: "%" not in str(address))),
        tuple(codecs),
        draw(st.sampled_from(Direction)),
        draw(TIMES),
        draw(TIMES),
        draw(st.none() | st.builds(Rtcp, st.integers(1, 65_535), st.none() | ADDRESSES)),
        draw(st.booleans()),
        draw(st.sampled_from([None, True, False])),
        tuple(draw(st.lists(CRYPTO, max_size=3))),
    )


@settings(deadline=None)
@given(st.builds(Origin, st.integers(0, 10**19 - 1), st.integers(0, 10**19 - 1)), st.lists(streams(), max_size=4))
def test_there_and_back(origin: Origin, media: list[Media]) -> None:
    description = SessionDescription(origin, tuple(media))
    assert parse_sdp(write_sdp(description)) == description


@settings(deadline=None)
@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(PHONE.split("\r\n") + [f"{c}=" for c in "vocmastb"]) | st.text(max_size=40), max_size=30
    ).map(lambda lines: "\r\n".join(["v=0", "o=- 1 1 IN IP4 1.2.3.4", *lines]).encode("utf-8", "surrogatepass"))
)
def test_nothing_but_its_errors_comes_out_of_anything(body: bytes) -> None:
    try:
        description = parse_sdp(body)
    except SdpError:
        return
    assert parse_sdp(write_sdp(description)) == description
