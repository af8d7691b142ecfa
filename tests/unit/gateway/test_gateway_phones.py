"""Registered phones as the rest of the gateway sees them."""

from __future__ import annotations

import pytest

from gateway.phones.registered import FakePhones, PhoneChanged, phone_name


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("phone:anna", "anna"),
        ("Phone:Anna-2", "anna-2"),
        ("phone:", None),
        ("phone:an na", None),
        ("phone:anna@host", None),
        ("sip:anna@host", None),
        ("+15550100", None),
    ],
)
def test_phone_targets(to: str, name: str | None) -> None:
    assert phone_name(to) == name


def test_the_fake_tells_what_changes() -> None:
    phones, told = FakePhones.of({"anna": "udp:127.0.0.1:5070"}), []
    phones.watch(told.append)
    assert [each.source for each in phones.contacts("Anna")] == ["udp:127.0.0.1:5070"]
    phones.change("anna", why="expired")
    assert (phones.contacts("anna"), phones.knows("anna"), phones.knows("bob")) == ((), True, False)
    assert told == [PhoneChanged("anna", reachable=False, why="expired")]
