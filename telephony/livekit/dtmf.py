"""Sends keys as LiveKit's SIP DTMF events, which have no duration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from telephony.errors import TelephonyMisuse

__all__ = ["send_keys"]

_KEYS = frozenset("0123456789*#ABCD")
_PAUSE_S = 0.5


async def send_keys(digits: str, send: Callable[[str], Awaitable[None]], every_ms: int) -> None:
    """Send keys one by one, `every_ms` apart; `w` is a pause of 500 ms. Raises TelephonyMisuse for other characters."""
    keys = digits.upper()
    if wrong := sorted(set(keys) - _KEYS - {"W"}):
        raise TelephonyMisuse(f"invalid DTMF keys: {', '.join(wrong)}")
    for index, key in enumerate(keys):
        if key == "W":
            await asyncio.sleep(_PAUSE_S)
            continue
        await send(key)
        if index + 1 < len(keys):
            await asyncio.sleep(every_ms / 1000)
