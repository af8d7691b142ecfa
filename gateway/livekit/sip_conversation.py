"""A conversation in a LiveKit room whose phone LiveKit SIP has dialled: we join as well, to keep the record."""

from __future__ import annotations

from gateway.livekit.conversation import LiveKitConversation
from gateway.livekit.room_joins import RoomJoins
from telephony.livekit.events import DtmfReceived, LiveKitEvent
from telephony.livekit.room import LiveKitRoom

__all__ = ["SipConversation"]


class SipConversation(LiveKitConversation):
    """LiveKit SIP itself tells the agents whether it rings, takes their keys and plays their audio."""

    def _new_room(self, joins: RoomJoins) -> LiveKitRoom:
        return joins.beside_phone()

    def _happened(self, event: LiveKitEvent) -> None:
        if not isinstance(event, DtmfReceived):
            super()._happened(event)

    async def _say_status(self, status: str) -> None:
        """The phone's own attributes say it."""
