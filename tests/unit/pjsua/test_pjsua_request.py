from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.pjsua.request import Headers, PeerReason, parse_invite, reason_of

INVITE = (
    "INVITE sip:+15550100@127.0.0.1:5070;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
    'f: "Doe, \\"Jo\\"" <sip:+15550123;npdi@carrier.example:5060>;tag=1\r\n'
    "t: sip:frontdesk@pbx.example\r\n"
    "i: abc@host\r\n"
    "X-Trunkline-Leg: c-1\r\n"
    "x-long: one\r\n"
    "  two\r\n"
    "X-Trunkline-Leg: c-2\r\n"
    "Content-Length: 12\r\n"
    "\r\n"
    "X-Body: no\r\n"
)


def test_an_invite():
    request = parse_invite(INVITE)
    assert request.sip_call_id == "abc@host"
    assert request.request_user == "+15550100"
    assert request.from_display == 'Doe, "Jo"'
    assert request.from_user == "+15550123"
    assert request.to_user == "frontdesk"
    assert dict(request.headers) == {"X-Trunkline-Leg": "c-1", "x-long": "one two"}
    assert request.headers["x-trunkline-leg"] == "c-1"


@pytest.mark.parametrize(
    ("value", "user", "display"),
    [
        ("<sip:anonymous@anonymous.invalid>;tag=9", "anonymous", ""),
        ("Bob Smith <sips:bob:secret@host>", "bob", "Bob Smith"),
        ("<tel:+1-201-555-0123;phone-context=x>", "+1-201-555-0123", ""),
        ("<sip:host.example>", "", ""),
        ("sip:%2B1555@host;tag=1", "+1555", ""),
        ("nonsense", "", ""),
    ],
)
def test_from_fields(value: str, user: str, display: str):
    request = parse_invite(f"INVITE sip:x@y SIP/2.0\r\nFrom: {value}\r\n\r\n")
    assert (request.from_user, request.from_display) == (user, display)


def test_what_is_missing_is_empty():
    assert parse_invite("").request_user == ""
    assert parse_invite("INVITE sip:x@y SIP/2.0\r\n\r\n").headers == Headers()


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str):
    parse_invite(text)
    reason_of(text)


@pytest.mark.parametrize(
    ("field", "text", "cause"),
    [
        ('Reason: Q.850;cause=16;text="Normal \\"clearing\\""', 'Normal "clearing"', 16),
        ("reason: SIP ;cause=200 ;text=Moved", "Moved", 0),
        ("Reason: Q.850;cause=16", "Q.850;cause=16", 16),
        ('Reason: SIP;cause=486;text="Busy, really", q.850;cause=17', "Busy, really", 17),
        ("Reason: SIP;cause=480\r\nReason: Q.850 ; cause=19;text=away", "away", 19),
        ("Subject: text=no", "", 0),
    ],
)
def test_reasons(field: str, text: str, cause: int):
    reason = PeerReason(text, cause)
    assert reason_of(f"BYE sip:x@y SIP/2.0\r\n{field}\r\n\r\nReason: body") == reason


@pytest.mark.parametrize(
    ("media", "suppresses"),
    [
        ("m=audio 4000 RTP/AVP 0\r\na=silenceSupp:on - - - -\r\n", True),
        ("m=audio 4000 RTP/AVP 0 13\r\n", True),
        ("m=audio 4000 RTP/AVP 0 98\r\na=rtpmap:98 CN/8000\r\n", True),
        ("m=audio 4000 RTP/AVP 0\r\na=silenceSupp:off - - - -\r\n", False),
        ("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n", False),
        ("m=audio 0 RTP/AVP 0 13\r\n", False),
        ("m=nonsense", False),
        ("", False),
    ],
)
def test_whether_a_silent_phone_may_send_nothing(media: str, suppresses: bool):
    session = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" + media if media else ""
    assert parse_invite(INVITE.partition("X-Body")[0] + session).suppresses_silence is suppresses
