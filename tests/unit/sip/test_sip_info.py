"""Keys in INFO bodies, as phones write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.info import DTMF_TYPES, InfoKey, read_key

RELAY, PLAIN = DTMF_TYPES


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"Signal=5\r\nDuration=160\r\n", InfoKey("5", 160)),
        (b"Signal=5\r\nDuration=160", InfoKey("5", 160)),
        (b"Signal=5\nDuration=160\n", InfoKey("5", 160)),
        (b"Signal=5", InfoKey("5")),
        (b"Signal= 5 \r\n", InfoKey("5")),
        (b"signal = 5\r\nDURATION = 90", InfoKey("5", 90)),
        (b"Duration=160\r\nSignal=#\r\n", InfoKey("#", 160)),
        (b"Signal=5 Duration=1", InfoKey("5", 1)),
        (b"Signal=d", InfoKey("D")),
        (b"Signal=10\r\n", InfoKey("*")),
        (b"Signal=11\r\n", InfoKey("#")),
        (b"Signal=5\r\nDuration=", InfoKey("5")),
        (b"Signal=5\r\nDuration=x", InfoKey("5")),
        (b"Signal=5\r\nDuration=999999999", InfoKey("5", 60_000)),
        (b"Signal=16", InfoKey("")),
        (b"Signal=!", InfoKey("")),
        (b"1", InfoKey("1")),
        (b"Signal=", None),
        (b"Signal", None),
        (b"Signal=\x7f", None),
        (b"Signal=55", None),
        (b"Signal=\xff", None),
        (b"Duration=160", None),
        (b"", None),
    ],
)
def test_relay_bodies(body: bytes, key: InfoKey | None) -> None:
    assert read_key(RELAY, body) == key


@pytest.mark.parametrize(("body", "key"), [(b"7", InfoKey("7")), (b" 7\r\n", InfoKey("7")), (b"77", None), (b"", None)])
def test_plain_bodies(body: bytes, key: InfoKey | None) -> None:
    assert read_key(PLAIN, body) == key


@given(st.binary(max_size=3000), st.sampled_from(DTMF_TYPES))
def test_any_body(body: bytes, kind: str) -> None:
    key = read_key(kind, body)
    assert key is None or key.digit in {"", *"0123456789*#ABCD"}
