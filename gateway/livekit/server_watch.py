"""The gateway's eye on LiveKit: is the server there, does it know our keys, does anybody serve our calls?

A missing server only causes a warning: it may be back for the next call. The rooms of calls whose call
worker is lost are ended; LiveKit server would miss that participant after 20 s, and the agent would talk on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.config import LiveKitSettings
from gateway.livekit.room_endings import RoomEndings
from gateway.livekit.room_plan import access_of
from gateway.record import CallClosed, RecordMessage, WorkerLost
from telephony.livekit.access import call_room_name
from telephony.livekit.api import LiveKitApi
from telephony.livekit.errors import LiveKitError

__all__ = ["LiveKitWatch", "check_livekit"]

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 15.0
_TROUBLE = ("no_agent", "agent_lost", "livekit_lost", "LiveKit")
_KEEP_S = 120.0  # a call's trouble is a warning for this long, unless a later call went well


async def check_livekit(settings: LiveKitSettings) -> str:
    """The problem and its remedy; empty if there is none. Raises SecretMissing."""
    api = LiveKitApi(access_of(settings))
    try:
        await api.check()
    except LiveKitError as error:
        return str(error)
    finally:
        await api.close()
    return ""


class LiveKitWatch:
    def __init__(self, settings: LiveKitSettings, now: Callable[[], float]) -> None:
        """`now`: the loop clock in seconds. Raises SecretMissing."""
        self._settings = settings
        self._endings = RoomEndings(access_of(settings))
        self._now = now
        self._server = ""
        self._call: tuple[float, str] = (0.0, "")  # when, what
        self._task: asyncio.Task[None] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for /healthz."""
        at, trouble = self._call
        return tuple(text for text in (self._server, trouble if self._now() - at < _KEEP_S else "") if text)

    async def start(self) -> None:
        """Look once, then again and again."""
        await self._look()
        self._task = asyncio.create_task(self._run(), name="livekit watch")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._endings.close()

    def observe(self, message: RecordMessage) -> None:
        """What became of calls says more than any question to the server."""
        if isinstance(message, WorkerLost):
            for call_id in message.call_ids:
                self._endings.end(call_room_name(call_id))
        if not isinstance(message, CallClosed):
            return
        if any(message.end_reason.startswith(each) for each in _TROUBLE):
            self._call = (self._now(), f"the last call: {message.end_reason}")
        elif message.answered_at is not None:
            self._call = (0.0, "")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        before, self._server = self._server, await check_livekit(self._settings)
        if self._server and self._server != before:
            log.warning("livekit_trouble", reason=self._server)
        elif before and not self._server:
            log.info("livekit_recovered")
