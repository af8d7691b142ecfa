"""The end of a call whose job can do nothing for it any more: its room is deleted, which hangs up.

LiveKit SIP keeps the phone on the line while LiveKit server is away, and for as long as there is a room. So this is
tried until the server answers.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from telephony.livekit.errors import LiveKitError, LiveKitRefused

__all__ = ["RoomEnds", "end_room"]

TRY_EVERY_S = 2.0
LIMIT_S = 600.0  # LiveKit SIP itself gives up a server that is away for 60 s
log = structlog.get_logger(__name__)


class RoomEnds(Protocol):
    """What it needs of `LiveKitApi`."""

    async def has_people(self, room: str) -> bool:
        """Raises LiveKitError."""

    async def delete_room(self, room: str) -> None:
        """Raises LiveKitError."""


async def end_room(api: RoomEnds, room: str) -> None:
    """Unless people are in it, whom the caller may be talking to. Never raises."""
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + LIMIT_S, False
    while True:
        try:
            if not await api.has_people(room):
                await api.delete_room(room)
            return
        except LiveKitError as error:
            # All else may pass: a server without its Redis, or one that was just started, has errors of many names.
            hopeless = isinstance(error, LiveKitRefused) or loop.time() > deadline
            if hopeless or not told:
                told = True
                log.warning("room_not_ended", room=room, error=str(error), trying_again=not hopeless)
            if hopeless:
                return
        await asyncio.sleep(TRY_EVERY_S)
