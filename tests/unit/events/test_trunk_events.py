"""Trunks' events are reported like calls' events."""

from __future__ import annotations

from typing import get_args, get_type_hints

from gateway.events.catalogue import EventType
from gateway.events.hub import EventHub
from gateway.parts import tell_of_trunk
from telephony.edge import TrunkChanged
from telephony.sip.resolving import Place


def test_each_change_of_a_trunk_is_an_event_of_the_catalogue() -> None:
    told = []
    hub = EventHub(deliver=lambda event, text: told.append(event))
    for what in get_args(get_type_hints(TrunkChanged)["what"]):
        tell_of_trunk(hub, TrunkChanged("carrier", what, "as it is", Place("udp", "192.0.2.7", 5060)))
    assert {event.type for event in told} == {kind for kind in EventType if kind.startswith("trunk.")}
    data = told[0].data.model_dump()
    assert data == {"trunk": "carrier", "detail": "as it is", "host": "udp:192.0.2.7:5060"}
    assert told[0].call_id == ""
