"""What happens to trunks is told like what happens to calls."""

from __future__ import annotations

from typing import get_args, get_type_hints

from gateway.events.catalogue import EventType
from gateway.events.hub import EventHub
from gateway.parts import tell_of_trunk
from telephony.edge import TrunkChanged


def test_each_change_of_a_trunk_is_an_event_of_the_catalogue() -> None:
    told = []
    hub = EventHub(deliver=lambda event, text: told.append(event))
    for what in get_args(get_type_hints(TrunkChanged)["what"]):
        tell_of_trunk(hub, TrunkChanged("carrier", what, "as it is"))
    assert {event.type for event in told} == {kind for kind in EventType if kind.startswith("trunk.")}
    assert told[0].data == {"trunk": "carrier", "detail": "as it is"}
    assert told[0].call_id == ""
