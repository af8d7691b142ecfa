"""A leg that this worker holds for a call in another one: its owner, its facts over the link, and the end of either
side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from gateway.calls.leg_owner import LegFact, LegOwner, LegUnfollowed
from gateway.calls.media_watch import Finding, MediaLost
from telephony.call import LegAcknowledged, LegEnded
from telephony.errors import TelephonyError
from telephony.rooms.remote import RemoteLink
from telephony.rooms.remote_leg import event_message, obey

__all__ = ["HostedLeg"]

log = structlog.get_logger(__name__)

CALL_LOST = "its call was lost"


class HostedLeg:
    """`begin` comes once the place in the call's room is taken and the leg is dialled."""

    def __init__(self) -> None:
        self._owner: LegOwner | None = None
        self._link: RemoteLink | None = None
        self._call_gone = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, owner: LegOwner, link: RemoteLink) -> None:
        self._owner, self._link = owner, link
        owner.follow()
        if self._call_gone:
            self._spawn(owner.end(CALL_LOST))

    def message(self, message: Mapping[str, Any]) -> None:
        """Of the call."""
        if self._owner is not None:
            self._spawn(self._obey(message, self._owner))

    def gone(self) -> None:
        """The call's worker has died, or the call has ended without asking."""
        self._call_gone = True
        if self._owner is not None:
            self._spawn(self._owner.end(CALL_LOST))

    def fact(self, owner: LegOwner, fact: LegFact) -> None:
        match fact:
            case MediaLost(text=text):
                self._spawn(owner.end(text))
                return
            case Finding():
                return
            case LegUnfollowed(error=error):
                log.error("leg_not_followed", error=repr(error))
                self._spawn(owner.end("the leg vanished without an event"))
                return
            case LegAcknowledged():
                owner.watch_media()
        if self._link is not None:
            self._link.send(event_message(fact))
            if isinstance(fact, LegEnded):
                self._link.close()
        if isinstance(fact, LegEnded):
            owner.close()

    async def end(self, reason: str) -> None:
        """Never raises."""
        if self._owner is not None:
            await self._owner.end(reason)

    async def _obey(self, message: Mapping[str, Any], owner: LegOwner) -> None:
        try:
            await obey(message, owner.leg, owner.end)
        except TelephonyError as error:
            log.warning("remote_verb_failed", error=str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
