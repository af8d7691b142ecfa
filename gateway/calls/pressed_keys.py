"""Key presses on their way to the other side: in order, one at a time, and kept until the other side
is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from telephony.errors import LegEndedError, TelephonyError

__all__ = ["Keys"]

log = structlog.get_logger(__name__)

RETRY_S = 0.5
RETRIES = 20  # as long as a connection may take to be resumed


class Keys:
    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        """`send` takes one key and may raise TelephonyError."""
        self._send = send
        self._pressed: asyncio.Queue[str] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def press(self, digit: str) -> None:
        self._pressed.put_nowait(digit)

    def flow(self) -> None:
        """From now on. Idempotent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="keys")

    def close(self) -> tuple[asyncio.Task[None], ...]:
        """The task to cancel."""
        return () if self._task is None else (self._task,)

    async def _run(self) -> None:
        while True:
            digit = await self._pressed.get()
            for _ in range(RETRIES):
                try:
                    await self._send(digit)
                    break
                except LegEndedError:
                    return
                except TelephonyError as error:
                    log.info("key_waits", error=str(error))
                    await asyncio.sleep(RETRY_S)
