"""Tokens for people who join a call's room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.api.room_tokens import RoomToken, TokenRequest
from gateway.config import LiveKitSettings
from gateway.livekit.room_plan import access_of
from telephony.livekit.access import JOIN_TOKEN_S, call_room_name, join_token

__all__ = ["CallRoomTokens"]


class CallRoomTokens:
    """Implements `RoomTokens`."""

    def __init__(self, settings: LiveKitSettings) -> None:
        """Raises SecretMissing."""
        self._access = access_of(settings)
        self._url = settings.public_url or settings.url

    def make(self, call_id: str, request: TokenRequest) -> RoomToken:
        room = call_room_name(call_id)
        token = join_token(
            self._access,
            room,
            request.identity,
            name=request.name,
            can_publish=request.can_publish and not request.hidden,
            # Agents send events to the call worker as data, and LiveKit does not reveal a hidden sender.
            can_publish_data=False,
            sources=("microphone",),
            can_subscribe=request.can_subscribe,
            hidden=request.hidden,
        )
        expires_at = datetime.now(UTC) + timedelta(seconds=JOIN_TOKEN_S)
        return RoomToken(url=self._url, room=room, identity=request.identity, token=token, expires_at=expires_at)
