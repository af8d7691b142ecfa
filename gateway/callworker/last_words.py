"""Ends a worker's calls when the gateway, which relays all its SIP, has died."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import structlog

from gateway.control import LastWord

__all__ = ["LastWords"]

log = structlog.get_logger(__name__)

_AGAIN_S = (0.5, 1.0)  # RFC 3261 17.1.2.2; nobody can receive the answer


class LastWords:
    """A BYE, or a CANCEL, for each leg, prepared by the gateway."""

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._words: dict[str, LastWord] = {}
        self._sleep = sleep

    def keep(self, word: LastWord) -> None:
        self._words[word.leg_id] = word

    def forget(self, leg_id: str) -> None:
        """The leg is over."""
        self._words.pop(leg_id, None)

    async def say(self) -> None:
        """To all at once, and twice more. Never raises."""
        words, self._words = list(self._words.values()), {}
        if not words:
            return
        log.warning("gateway_lost", calls=len(words))
        for pause_s in (*_AGAIN_S, 0.0):
            for word in words:
                _send(word)
            await self._sleep(pause_s)


def _send(word: LastWord) -> None:
    family = socket.AF_INET6 if ":" in word.ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.sendto(word.text.encode("latin-1"), (word.ip, word.port))
    except OSError as error:
        log.warning("caller_not_told", leg_id=word.leg_id, error=str(error))
