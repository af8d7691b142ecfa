"""The verbs of a call whose leg and room this process has; implements `SteeredCall`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, Protocol

import structlog

from gateway.calls.conversation import NotTalking
from gateway.calls.verbs import ListenOrder, TransferOrder, VerbRefused, Voice
from telephony.errors import TelephonyError

__all__ = ["SteeredHere"]

log = structlog.get_logger(__name__)


class TheCall(Protocol):
    """What we need of `Call`."""

    @property
    def answered(self) -> bool: ...

    def hang_up(self, reason: str, *, goodbye: bool) -> None: ...

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None: ...

    async def send_digits(self, digits: str) -> None: ...


class SteeredHere:
    def __init__(self, call: TheCall) -> None:
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()

    def hang_up(self, reason: str, *, goodbye: bool) -> None:
        self._call.hang_up(reason, goodbye=goodbye)

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        try:
            await self._call.say(text, allow_interruptions=allow_interruptions)
        except NotTalking as error:
            raise VerbRefused("not_talking", str(error)) from None

    def press(self, digits: str) -> None:
        """Sending digits takes time; the requester learns at once whether they can be sent."""
        if not self._call.answered:
            raise VerbRefused("not_talking", "The call has not been answered yet.")
        self._spawn(self._sent(digits))

    async def _sent(self, digits: str) -> None:
        try:
            await self._call.send_digits(digits)
        except TelephonyError as error:
            log.warning("digits_not_sent", error=str(error))

    async def transfer(self, order: TransferOrder) -> None:
        self._not_yet("transferred")

    async def hold(self) -> None:
        self._not_yet("held")

    async def resume(self) -> None:
        self._not_yet("resumed")

    async def mute(self, voice: Voice) -> None:
        self._not_yet("muted")

    async def unmute(self, voice: Voice) -> None:
        self._not_yet("unmuted")

    async def listen(self, order: ListenOrder) -> str:
        self._not_yet("listened to")

    def _not_yet(self, verb: str) -> NoReturn:
        raise VerbRefused("not_possible", f"This call cannot be {verb}.")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
