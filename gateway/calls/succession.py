"""Legs whose place others have taken: who follows a leg follows its successors."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.calls.leg_owner import LegOwner
from telephony.call import LegEnded

__all__ = ["Succession"]


class Succession:
    def __init__(self) -> None:
        self._handed_on: dict[str, asyncio.Future[LegOwner | None]] = {}  # by leg

    def hand_on(self, leg_id: str) -> asyncio.Future[LegOwner | None]:
        """Somebody is to take this leg's place. The result says who; None: nobody, and it has left."""
        handed = self._handed_on[leg_id] = asyncio.get_running_loop().create_future()
        return handed

    def keep(self, leg_id: str) -> None:
        """It is still there, and nobody has taken its place."""
        self._handed_on.pop(leg_id, None)

    def last(self, owner: LegOwner) -> LegOwner:
        """Who has its place now."""
        while (handed := self._handed_on.get(owner.leg_id)) is not None and handed.done() and not handed.cancelled():
            if (successor := handed.result()) is None:
                break
            owner = successor
        return owner

    async def last_end(self, owner: LegOwner) -> LegEnded:
        """The end of whoever has its place last. Somebody who left while nobody could be reached has failed."""
        while True:
            ended = await asyncio.shield(owner.ended)
            if (handed := self._handed_on.get(owner.leg_id)) is None:
                return ended
            successor = await asyncio.shield(handed)
            if successor is None:
                return replace(ended, by_peer=False)
            owner = successor
