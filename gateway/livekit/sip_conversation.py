"""A conversation in a LiveKit room whose phone LiveKit SIP has dialled: we are there beside it, to keep the record."""

from __future__ import annotations

from gateway.livekit.conversation import LiveKitConversation
from gateway.livekit.room_plan import room_plan
from telephony.livekit.access import LiveKitAccess, join_token
from telephony.livekit.events import DtmfReceived, LiveKitEvent

__all__ = ["SipConversation", "keeper_identity"]


def keeper_identity(call_id: str) -> str:
    return f"trunkline_{call_id}"


class SipConversation(LiveKitConversation):
    """LiveKit SIP tells the agents whether it rings, takes their keys and plays their audio: none of it is ours."""

    @property
    def _identity(self) -> str:
        return keeper_identity(self._info.call_id)

    def _token(self, access: LiveKitAccess, name: str, identity: str) -> str:
        # An agent by kind: other programs' agents talk with the first participant that is none, and LiveKit does not
        # keep a room open for one.
        plan = room_plan(self._prepared, self._settings.agent_name)
        return join_token(access, name, identity, kind="agent", plan=plan)

    def _happened(self, event: LiveKitEvent) -> None:
        if not isinstance(event, DtmfReceived):
            super()._happened(event)

    async def _say_status(self, status: str) -> None:
        """The phone's own attributes say it."""
