"""The customer's leg of a call that we place, before it is dialled: the call owns it from the start, and `answer`,
which joins it to the room's audio, sends its INVITE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from telephony.call import CallInfo, Leg, LegEnded, LegEvent, MediaStatistics
from telephony.errors import DigitsNotSent, LegEndedError
from telephony.keys import DigitSource, KnowsItsWays
from telephony.rooms.protocol import LegAudio

__all__ = ["LegToPlace", "Placed"]


class Placed(Leg, KnowsItsWays, Protocol):
    def press_by_info(self, digit: str, duration_ms: int) -> None: ...


class LegToPlace:
    """Implements `telephony.call.Leg`."""

    def __init__(self, info: CallInfo, place: Callable[[LegAudio], Awaitable[Placed]]) -> None:
        """`place(audio)` sends the INVITE, and raises TelephonyError when it cannot."""
        self._info = info
        self._place = place
        self._leg: Placed | None = None
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[None] = self._loop.create_future()  # there is a leg, or there will never be one
        self._ended: LegEnded | None = None

    @property
    def info(self) -> CallInfo:
        return self._info

    @property
    def suppresses_silence(self) -> bool:
        return self._leg is not None and self._leg.suppresses_silence

    async def ring(self) -> None:
        """The other side does the ringing."""

    async def answer(self, audio: LegAudio) -> None:
        """Send the INVITE. Raises TelephonyError."""
        if self._ended is not None:
            raise LegEndedError("the call was ended before it was placed")
        leg = await self._place(audio)
        if self._begun.done():  # ended in the meantime
            await leg.hang_up()
            return
        self._leg = leg
        self._begun.set_result(None)

    async def reject(self, sip_status: int, reason: str = "") -> None:
        await self.hang_up(reason)

    async def hang_up(self, reason: str = "") -> None:
        if self._leg is not None:
            await self._leg.hang_up(reason)
        elif self._ended is None:
            self._ended = LegEnded(self._loop.time(), False, 0, reason, None)
            self._begun.set_result(None)

    async def hold(self) -> None:
        if self._leg is None:
            raise LegEndedError("the call has not been answered")
        await self._leg.hold()

    async def resume(self) -> None:
        if self._leg is None:
            raise LegEndedError("the call has not been answered")
        await self._leg.resume()

    def key_way(self, asked: DigitSource | None) -> DigitSource:
        """As `KnowsItsWays.key_way`."""
        if self._leg is None:
            raise DigitsNotSent("failed", "the call has not been answered")
        return self._leg.key_way(asked)

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        if self._leg is None:
            raise LegEndedError("the call has not been answered")
        await self._leg.send_digits(digits, duration_ms=duration_ms, gap_ms=gap_ms, way=way)

    async def events(self) -> AsyncIterator[LegEvent]:
        await asyncio.shield(self._begun)
        if self._leg is not None:
            async for event in self._leg.events():
                yield event
        elif self._ended is not None:
            yield self._ended

    async def statistics(self) -> MediaStatistics | None:
        return await self._leg.statistics() if self._leg is not None else None

    def press_by_info(self, digit: str, duration_ms: int) -> None:
        if self._leg is not None:
            self._leg.press_by_info(digit, duration_ms)
