"""Supervisors of a call: who listens in, who hears them, and what becomes of the agent and the customer meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

from gateway.calls.conversation import Conversation, NotTalking
from gateway.calls.further_legs import Dialled, FurtherLegs
from gateway.calls.journal import Journal
from gateway.calls.verbs import ListenMode, ListenOrder, VerbRefused
from gateway.calls.waiting import Waiting
from gateway.config.models import SupervisionSettings
from telephony.call import AfterTransfer, EndedBy
from telephony.errors import DialRefused, TelephonyError
from telephony.media.tones import tone

__all__ = ["TAKEN_OVER", "Supervising"]

TAKEN_OVER = "taken over"  # why the agent stands still
_BY_KEY = {
    "1": ListenMode.LISTEN,
    "2": ListenMode.WHISPER,
    "3": ListenMode.BARGE,
    "4": ListenMode.TAKE_OVER,
}
_BEEP_HZ, _BEEP_MS, _BEEP_DBFS = 1400.0, 200.0, -20.0
_NOTE = "A supervisor has talked with the caller and has left. Go on from there."


class TheCall(Protocol):
    """What we need of `Call`."""

    @property
    def over(self) -> bool: ...

    def end_now(self, reason: str, by: EndedBy = ...) -> None: ...

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None: ...


class Supervising:
    def __init__(
        self,
        call: TheCall,
        further: FurtherLegs,
        waiting: Waiting,
        conversation: Conversation,
        journal: Journal,
        settings: SupervisionSettings,
    ) -> None:
        self._call = call
        self._further = further
        self._waiting = waiting
        self._conversation = conversation
        self._journal = journal
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._legs: dict[str, str] = {}  # whom a supervisor's leg calls -> its id
        self._afterwards: dict[str, AfterTransfer] = {}  # by leg
        self._had: set[str] = set()  # legs that have taken the call over
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, order: ListenOrder) -> str:
        """The supervisor's leg once it is placed, or its new mode. Raises VerbRefused."""
        leg_id = self._legs.get(order.to)
        if leg_id is not None:
            self._afterwards[leg_id] = order.afterwards
            await self._set_mode(leg_id, order.mode)
            return leg_id
        began: asyncio.Future[str] = self._loop.create_future()
        self._spawn(self._listened(order, began))
        try:
            return await began
        except DialRefused as refused:
            raise VerbRefused(refused.kind, str(refused), retryable=refused.retryable) from None

    @property
    def taken_over(self) -> bool:
        return self._further.taken_over_by is not None

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _listened(self, order: ListenOrder, began: asyncio.Future[str]) -> None:
        """One supervisor's leg, from its beginning to its end."""
        ours: list[str] = []

        def told(leg_id: str, fact: str) -> None:
            if fact == "placed" and not began.done():
                ours.append(leg_id)
                self._legs[order.to] = leg_id
                self._afterwards[leg_id] = order.afterwards
                began.set_result(leg_id)

        def pressed(key: str) -> None:
            if (mode := _BY_KEY.get(key)) is not None and ours:
                self._spawn(self._set_mode(ours[0], mode))

        try:
            leg = await self._further.dial(
                order.to, trunk=order.trunk, caller=order.caller, ring_s=order.ring_s, mode=order.mode, told=told,
                pressed=pressed, extension=order.extension,
            )  # fmt: skip
            if leg.outcome.answered:
                await self._supervises(leg)
        except DialRefused as refused:
            if not began.done():
                began.set_exception(refused)
        finally:
            self._legs.pop(order.to, None)
            for leg_id in ours:
                self._afterwards.pop(leg_id, None)
            if not began.done():
                began.set_exception(DialRefused("failed", "the call has ended"))

    async def _supervises(self, leg: Dialled) -> None:
        mode = self._further.mode_of(leg.leg_id) or ListenMode.LISTEN
        self._journal.entry("supervisor_joined", self._loop.time(), leg_id=leg.leg_id, mode=mode)
        self._agent_aside()
        self._spawn(self._announced())
        ended = await leg.ended()
        had = leg.leg_id in self._had
        self._had.discard(leg.leg_id)
        if not had or self._call.over:
            return
        if self._afterwards.get(leg.leg_id) is AfterTransfer.END and not ended.lost:
            self._call.end_now("the supervisor who had taken the call over hung up", EndedBy.AGENT)
            return
        await self._agent_back()

    async def _set_mode(self, leg_id: str, mode: ListenMode) -> None:
        if self._call.over or self._further.mode_of(leg_id) in (None, mode):
            return
        await self._further.set_mode(leg_id, mode)
        self._journal.entry("supervisor_mode", self._loop.time(), leg_id=leg_id, mode=mode)
        if mode is ListenMode.TAKE_OVER:
            self._agent_aside()
        elif leg_id in self._had:
            self._had.discard(leg_id)
            await self._agent_back()

    # --- the agent and the customer ------------------------------------------------------------------------------

    def _agent_aside(self) -> None:
        if (leg_id := self._further.taken_over_by) is not None and leg_id not in self._had:
            self._had.add(leg_id)
            self._waiting.set_aside(TAKEN_OVER)

    async def _agent_back(self) -> None:
        if self._had or self._call.over:
            return
        await self._waiting.end(TAKEN_OVER, words="welcome_back", note=_NOTE)

    async def _announced(self) -> None:
        """The customer is told that somebody listens in, if that is wanted."""
        how = self._settings.announce
        if how == "words" and not (self._further.taken_over_by or self._waiting.aside):
            with suppress(NotTalking, TelephonyError):
                await self._call.say(self._conversation.canned("supervisor"), allow_interruptions=False)
                return
        if how != "none":
            with suppress(TelephonyError):
                await self._further.notice(tone(_BEEP_HZ, _BEEP_MS, _BEEP_DBFS))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
