"""A leg in another process, as seen by its call: its events and commands, as messages
alongside its audio (`remote.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from time import monotonic
from typing import Any

from telephony.call import (
    CallInfo,
    DigitSource,
    FirstMedia,
    Leg,
    LegAcknowledged,
    LegAnswered,
    LegDigit,
    LegEnded,
    LegEvent,
    LegHeld,
    LegResumed,
    LegRinging,
    MediaStatistics,
)
from telephony.errors import LegEndedError, TelephonyError, TelephonyMisuse
from telephony.leg_events import LegEvents
from telephony.rooms.protocol import LegAudio
from telephony.rooms.remote import RemoteLink

__all__ = ["RemoteLeg", "event_message", "obey"]

CONFIRMATION_S = 4.0  # the process with the leg waits for 2 s
_EVENTS: Mapping[str, Callable[..., LegEvent]] = {
    cls.__name__: cls
    for cls in (LegRinging, LegAnswered, LegAcknowledged, FirstMedia, LegDigit, LegHeld, LegResumed, LegEnded)
}


def event_message(event: LegEvent) -> dict[str, Any]:
    """Where the leg is: an event for the link."""
    return {"event": type(event).__name__, **asdict(event)}


def _event(message: Mapping[str, Any]) -> LegEvent:
    fields = {name: value for name, value in message.items() if name != "event"}
    if fields.get("statistics") is not None:
        fields["statistics"] = MediaStatistics(**fields["statistics"])
    if "source" in fields:
        fields["source"] = DigitSource(fields["source"])
    return _EVENTS[str(message["event"])](**fields)


async def obey(message: Mapping[str, Any], leg: Leg, hang_up: Callable[[str], Awaitable[None]]) -> None:
    """In the leg's process: handle a message from the link. Raises TelephonyError."""
    match message:
        case {"verb": "hang_up", "reason": reason}:
            await hang_up(str(reason))
        case {"verb": "send_digits", "digits": digits, "duration_ms": duration_ms, "gap_ms": gap_ms, "way": way}:
            asked = None if way is None else DigitSource(way)
            await leg.send_digits(str(digits), duration_ms=int(duration_ms), gap_ms=int(gap_ms), way=asked)


class RemoteLeg:
    """Implements `telephony.call.Leg`, for a dialled leg. Events are told when they arrive; their times are the
    machine's clock, which its processes share."""

    suppresses_silence = False

    def __init__(self) -> None:
        self._info: CallInfo | None = None
        self._link: RemoteLink | None = None
        self._events = LegEvents()
        self._over = asyncio.Event()

    def use(self, link: RemoteLink) -> None:
        self._link = link

    def adopt(self, info: CallInfo) -> None:
        """Say what call this leg is of."""
        self._info = info

    # --- messages from the link --------------------------------------------------------------------------------

    def take(self, message: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError and ValueError for an invalid event."""
        self._post(_event(message))

    def lost(self) -> None:
        """The link has ended without the leg's end."""
        self._post(LegEnded(monotonic(), False, 0, "the leg's worker was lost", None, lost=True))

    def _post(self, event: LegEvent) -> None:
        if self._events.post(event) and isinstance(event, LegEnded):
            self._over.set()
            if self._link is not None:
                self._link.close()

    # --- Leg -----------------------------------------------------------------------------------------------------

    @property
    def info(self) -> CallInfo:
        """Raises TelephonyMisuse before `adopt`."""
        if self._info is None:
            raise TelephonyMisuse("the leg has not been adopted, so its call is not known yet")
        return self._info

    async def ring(self) -> None:
        raise TelephonyMisuse("an outbound leg cannot be made to ring")

    async def answer(self, audio: LegAudio) -> None:
        raise TelephonyMisuse("the peer answers a call of ours")

    async def reject(self, sip_status: int, reason: str = "") -> None:
        raise TelephonyMisuse("a call of ours is hung up, not refused")

    async def hold(self) -> None:
        raise TelephonyMisuse("only the customer of a call is put on hold")

    async def resume(self) -> None:
        raise TelephonyMisuse("only the customer of a call is put on hold")

    async def hang_up(self, reason: str = "") -> None:
        if self._over.is_set():
            return
        self._send(verb="hang_up", reason=reason)
        try:
            async with asyncio.timeout(CONFIRMATION_S):
                await self._over.wait()
        except TimeoutError:
            self._post(LegEnded(monotonic(), False, 408, "the leg's worker did not confirm its end", None))

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        """Returns at once: they are sent where the leg is."""
        if self._over.is_set():
            raise LegEndedError("the leg has ended")
        self._send(verb="send_digits", digits=digits, duration_ms=duration_ms, gap_ms=gap_ms, way=way)

    def events(self) -> AsyncIterator[LegEvent]:
        return aiter(self._events)

    async def statistics(self) -> MediaStatistics | None:
        """Kept in the leg's process; its last event brings them."""
        return None

    def _send(self, **message: Any) -> None:
        if self._link is None:
            raise TelephonyError("the leg has no link to its worker")
        self._link.send(message)
