"""Who is in the room, according to the events."""

from __future__ import annotations

import pytest

from telephony.livekit import events as ev
from telephony.livekit.events import ParticipantKind, RemoteParticipant
from telephony.livekit.fakes import FakeLiveKit
from telephony.livekit.presence import Presence
from tests.unit.livekit.virtually import virtual

ANN = RemoteParticipant("ann", ParticipantKind.STANDARD, "Ann", {"mood": "good"})


@pytest.fixture
def presence() -> Presence:
    presence = Presence()
    presence.take(ev.ParticipantJoined(0.0, ANN))
    return presence


def test_a_participant_has_the_attributes_of_now(presence: Presence) -> None:
    assert presence.take(ev.AttributesChanged(1.0, "ann", {"mood": "bad", "room": "2"}))
    (ann,) = presence.participants
    assert (ann.name, ann.attributes) == ("Ann", {"mood": "bad", "room": "2"})


def test_attributes_of_somebody_unknown_make_nobody(presence: Presence) -> None:
    assert presence.take(ev.AttributesChanged(1.0, "bob", {"mood": "bad"}))
    assert presence.participants == (ANN,)


def test_who_speaks_is_who_has_a_track(presence: Presence) -> None:
    def speaks() -> bool:
        (ann,) = presence.participants
        return ann.speaks

    assert not speaks()
    for track in ("TR_1", "TR_2"):
        presence.take(ev.TrackStarted(1.0, "ann", track))
    assert speaks()
    assert presence.take(ev.TrackStopped(2.0, "ann", "TR_1"))
    assert speaks(), "the other track is there"
    assert presence.take(ev.TrackStopped(3.0, "ann", "TR_2"))
    assert not speaks()
    assert not presence.take(ev.TrackStopped(4.0, "ann", "TR_2")), "no news"


@virtual
async def test_a_room_knows_the_attributes_that_others_have_changed() -> None:
    server = FakeLiveKit()
    phone, agent = server.room("sip_1", ParticipantKind.SIP, {"sip.callStatus": "ringing"}), server.room("agent-1")
    await phone.join()
    await agent.join()
    told: list[ev.LiveKitEvent] = []
    agent.subscribe(told.append)
    await phone.set_attributes({"sip.callStatus": "active"})
    (who,) = agent.participants
    assert who.attributes == {"sip.callStatus": "active"}
    assert [event.attributes for event in told if isinstance(event, ev.AttributesChanged)] == [who.attributes]
    for room in (phone, agent):
        await room.close()
