"""One running transfer: carries out its machine's decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from gateway.calls.verbs import TransferOrder
from gateway.transfers import telling
from gateway.transfers.machine import TransferMachine
from gateway.transfers.table import Do, TransferState
from telephony.call import AfterTransfer, DialledLeg, TransferEnd, TransferResult
from telephony.errors import DialRefused

__all__ = ["Transfer", "TransferSide"]

log = structlog.get_logger(__name__)


class TransferSide(Protocol):
    """A transfer's view of its call."""

    async def set_aside(self, announce: str) -> None:
        """The agent finishes speaking and says `announce`; then the customer hears ringing or music."""

    def rings(self) -> None:
        """The customer hears the target ring from now on."""

    async def refer(self, order: TransferOrder) -> None:
        """Ask the customer's side. Raises DialRefused."""

    async def dial(self, order: TransferOrder, began: Callable[[str], None], rings: Callable[[], None]) -> DialledLeg:
        """Place a leg to the target, which is joined with the customer when it answers. Calls `began(leg_id)` and
        `rings()`. If this is cancelled, the leg is ended. Raises DialRefused."""

    def joined_now(self) -> None:
        """The target has answered, and the customer talks with somebody."""

    def back(self, result: TransferResult) -> None:
        """The customer is back with the agent."""

    def end_call(self, reason: str, *, by_target: bool) -> None: ...

    def note(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Add an event to the call."""

    def send(self, body: dict[str, Any]) -> None:
        """For the record."""


class Transfer:
    """`run` returns once the transfer and the target's leg are over; `result` is available earlier. Facts arrive by
    `refer_answered`, `refer_notified`, `customer_gone` and `call_ends`."""

    def __init__(self, call_id: str, order: TransferOrder, side: TransferSide) -> None:
        self.order = order
        self._call_id = call_id
        self._side = side
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[TransferResult] = self._loop.create_future()
        self.away: asyncio.Future[None] = self._loop.create_future()  # the customer is the agent's again, or gone
        self._machine: TransferMachine | None = None
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._calling: asyncio.Task[None] | None = None

    @property
    def joined(self) -> bool:
        return self._machine is not None and self._machine.state is TransferState.JOINED

    async def run(self) -> None:
        self._side.send(telling.began(self._call_id, self.order))
        try:
            await self._begin()
            await self._over.wait()
        finally:
            self._stop()

    async def _begin(self) -> None:
        await self._side.set_aside(self.order.announce)
        if self._over.is_set():
            return
        machine = self._machine = TransferMachine(self.order.ways, self.order.ring_s, self._now)
        if machine.state is TransferState.CALLING:
            self._perform((Do.CALL,))
            return
        self._set_timer()
        try:
            await self._side.refer(self.order)
        except DialRefused as refused:
            self._perform(machine.answered(0, f"no REFER was sent: {refused}", self._now))

    @property
    def _now(self) -> float:
        return self._loop.time()

    # --- what happens ------------------------------------------------------------------------------------------------

    def refer_answered(self, status: int, reason: str) -> None:
        if self._machine is not None:
            self._perform(self._machine.answered(status, reason, self._now))

    def refer_notified(self, status: int, reason: str, *, over: bool) -> None:
        if self._machine is not None:
            self._perform(self._machine.notified(status, reason, self._now, over=over))

    def customer_gone(self) -> None:
        if self._machine is None:
            self._never_begun("the customer hung up")
        else:
            self._perform(self._machine.customer_gone(self._now))

    def call_ends(self, reason: str) -> None:
        if self._machine is None:
            self._never_begun(reason)
        else:
            self._perform(self._machine.call_ends(reason, self._now))

    def fault(self, reason: str) -> None:
        """Our own fault: the transfer is given up."""
        if self._machine is None:
            self._never_begun(reason, TransferEnd.FAILED)
        else:
            self._perform(self._machine.fault(reason, self._now))

    def _never_begun(self, reason: str, end: TransferEnd = TransferEnd.CANCELLED) -> None:
        self._tell_end(TransferResult(end, "", 0, reason))
        self._over.set()

    def _due(self) -> None:
        if self._machine is not None:
            self._perform(self._machine.due(self._now))

    async def _call(self, machine: TransferMachine) -> None:
        began: list[str] = []

        def note_leg(leg_id: str) -> None:
            began.append(leg_id)
            self._side.send(telling.began(self._call_id, self.order, leg_id))

        def rings() -> None:
            self._perform(machine.rings(self._now))

        try:
            leg = await self._side.dial(self.order, note_leg, rings)
        except DialRefused as refused:
            self._perform(machine.not_reached(0, str(refused), "".join(began), self._now))
            return
        except Exception as error:
            log.error("leg_not_placed", target=self.order.to, error=repr(error), exc_info=error)
            why = f"{type(error).__name__}: {error}"
            self._perform(machine.not_reached(0, why, "".join(began), self._now))
            return
        outcome = leg.outcome
        if not outcome.answered:
            self._perform(machine.not_reached(outcome.sip_status, outcome.text, leg.leg_id, self._now))
            return
        self._perform(machine.answers(leg.leg_id, self._now))
        try:
            ended = await leg.ended()
        except asyncio.CancelledError:
            await leg.hang_up("the transfer is over")
            raise
        self._perform(machine.leaves(self._now, lost=ended.lost or not ended.by_peer))

    # --- what to do --------------------------------------------------------------------------------------------------

    def _perform(self, actions: tuple[Do, ...]) -> None:
        machine = self._machine
        assert machine is not None, "actions come from it"
        for action in actions:
            log.info("transfer", transfer_id=self.order.transfer_id, state=machine.state.value, do=action.value)
            self._do(action, machine)
        self._set_timer()
        if machine.over:
            if not self.away.done():
                self.away.set_result(None)
            self._over.set()

    def _do(self, action: Do, machine: TransferMachine) -> None:
        side = self._side
        match action:
            case Do.CALL:
                self._calling = asyncio.create_task(self._call(machine), name="call the transfer's target")
            case Do.TELL_RINGING:
                side.rings()
                side.note("transfer_ringing", {"transfer_id": self.order.transfer_id})
            case Do.TELL_ANSWERED:
                side.joined_now()
                side.note("transfer_answered", {"transfer_id": self.order.transfer_id})
            case Do.TELL_COMPLETED | Do.TELL_FAILED if machine.result is not None:
                self._tell_end(machine.result)
            case Do.DROP if self._calling is not None:
                self._calling.cancel()
            case Do.BACK:
                side.back(self._back_with(machine))
            case Do.AFTERWARDS if self.order.afterwards is AfterTransfer.AGENT:
                side.back(self._back_with(machine))
            case Do.AFTERWARDS:
                side.end_call("the transfer's target hung up", by_target=True)
            case Do.END_CALL:
                side.end_call("transferred", by_target=False)
            case _:
                pass

    @staticmethod
    def _back_with(machine: TransferMachine) -> TransferResult:
        assert machine.result is not None, "back only with one"
        return machine.result

    def _tell_end(self, result: TransferResult) -> None:
        if self.result.done():
            return
        self.result.set_result(result)
        self._side.send(telling.ended(self._call_id, self.order, result))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = None if self._machine is None else self._machine.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._due)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._calling is not None:
            self._calling.cancel()

    def close(self) -> None:
        """Tells whoever still waits for its result that there will be none."""
        for future in (self.result, self.away):
            future.cancel()
