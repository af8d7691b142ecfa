"""A phone that hands the call on: the next one is called, and takes the phone's place.

Of a human who talks with the customer, whoever follows their leg (a transfer, the agent's tool) then follows the next
one's, and sees no end between. Of the customer, the next one's phone moves to the customer's leg, and whoever talked
with the customer (the agent, a human) talks with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from gateway.calls.further_legs import Dialled, FurtherLegs, LegNews
from gateway.calls.journal import Journal
from gateway.calls.music import RINGING
from gateway.calls.verbs import OnwardOrder, TransferOrder, VerbRefused
from gateway.calls.waiting import Waiting
from gateway.transfers import telling
from gateway.transfers.machine import end_of
from telephony.call import TransferEnd, TransferResult
from telephony.errors import DialRefused

__all__ = ["OnwardTransfers"]

log = structlog.get_logger(__name__)

ONWARD = "handed on"  # why the customer waits
LEAVE_S = 2.0  # for the phone to hang up by itself, once it knows that the next human has the customer
Report = Callable[[str, int, str], None]  # (refer_id, status, reason)


class OnwardTransfers:
    """Of one call, one at a time."""

    def __init__(
        self,
        call_id: str,
        customer: str,
        further: FurtherLegs,
        waiting: Waiting,
        journal: Journal,
        report: Report,
        move: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """`customer`: their leg. `report`: for the phone that has asked; a status from 200 on is the last. `move`: as
        `Dialler.move_leg`."""
        self._customer = customer
        self._move = move
        self._call_id = call_id
        self._further = further
        self._waiting = waiting
        self._journal = journal
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Task[None] | None = None

    def begin(self, asked: OnwardOrder) -> None:
        """Raises VerbRefused."""
        if asked.leg_id != self._customer and not self._further.is_joined(asked.leg_id):
            raise VerbRefused("not_talking", "This phone does not talk with the caller.")
        if self._running is not None and not self._running.done():
            raise VerbRefused("transferring", "The caller is being handed on already.")
        run = self._run_for_customer if asked.leg_id == self._customer else self._run
        self._running = asyncio.create_task(run(asked), name="hand the call on")

    def close(self) -> None:
        """The call is over."""
        if self._running is not None:
            self._running.cancel()

    def _tell_began(self, asked: OnwardOrder) -> None:
        fields = {"transfer_id": asked.order.transfer_id, "leg_id": asked.leg_id, "target": asked.order.to}
        self._journal.entry("transfer_by_phone", self._loop.time(), **fields)
        self._journal.send(telling.began(self._call_id, asked.order))

    async def _run_for_customer(self, asked: OnwardOrder) -> None:
        order = asked.order
        self._tell_began(asked)
        try:
            with_human = self._further.floor.joined is not None
            await (self._waiting.with_music(ONWARD) if with_human else self._waiting.begin(ONWARD))
            leg, result = await self._called(asked)
            if leg is not None:
                try:
                    await self._move(leg.leg_id, self._customer)
                except DialRefused as refused:
                    await leg.hang_up("it could not be connected")
                    result = TransferResult(TransferEnd.FAILED, "bridge", 0, str(refused), leg.leg_id)
                    leg = None
        except asyncio.CancelledError:
            self._report(asked.refer_id, 487, "")
            self._tell(order, TransferResult(TransferEnd.CANCELLED, "bridge", 0, "the call is over"))
            raise
        self._tell(order, result)
        status = 200 if leg is not None else result.sip_status or 503
        self._report(asked.refer_id, status, result.reason)
        note = f"[The caller has handed the call on to {order.to}, with whom you talk now.]" if leg is not None else ""
        await self._waiting.end(ONWARD, note=note)

    async def _run(self, asked: OnwardOrder) -> None:
        order = asked.order
        handed = self._further.hand_on(asked.leg_id)
        self._tell_began(asked)
        try:
            await self._waiting.with_music(ONWARD)
            leg, result = await self._called(asked)
        except asyncio.CancelledError:
            handed.set_result(None)
            self._report(asked.refer_id, 487, "")
            self._tell(order, TransferResult(TransferEnd.CANCELLED, "bridge", 0, "the call is over"))
            raise
        except Exception as error:
            log.error("hand_on_failed", error=repr(error), exc_info=error)
            leg, result = None, TransferResult(TransferEnd.FAILED, "bridge", 0, f"{type(error).__name__}: {error}")
        if leg is None:
            await self._failed(asked, result, handed)
            return
        self._further.join(leg.leg_id)
        handed.set_result(leg.owner)
        await self._waiting.heard(ONWARD)
        self._report(asked.refer_id, 200, "")
        self._journal.entry("transfer_answered", self._loop.time(), transfer_id=order.transfer_id)
        self._tell(order, result)
        await self._further.leaves(asked.leg_id, LEAVE_S, "the next human has the caller")

    async def _called(self, asked: OnwardOrder) -> tuple[Dialled | None, TransferResult]:
        """The next one's leg, once it has answered."""
        order = asked.order

        def told(leg_id: str, fact: LegNews) -> None:
            if fact == "placed":
                self._journal.send(telling.began(self._call_id, order, leg_id))
            elif fact == "rings":
                self._waiting.play(ONWARD, RINGING)
                self._report(asked.refer_id, 180, "")
                self._journal.entry("transfer_ringing", self._loop.time(), transfer_id=order.transfer_id)

        try:
            leg = await self._further.dial(
                order.to, trunk=order.trunk, caller=order.caller, ring_s=order.ring_s, told=told,
                pressed=lambda digit: None, headers=asked.headers,
            )  # fmt: skip
        except DialRefused as refused:
            return None, TransferResult(TransferEnd.FAILED, "bridge", 0, str(refused))
        outcome = leg.outcome
        if outcome.answered:
            return leg, TransferResult(TransferEnd.TRANSFERRED, "bridge", 200, "", leg.leg_id)
        end = end_of(outcome.sip_status) if outcome.sip_status else TransferEnd.FAILED
        return None, TransferResult(end, "bridge", outcome.sip_status, outcome.text, leg.leg_id)

    async def _failed(self, asked: OnwardOrder, result: TransferResult, handed: asyncio.Future[Any]) -> None:
        """The human has the customer again; if their phone has left, whoever followed it learns that now."""
        self._tell(asked.order, result)
        self._report(asked.refer_id, max(result.sip_status, 300) if result.sip_status else 503, result.reason)
        self._further.keep(asked.leg_id)
        if not handed.done():
            handed.set_result(None)
        with suppress(asyncio.CancelledError):
            await self._waiting.heard(ONWARD)

    def _tell(self, order: TransferOrder, result: TransferResult) -> None:
        self._journal.send(telling.ended(self._call_id, order, result))
