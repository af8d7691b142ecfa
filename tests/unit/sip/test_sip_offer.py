"""The part of an offer shown to a call worker, and unacceptable offers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.sip.offer import ALONE, Streams, for_worker, put_away
from telephony.sip.sdp import SdpError, SdpNotAcceptable, SessionDescription, parse_sdp, write_sdp

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def offered(*lines: str) -> tuple[SessionDescription, Streams]:
    return for_worker(parse_sdp((HEAD + "\r\n".join(lines) + "\r\n").encode()))


def shown(*lines: str) -> list[str]:
    """The m= and a= lines of what a worker gets for these."""
    description, _ = offered(*lines)
    written = write_sdp(description).decode()
    return [line for line in written.split("\r\n") if line[:2] in ("m=", "a=")]


def test_codecs_that_a_worker_has_in_the_callers_order() -> None:
    assert shown(
        "m=audio 4000 RTP/AVP 96 8 18 0 8 97 101 13",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:97 telephone-event/48000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtcp-mux",
        "a=candidate:1 1 UDP 1 host.example 1 typ host",
    ) == [
        "m=audio 4000 RTP/AVP 8 0 101 13",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:13 CN/8000",
        "a=sendrecv",
    ]


def test_other_streams_stand_refused_around_the_answer_with_their_own_protocol() -> None:
    """A worker sees one stream: PJSIP ignores audio that follows another stream."""
    description, streams = offered(
        "m=video 4002 RTP/AVP 31",
        "m=audio 4000 RTP/AVP 0",
        "m=video 0 UDP/TLS/RTP/SAVPF 120 121",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    )
    assert [media.port for media in description.media] == [4000]
    answer = streams.around(write_sdp(description)).decode()
    assert [line for line in answer.split("\r\n") if line.startswith("m=")] == [
        "m=video 0 RTP/AVP 31",
        "m=audio 4000 RTP/AVP 0",
        "m=video 0 UDP/TLS/RTP/SAVPF 120",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    assert streams.around(b"") == b""


def test_a_stream_that_is_put_away_is_a_hold_for_the_worker_and_stays_away_in_the_answer() -> None:
    lines = ("m=audio 0 RTP/AVP 18", "m=video 0 RTP/AVP 31")
    found = put_away(parse_sdp((HEAD + "\r\n".join(lines) + "\r\n").encode()))
    assert found is not None
    description, streams = found
    (audio,) = description.media
    assert (str(audio.address), audio.direction, audio.formats) == ("0.0.0.0", "inactive", ("0", "8", "9"))
    head, *answered = streams.around(write_sdp(description)).decode().split("m=")
    assert head.startswith("v=0\r\n") and "".join(answered) == "audio 0 RTP/AVP 18\r\nvideo 0 RTP/AVP 31\r\n"


@pytest.mark.parametrize(
    "lines",
    [("m=audio 4000 RTP/AVP 0",), ("m=audio 0 RTP/AVP 0", "m=image 4000 udptl t38"), ("m=image 0 udptl t38",), ()],
)
def test_a_wanted_stream_or_another_kind_is_not_put_away(lines: tuple[str, ...]) -> None:
    assert put_away(parse_sdp((HEAD + "\r\n".join(lines) + "\r\n").encode())) is None


def test_a_second_audio_stream_is_taken_when_the_first_cannot_be() -> None:
    description, streams = offered("m=audio 4004 UDP/TLS/RTP/SAVPF 0", "m=audio 4000 RTP/AVP 0")
    assert [media.port for media in description.media] == [4000]
    assert streams == Streams(before=b"m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n")


@pytest.mark.parametrize(
    ("lines", "warning", "says"),
    [
        (["m=audio 4000 RTP/AVP 18", "a=rtpmap:18 G729/8000"], 305, "no codec in common"),
        (["m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"], 305, "no codec in common"),
        (["m=audio 4000 RTP/AVP 0", "a=rtpmap:0 opus/48000/2"], 305, "no codec in common"),
        (["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMU/16000"], 305, "no codec in common"),
        (["m=audio 4000 RTP/AVP 18", "a=rtpmap:18 PCMU/8000"], 305, "no codec in common"),
        (["m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=fingerprint:sha-256 AB"], 302, "UDP/TLS/RTP/SAVPF"),
        (["m=audio 4000 RTP/SAVP 0"], 302, "SRTP"),
        (["m=audio 4000 RTP/SAVP 0", f"a=crypto:1 AEAD_AES_256_GCM inline:{KEY}"], 302, "SRTP"),
        (["m=audio 4000 RTP/SAVP 0", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA"], 302, "SRTP"),
        (["m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"], 300, "IPv6"),
        (["m=audio 0 RTP/AVP 0"], 304, "no audio"),
        (["m=video 4000 RTP/AVP 31"], 304, "no audio"),
        ([], 304, "no audio"),
    ],
)
def test_offers_that_cannot_be_met(lines: list[str], warning: int, says: str) -> None:
    with pytest.raises(SdpNotAcceptable, match=says) as caught:
        shown(*lines)
    assert (caught.value.sip_status, caught.value.warning) == (488, warning)


def test_keys_that_a_worker_can_use() -> None:
    lines = shown(
        "m=audio 4000 RTP/SAVP 0",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31",
        f"a=crypto:2 F8_128_HMAC_SHA1_80 inline:{KEY}",
    )
    assert [line for line in lines if "crypto" in line] == [f"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"]


@pytest.mark.parametrize(("said", "written"), [("25", "20"), ("10", "10"), ("180", "180"), ("5", None), ("200", None)])
def test_packet_times_in_steps_of_ten_milliseconds(said: str, written: str | None) -> None:
    lines = shown("m=audio 4000 RTP/AVP 0", f"a=maxptime:{said}")
    assert [line for line in lines if "maxptime" in line] == ([f"a=maxptime:{written}"] if written else [])


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["m=audio 4000 RTP/AVP 0 8 101", "m=audio 4000 RTP/SAVP 8", "m=video 1 RTP/AVP 31", "a=ptime:20"]
        )
        | st.from_regex(r"[am]=[ -~]{0,40}", fullmatch=True),
        max_size=20,
    )
)
def test_what_is_shown_can_be_shown_again(lines: list[str]) -> None:
    try:
        first, streams = offered(*lines)
    except SdpError:
        return
    assert for_worker(parse_sdp(write_sdp(first))) == (first, ALONE)
    answer = parse_sdp(streams.around(write_sdp(first)))
    assert [media for media in answer.media if media.port] == list(first.media)
    assert len(write_sdp(first)) < 3000


def test_events_with_a_clock_of_16_khz_alone_are_taken_and_answered_as_such() -> None:
    description, streams = offered("m=audio 4000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/16000")
    body = write_sdp(description)
    assert b"a=rtpmap:97 telephone-event/8000\r\n" in body
    assert b"a=rtpmap:97 telephone-event/16000\r\n" in streams.around(body)


def test_events_with_a_clock_of_16_khz_beside_others_are_left_out() -> None:
    description, streams = offered(
        "m=audio 4000 RTP/AVP 0 97 101", "a=rtpmap:97 telephone-event/16000", "a=rtpmap:101 telephone-event/8000"
    )
    body = write_sdp(description)
    assert b":97 " not in body and streams.around(body) == body
