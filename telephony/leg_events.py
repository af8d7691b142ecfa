"""What happens to a leg, in order, until its end: how every kind of leg keeps and gives its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from telephony.call import LegEnded, LegEvent
from telephony.errors import TelephonyMisuse

__all__ = ["LegEvents"]


class LegEvents:
    """Of one leg; nothing comes after `LegEnded`. One consumer (`telephony.call.Leg.events`). Belongs to the loop."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._consumed = False
        self.ended: LegEnded | None = None

    def post(self, event: LegEvent) -> bool:
        """False after the leg's end: it is not told."""
        if self.ended is not None:
            return False
        if isinstance(event, LegEnded):
            self.ended = event
        self._queue.put_nowait(event)
        return True

    async def __aiter__(self) -> AsyncIterator[LegEvent]:
        """Raises TelephonyMisuse for a second consumer."""
        if self._consumed:
            raise TelephonyMisuse("a leg's events have a single consumer")
        self._consumed = True
        while True:
            event = await self._queue.get()
            yield event
            if isinstance(event, LegEnded):
                return
