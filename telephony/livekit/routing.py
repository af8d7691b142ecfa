"""Who hears whom in a LiveKit room: our own row is applied by our place, those of others as their subscriptions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from telephony.errors import TelephonyMisuse
from telephony.livekit.api import RoomApi
from telephony.livekit.errors import LiveKitError
from telephony.livekit.events import LiveKitEvent, ParticipantJoined, TrackStarted
from telephony.livekit.presence import Presence
from telephony.rooms.routes import Routes, Row, Rows

__all__ = ["RoomRoutes"]

_log = logging.getLogger(__name__)


class RoomRoutes:
    """LiveKit subscribes everybody to every new track, so the rows of others are applied again when somebody joins."""

    def __init__(
        self,
        identity: str,
        presence: Presence,
        api: RoomApi | None,
        *,
        room: Callable[[], str],
        own_track: Callable[[], str],
    ) -> None:
        """`room`: its name on the server, which changes when we are moved; `own_track`: our sid, empty without one."""
        self._identity = identity
        self._presence = presence
        self._api = api
        self._room = room
        self._own_track = own_track
        self._applying: set[asyncio.Task[None]] = set()
        self.routes = Routes()

    @property
    def own_row(self) -> Row:
        return self.routes.rows.get(self._identity)

    async def change(self, rows: Rows, obey: Callable[[Row], None]) -> None:
        """`obey` applies our own row, at once. Raises LiveKitError; TelephonyMisuse for rows of others without an
        API."""
        others = frozenset(rows) - {self._identity}
        if others and self._api is None:
            raise TelephonyMisuse(f"room {self._room()} was created without an API and cannot route {sorted(others)}")
        self.routes = self.routes.changed(rows)
        obey(self.own_row)
        await self._apply(others)

    def happened(self, event: LiveKitEvent) -> None:
        if self._api is None or not isinstance(event, TrackStarted | ParticipantJoined):
            return
        if rows := frozenset(self.routes.rows) - {self._identity}:
            task = asyncio.get_running_loop().create_task(self._apply_later(rows), name="livekit routes")
            self._applying.add(task)
            task.add_done_callback(self._applying.discard)

    async def close(self) -> None:
        for task in self._applying:
            task.cancel()
        if self._applying:
            await asyncio.wait(self._applying)

    async def _apply(self, listeners: frozenset[str]) -> None:
        api = self._api
        if api is None:
            return
        tracks = {**self._presence.tracks, **({sid: self._identity} if (sid := self._own_track()) else {})}
        for listener in sorted(listeners & {who.identity for who in self._presence.participants}):
            others = [sid for sid, source in tracks.items() if source != listener]
            heard = [sid for sid in others if self.routes.hears(listener, tracks[sid])]
            unheard = [sid for sid in others if sid not in heard]
            if unheard:  # first: hearing too much is worse than missing a word
                await api.update_subscriptions(self._room(), listener, unheard, False)
            if heard:
                await api.update_subscriptions(self._room(), listener, heard, True)

    async def _apply_later(self, listeners: frozenset[str]) -> None:
        try:
            await self._apply(listeners)
        except LiveKitError as error:
            _log.error("applying the routes of LiveKit room %s failed: %s", self._room(), error)
