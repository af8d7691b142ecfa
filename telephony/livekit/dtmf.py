"""Sends keys as LiveKit's SIP DTMF events, which have no duration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from telephony.errors import DigitsNotSent
from telephony.keys import DigitSource
from telephony.media.key_string import read_keys

__all__ = ["check_way", "send_keys"]


def check_way(way: DigitSource | None) -> None:
    """Raises DigitsNotSent."""
    if way not in (None, DigitSource.RTP):
        raise DigitsNotSent("not_possible", f"LiveKit sends keys as RFC 4733 events, not by {way}")


async def send_keys(digits: str, send: Callable[[str], Awaitable[None]], every_ms: int) -> None:
    """Send keys one by one, `every_ms` apart; `w` is a pause of 500 ms, `W` one of 1 s. Raises TelephonyMisuse for
    other characters."""
    keys = read_keys(digits)
    for index, key in enumerate(keys):
        if isinstance(key, float):
            await asyncio.sleep(key)
            continue
        await send(key)
        if index + 1 < len(keys):
            await asyncio.sleep(every_ms / 1000)
