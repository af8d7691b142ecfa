"""A string of keys to send."""

from __future__ import annotations

import pytest

from telephony.errors import TelephonyMisuse
from telephony.media.dtmf import dtmf
from telephony.media.frames import duration_ms
from telephony.media.key_string import read_keys


def test_keys_and_pauses() -> None:
    assert read_keys("1w#dW0") == ("1", 0.5, "#", "D", 1.0, "0")
    assert read_keys("") == ()


@pytest.mark.parametrize("digits", ["12x", "1 2", "1,2", "٣"])
def test_other_characters_are_refused(digits: str) -> None:
    with pytest.raises(TelephonyMisuse, match="cannot send"):
        read_keys(digits)


def test_the_tones_of_a_string_have_its_pauses() -> None:
    assert duration_ms(dtmf("1wW2", on_ms=100, off_ms=60)) == 160 + 500 + 1000 + 160
