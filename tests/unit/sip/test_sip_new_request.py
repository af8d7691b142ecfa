"""Outgoing requests."""

from __future__ import annotations

import pytest

from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Request, parse


def request() -> NewRequest:
    made = NewRequest("INVITE", "sip:b@192.0.2.1", body=b"v=0")
    for name, value in (("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx"), ("From", "<sip:a@x>;tag=1")):
        made.add(name, value)
    for name, value in (("To", "<sip:b@x>"), ("Call-ID", "c"), ("CSeq", "1 INVITE")):
        made.add(name, value)
    return made


def test_it_is_read_as_it_was_made() -> None:
    message = parse(bytes(request()), stream=True)
    assert isinstance(message, Request)
    assert (message.method, message.uri_text, message.body, message.cseq) == ("INVITE", "sip:b@192.0.2.1", b"v=0", 1)


def test_put_replaces_where_the_old_value_stood() -> None:
    made = request()
    made.add("X-A", "1")
    made.add("x-a", "2")
    made.put("FROM", "<sip:c@x>;tag=2")
    made.put("X-A", "3")
    assert [name for name, _ in made.fields] == ["Via", "FROM", "To", "Call-ID", "CSeq", "X-A"]
    assert (made.value("from"), made.values("x-a"), made.value("none")) == ("<sip:c@x>;tag=2", ["3"], "")


def test_no_value_breaks_out_of_its_line() -> None:
    made = request()
    made.add("X-A", "1\r\nX-Evil: 2\x00")
    assert b"X-A: 1 X-Evil: 2\r\n" in bytes(made)


@pytest.mark.parametrize(
    ("uri", "route", "hop"),
    [
        ("sip:b@192.0.2.1:5070", "", ("192.0.2.1", 5070)),
        ("sip:b@gw.example", "<sip:192.0.2.7;lr>", ("192.0.2.7", 5060)),
        ("sips:b@gw.example", "", ("gw.example", 5061)),
        ("sip:b@[2001:db8::1];transport=TLS", "", ("2001:db8::1", 5061)),
    ],
)
def test_the_next_hop(uri: str, route: str, hop: tuple[str, int]) -> None:
    made = NewRequest("BYE", uri)
    if route:
        made.add("Route", route)
    assert made.next_hop() == hop
