"""Cold transfers of a leg that has no dialog with our edge: another server (LiveKit SIP) sends its REFER and tells only
what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from gateway.calls.dialling import Dialler, DialOrder, PlacedLeg
from gateway.calls.leg_owner import LegOwner
from gateway.calls.verbs import TransferOrder
from telephony.call import OutcomeKind, TransferOutcome
from telephony.errors import DialRefused
from telephony.rooms.protocol import LegAudio

__all__ = ["ReferringDialler", "TransfersItself"]

_STATUS = {OutcomeKind.ANSWERED: 200, OutcomeKind.NO_ANSWER: 408}  # of outcomes without one; all others: 503


@runtime_checkable
class TransfersItself(Protocol):
    async def transfer(self, uri: str, ring_s: float) -> TransferOutcome:
        """Returns once the outcome is known. Never raises."""


class Dials(Dialler, Protocol):
    async def refer_uri(self, call_id: str, leg_id: str, order: TransferOrder) -> str:
        """Where the order's target is. Raises DialRefused when it may not be called."""


class ReferringDialler:
    """Implements `Dialler`."""

    def __init__(self, dialler: Dials, leg: TransfersItself, report: Callable[[int, str, bool], None]) -> None:
        """`report(status, reason, over)`: what its peer has said of its call to the target."""
        self._dialler = dialler
        self._leg = leg
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self.hold: Callable[[LegOwner], None] = dialler.hold
        self.ask_queues = dialler.ask_queues

    async def dial(self, order: DialOrder, audio: LegAudio) -> PlacedLeg:
        return await self._dialler.dial(order, audio)

    async def refer(self, call_id: str, leg_id: str, order: TransferOrder, *, replaces: str = "") -> None:
        if replaces:
            raise DialRefused("not_possible", "LiveKit SIP sends no REFER with Replaces")
        uri = await self._dialler.refer_uri(call_id, leg_id, order)
        task = asyncio.create_task(self._transfer(uri, order.ring_s), name="transfer by LiveKit SIP")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def report_refer(self, refer_id: str, status: int, reason: str) -> None:
        self._dialler.report_refer(refer_id, status, reason)

    async def move_leg(self, from_leg: str, to_leg: str) -> None:
        await self._dialler.move_leg(from_leg, to_leg)

    async def _transfer(self, uri: str, ring_s: float) -> None:
        self._report(100, "Trying", False)  # no other word comes while it rings
        outcome = await self._leg.transfer(uri, ring_s)
        self._report(outcome.sip_status or _STATUS.get(outcome.kind, 503), outcome.text, True)
