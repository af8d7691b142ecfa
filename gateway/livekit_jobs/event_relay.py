"""The conversation's events to the call worker that bridges the phone, as data packets in order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from agent.events import SessionClosed, SessionEvent
from gateway.livekit.agent_events import EVENT_TOPIC
from telephony.livekit.errors import LiveKitError

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["EventRelay", "packet_of"]

RESEND_LIMIT_S = 10.0  # as long as a connection may take to be resumed
RESEND_PAUSE_S = 0.2
log = structlog.get_logger(__name__)


def packet_of(event: SessionEvent, now: float, unix_s: float, tokens: tuple[int, int] | None = None) -> bytes:
    """JSON: the event, and `unix_ms`, the time of day of its `at`, for a gateway on another machine."""
    body: dict[str, Any] = {**event.to_dict(), "unix_ms": round((unix_s - (now - event.at)) * 1000, 1)}
    if tokens is not None:
        body["tokens"] = list(tokens)
    return json.dumps(body, separators=(",", ":"), default=str).encode()


class EventRelay:
    def __init__(self, room: LiveKitRoom, identity: str, tokens: Callable[[], tuple[int, int]]) -> None:
        """`identity`: the receiver. `tokens`: the session's usage, sent with its last event."""
        self._room = room
        self._identity = identity
        self._tokens = tokens
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="event relay")

    def event(self, event: SessionEvent) -> None:
        tokens = self._tokens() if isinstance(event, SessionClosed) else None
        self._queue.put_nowait(packet_of(event, asyncio.get_running_loop().time(), time.time(), tokens))

    async def close(self, limit_s: float = 1.0) -> None:
        """Send the rest, within this time."""
        self._queue.put_nowait(None)
        await asyncio.wait({self._task}, timeout=limit_s)
        self._task.cancel()

    async def _run(self) -> None:
        while (packet := await self._queue.get()) is not None:
            await self._send(packet)

    async def _send(self, packet: bytes) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RESEND_LIMIT_S
        while True:
            try:
                await self._room.send_data(packet, EVENT_TOPIC, [self._identity])
                return
            except LiveKitError as error:
                if loop.time() > deadline or self._identity not in {who.identity for who in self._room.participants}:
                    log.warning("event_not_relayed", error=str(error))
                    return
                await asyncio.sleep(RESEND_PAUSE_S)
