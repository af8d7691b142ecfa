"""How a call worker comes into a call's room: as the phone that it brings in, beside one of LiveKit SIP, and with
further participants of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gateway.calls.floor import MUSIC
from gateway.config import LiveKitSettings
from gateway.control import Prepare
from gateway.livekit.room_plan import access_of, caller_attributes, caller_identity, phone_of, room_plan
from telephony.call import CallInfo
from telephony.livekit.access import LiveKitAccess, call_room_name, join_token
from telephony.livekit.api import LiveKitApi, whose_silence
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.verbs import LEG_ATTRIBUTE

__all__ = ["RoomJoins", "RoomMaker", "keeper_identity"]

RoomMaker = Callable[..., LiveKitRoom]


def keeper_identity(call_id: str) -> str:
    """Ours beside a phone of LiveKit SIP."""
    return f"trunkline_{call_id}"


class RoomJoins:
    def __init__(self, info: CallInfo, prepared: Prepare, settings: LiveKitSettings, make_room: RoomMaker) -> None:
        """Raises SecretMissing."""
        self._info = info
        self._prepared = prepared
        self._settings = settings
        self._make_room = make_room
        self._access = access_of(settings)
        self._api = _LaterApi(self._access)
        self.room_name = call_room_name(info.call_id)  # another one after a move
        self.whose_silence = partial(whose_silence, self._access)

    def as_phone(self, status: Callable[[], str]) -> LiveKitRoom:
        """`status()`: what `sip.callStatus` is to be."""
        info = self._info

        def token() -> str:
            return join_token(
                self._access,
                self.room_name,
                caller_identity(info),
                name=phone_of(info) or "withheld",
                kind="sip",
                attributes=caller_attributes(info, status()),
                plan=room_plan(self._prepared, self._settings.agent_name),
            )

        return self._made(caller_identity(info), token, api=self._api)

    def beside_phone(self) -> LiveKitRoom:
        """Of LiveKit SIP, before it is dialled. An agent by kind: other programs' agents talk with the first
        participant that is none, and LiveKit does not keep a room open for one."""
        identity = keeper_identity(self._info.call_id)

        def token() -> str:
            plan = room_plan(self._prepared, self._settings.agent_name)
            return join_token(self._access, self.room_name, identity, kind="agent", plan=plan)

        return self._made(identity, token, api=self._api, observes=caller_identity(self._info))

    def further(self, name: str) -> LiveKitRoom:
        """A leg, or music."""
        identity = f"trunkline_{name}"

        def token() -> str:
            kind, attributes = ("agent", {}) if name == MUSIC else ("sip", {LEG_ATTRIBUTE: name})
            return join_token(self._access, self.room_name, identity, kind=kind, attributes=attributes)

        return self._made(identity, token)

    async def close(self) -> None:
        await self._api.close()

    def _made(self, identity: str, token: Callable[[], str], **more: Any) -> LiveKitRoom:
        return self._make_room(
            self._access.url,
            token,
            name=self.room_name,
            identity=identity,
            join_timeout_s=self._settings.join_timeout_s,
            resume_s=self._settings.resume_s,
            **more,
        )


class _LaterApi:
    """Implements `RoomApi`. Few calls need it."""

    def __init__(self, access: LiveKitAccess) -> None:
        self._access = access
        self._api: LiveKitApi | None = None

    async def remove_participant(self, room: str, identity: str) -> None:
        await self._made().remove_participant(room, identity)

    async def update_subscriptions(self, room: str, identity: str, tracks: Sequence[str], subscribe: bool) -> None:
        await self._made().update_subscriptions(room, identity, tracks, subscribe)

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()

    def _made(self) -> LiveKitApi:
        self._api = self._api or LiveKitApi(self._access)
        return self._api
