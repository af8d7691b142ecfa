"""What LiveKit's SDK reports when we are moved to another room. The open-source server can't do it (docs/livekit.md),
so the test feeds the SDK the events that its native part would send."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from livekit import api, rtc
from livekit.rtc._proto import participant_pb2, room_pb2
from rooms import a_room, access_of

from telephony.livekit import events as ev
from telephony.livekit.rtc_connection import RtcConnection


class Listener:
    def __init__(self) -> None:
        self.events: list[ev.LiveKitEvent] = []

    def happened(self, event: ev.LiveKitEvent) -> None:
        self.events.append(event)

    def heard(self, track: str, pcm: bytes) -> None: ...


class _Handle:
    """Instead of the native part's: there is no participant there."""

    def __init__(self, handle: int) -> None:
        self.handle = handle


async def test_the_sdks_news_of_a_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livekit.rtc.participant.FfiHandle", _Handle)
    listener = Listener()
    connection = RtcConnection(listener)
    sdk: rtc.Room = connection._room
    sdk._info = room_pb2.RoomInfo(name="reception", sid="RM_1")

    def joined(identity: str, kind: str) -> room_pb2.RoomEvent:
        info = participant_pb2.ParticipantInfo(identity=identity, kind=rtc.ParticipantKind.Value(kind))
        owned = participant_pb2.OwnedParticipant(info=info)
        return room_pb2.RoomEvent(participant_connected=room_pb2.ParticipantConnected(info=owned))

    sdk._on_room_event(joined("agent-1", "PARTICIPANT_KIND_AGENT"))
    listener.events.clear()
    sdk._on_room_event(
        room_pb2.RoomEvent(
            participant_disconnected=room_pb2.ParticipantDisconnected(
                participant_identity="agent-1", disconnect_reason=participant_pb2.DisconnectReason.UNKNOWN_REASON
            )
        )
    )
    sdk._on_room_event(joined("ann", "PARTICIPANT_KIND_STANDARD"))
    sdk._on_room_event(room_pb2.RoomEvent(moved=room_pb2.RoomInfo(name="office", sid="RM_2", metadata="desk 3")))
    left, came, moved = listener.events
    assert isinstance(left, ev.ParticipantLeft) and left.participant.identity == "agent-1"
    assert isinstance(came, ev.ParticipantJoined) and came.participant.identity == "ann"
    assert isinstance(moved, ev.RoomMoved) and moved.room == "office"
    assert (connection.room_name, connection.metadata) == ("office", "desk 3")
    assert [who.identity for who in connection.participants()] == ["ann"]
    await connection.close()


async def test_this_server_cannot_move_anybody(livekit_stack: Any) -> None:
    """The day it can, these tests should have it do so."""
    name = f"room-{uuid.uuid4().hex[:8]}"
    room = a_room(access_of(livekit_stack), name, "sip_1", kind="sip")
    await room.join()
    try:
        async with api.LiveKitAPI(livekit_stack.http_url, livekit_stack.api_key, livekit_stack.api_secret) as livekit:
            request = api.MoveParticipantRequest(room=name, identity="sip_1", destination_room=f"{name}-2")
            with pytest.raises(api.TwirpError, match="not implemented"):
                await livekit.room.move_participant(request)
        assert room.live and room.name == name
    finally:
        await room.close()
