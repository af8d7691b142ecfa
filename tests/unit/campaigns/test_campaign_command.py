"""`trunkline campaign`: what it sends."""

from __future__ import annotations

import json

from gateway.api.campaigns import MOST_CONTACTS as TAKEN
from gateway.campaigns.model import Contact, Number
from gateway.commands.campaign import MOST_BYTES, MOST_CONTACTS, _bodies


def contact(index: int, words: str = "") -> Contact:
    return Contact(0, f"k{index}", (Number(f"+1212555{index:04d}", ("America/New_York",), "US"),), {"name": words})


def test_a_request_has_no_more_contacts_and_bytes_than_the_api_takes() -> None:
    assert MOST_CONTACTS <= TAKEN
    few = list(_bodies([contact(index) for index in range(MOST_CONTACTS * 2 + 1)]))
    assert [len(body["contacts"]) for body in few] == [MOST_CONTACTS, MOST_CONTACTS, 1]
    wordy = list(_bodies([contact(index, "x" * 1000) for index in range(150)]))
    assert sum(len(body["contacts"]) for body in wordy) == 150
    assert max(len(json.dumps(body)) for body in wordy) <= MOST_BYTES + 100
    assert list(_bodies([])) == []
