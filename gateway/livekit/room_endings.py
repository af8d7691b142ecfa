"""Ends a call that its job or call worker can no longer end: deletes its room, which hangs up
and sends the others away.

LiveKit SIP keeps the phone on the line while LiveKit server is away, and for as long as there is a room. So this is
tried until the server answers.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from telephony.livekit.access import LiveKitAccess
from telephony.livekit.api import LiveKitApi
from telephony.livekit.errors import LiveKitError, LiveKitRefused, NotInRoom

__all__ = ["RoomEndings", "RoomEnds", "end_room"]

TRY_EVERY_S = 2.0
CLOSE_LIMIT_S = 5.0
LIMIT_S = 600.0  # LiveKit SIP itself gives up a server that is away for 60 s
log = structlog.get_logger(__name__)


class RoomEnds(Protocol):
    """What it needs from `LiveKitApi`."""

    async def has_people(self, room: str) -> bool:
        """Raises LiveKitError."""

    async def delete_room(self, room: str) -> None:
        """Raises LiveKitError."""


async def end_room(api: RoomEnds, room: str) -> None:
    """Unless people are in it, who may be talking to the caller. Never raises."""
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + LIMIT_S, False
    while True:
        try:
            if not await api.has_people(room):
                await api.delete_room(room)
            return
        except NotInRoom:
            return
        except LiveKitError as error:
            # Anything else may be transient: a server without its Redis, or just started, gives various errors.
            hopeless = isinstance(error, LiveKitRefused) or loop.time() > deadline
            if hopeless or not told:
                told = True
                log.warning("room_not_ended", room=room, error=str(error), trying_again=not hopeless)
            if hopeless:
                return
        await asyncio.sleep(TRY_EVERY_S)


class RoomEndings:
    """Rooms that are ended, each in a task of its own."""

    def __init__(self, access: LiveKitAccess) -> None:
        self._access = access
        self._tasks: set[asyncio.Task[None]] = set()

    def end(self, room: str) -> None:
        """Returns at once. As `end_room`."""
        task = asyncio.create_task(self._end(room), name="end of a room")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Waits for pending ones, 5 s at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_LIMIT_S)
        for task in self._tasks:
            task.cancel()

    async def _end(self, room: str) -> None:
        api = LiveKitApi(self._access)
        try:
            await end_room(api, room)
        finally:
            await api.close()
