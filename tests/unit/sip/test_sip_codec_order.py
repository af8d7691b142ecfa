"""A trunk's voice codecs in its order, in offers of ours and of its peers."""

from __future__ import annotations

import pytest

from telephony.sip.codec_order import offer_in_order
from telephony.sip.offer import for_worker
from telephony.sip.sdp import SdpNotAcceptable, parse_sdp
from telephony.sip.srtp import Srtp

OURS = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 9 120\r\n"
    b"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\na=sendrecv\r\n"
    b"a=rtpmap:120 telephone-event/8000\r\na=fmtp:120 0-16\r\n"
)


@pytest.mark.parametrize(
    ("wanted", "formats", "gone"),
    [
        ((), b"0 8 9 120", []),
        (("pcmu", "pcma", "g722"), b"0 8 9 120", []),
        (("g722", "pcma"), b"9 8 120", [b"PCMU"]),
        (("pcma",), b"8 120", [b"PCMU", b"G722"]),
    ],
)
def test_our_offer_has_the_trunks_codecs_in_its_order(
    wanted: tuple[str, ...], formats: bytes, gone: list[bytes]
) -> None:
    offer = offer_in_order(OURS, wanted)
    assert b"RTP/AVP " + formats + b"\r\n" in offer
    assert [name for name in (b"PCMU", b"PCMA", b"G722") if name + b"/8000" not in offer] == gone
    assert b"a=fmtp:120 0-16\r\n" in offer and b"a=sendrecv\r\n" in offer
    assert offer_in_order(offer, wanted) == offer


def test_a_codec_that_was_agreed_on_stays_and_other_bodies_do() -> None:
    agreed = OURS.replace(b" 0 8 9 120", b" 0 120")
    assert offer_in_order(agreed, ("pcma",)) == agreed
    assert offer_in_order(b"", ("pcma",)) == b""
    assert offer_in_order(b"m=image 9 udptl t38\r\n", ("pcma",)) == b"m=image 9 udptl t38\r\n"


def shown(wanted: tuple[str, ...]) -> list[int]:
    description, _ = for_worker(parse_sdp(OURS), Srtp.OFFERED, wanted)
    return [codec.payload_type for codec in description.media[0].codecs]


def test_a_worker_is_shown_the_peers_codecs_in_the_trunks_order() -> None:
    assert shown(()) == [0, 8, 9, 120]
    assert shown(("g722", "pcmu")) == [9, 0, 120]


def test_nothing_in_common_is_not_acceptable() -> None:
    only = OURS.replace(b" 0 8 9 120", b" 0 120")
    with pytest.raises(SdpNotAcceptable, match="PCMA, G722 here"):
        for_worker(parse_sdp(only), Srtp.OFFERED, ("pcma", "g722"))
