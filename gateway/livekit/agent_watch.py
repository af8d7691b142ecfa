"""Checks whether the others in a room are still alive, above all agents: LiveKit server would report a dead machine
after 20 s. The questions go through the server, which is thereby checked, too: LiveKit's SDK needs 12 to 15 s to
notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from telephony.livekit.events import LiveKitEvent, ParticipantJoined, ParticipantKind, ParticipantLeft
from telephony.livekit.liveness import ALIVE, EVERY_S, NO_SERVER, Silence, liveness_of, until_silent

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["AgentWatch"]

BACK_S = 7.0  # from its last sign of life: a worker takes 4 to 5 s to detect a hung process and replace it


class AgentWatch:
    def __init__(
        self, room: LiveKitRoom, died: Callable[[str], None], whose: Callable[[str, str], Awaitable[Silence]]
    ) -> None:
        """`died(identity)` is called on the loop, once for each stay of an agent; a room whose server does not answer
        is lost. `whose(room, identity)`: the server's view (`telephony.livekit.api.whose_silence`)."""
        self._room = room
        self._whose = whose
        self._died = died
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe = room.subscribe(self._happened)

    def close(self) -> None:
        self._unsubscribe()
        for task in self._asking.values():
            task.cancel()

    def _happened(self, event: LiveKitEvent) -> None:
        match event:
            case ParticipantJoined(participant=who) | ParticipantLeft(participant=who):
                self._forget(who.identity)
                self._choose()

    def _choose(self) -> None:
        """All agents are asked; without any, one other, for the server's sake."""
        there = {who.identity: who.kind is ParticipantKind.AGENT for who in self._room.participants}
        wanted = [identity for identity, agent in there.items() if agent] or list(there)[:1]
        for identity in self._asking.keys() - wanted:
            self._forget(identity)
        for identity in wanted:
            if identity not in self._asking:
                asking = self._ask(identity, agent=there[identity])
                self._asking[identity] = asyncio.get_running_loop().create_task(asking, name="agent watch")

    def _forget(self, identity: str) -> None:
        task = self._asking.pop(identity, None)
        if task is not None:
            task.cancel()

    async def _ask(self, identity: str, *, agent: bool) -> None:
        silence = Silence.THEIRS
        while silence is Silence.THEIRS:
            silence = await until_silent(
                lambda: liveness_of(self._room.call(identity, ALIVE, "", EVERY_S)),
                lambda: self._whose(self._room.name, identity),
                patience_s=BACK_S,
            )
            if agent and silence is Silence.THEIRS:
                self._died(identity)
                return
        self._room.lose(NO_SERVER)
