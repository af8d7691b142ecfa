"""Whether the agents of a room still run: LiveKit server would tell 20 s after their machine has died."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from telephony.livekit.events import LiveKitEvent, ParticipantJoined, ParticipantKind, ParticipantLeft
from telephony.livekit.pulse import ALIVE, EVERY_S, pulse_of, until_silent

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["AgentWatch"]


class AgentWatch:
    def __init__(
        self, room: LiveKitRoom, died: Callable[[str], None], silent: Callable[[str, str], Awaitable[bool]]
    ) -> None:
        """`died(identity)` is called on the loop, once for each stay of an agent. `silent(room, identity)`: what the
        server finds (`telephony.livekit.api.server_finds_silent`)."""
        self._room = room
        self._silent = silent
        self._died = died
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe = room.subscribe(self._happened)

    def close(self) -> None:
        self._unsubscribe()
        for task in self._asking.values():
            task.cancel()

    def _happened(self, event: LiveKitEvent) -> None:
        match event:
            case ParticipantJoined(participant=who) if who.kind is ParticipantKind.AGENT:
                self._forget(who.identity)
                asking = self._ask(who.identity)
                self._asking[who.identity] = asyncio.get_running_loop().create_task(asking, name="agent watch")
            case ParticipantLeft(participant=who):
                self._forget(who.identity)

    def _forget(self, identity: str) -> None:
        task = self._asking.pop(identity, None)
        if task is not None:
            task.cancel()

    async def _ask(self, identity: str) -> None:
        await until_silent(
            lambda: pulse_of(self._room.call(identity, ALIVE, "", EVERY_S)),
            lambda: self._silent(self._room.name, identity),
        )
        self._died(identity)
