"""The legs of a call besides its customer's: dialled, joined with the customer, and ended.

A ringing leg is heard by nobody, and the customer is with the agent. A leg that answers talks with the customer, and
the agent hears no one and is not heard until they leave: all of it rows of the room's matrix, changed in one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.calls.dialling import Dialler, DialOrder
from gateway.calls.ends import CallState
from gateway.calls.journal import LegJournal
from gateway.calls.leg_owner import LegFact, LegOwner
from gateway.calls.media_watch import MediaWatch
from gateway.calls.session import AGENT, CUSTOMER
from gateway.record import leg_id_of
from telephony.call import CallOutcome, Leg, LegEnded, LegRole, OutcomeKind, outcome_kind
from telephony.errors import DialRefused
from telephony.rooms.protocol import Room
from telephony.rooms.routes import Rows

__all__ = ["Dialled", "FurtherLegs", "rows_of"]

log = structlog.get_logger(__name__)

PLACING_LIMIT_S = 3.0  # at the call's end, for a leg being placed at that moment


def rows_of(legs: tuple[str, ...], joined: str | None) -> Rows:
    """Who hears whom, with these further legs. Without any, everybody hears everybody else."""
    if not legs:
        return {CUSTOMER: None, AGENT: None}
    rows: dict[str, tuple[str, ...]] = dict.fromkeys(legs, ())
    if joined is None:
        return {**rows, CUSTOMER: (AGENT,), AGENT: (CUSTOMER,)}
    return {**rows, CUSTOMER: (joined,), joined: (CUSTOMER,), AGENT: ()}


@dataclass(frozen=True, slots=True)
class Dialled:
    """Implements `DialledLeg`."""

    owner: LegOwner
    outcome: CallOutcome

    @property
    def leg_id(self) -> str:
        return self.owner.leg_id

    async def ended(self) -> LegEnded:
        return await asyncio.shield(self.owner.ended)

    async def hang_up(self, reason: str = "") -> None:
        await self.owner.end(reason)


class FurtherLegs:
    """Of one call. `begin` comes first."""

    def __init__(
        self,
        call_id: str,
        dialler: Dialler | None,
        tell: Callable[[LegOwner, LegFact], None],
        send: Callable[[dict[str, Any]], None],
        watch: Callable[[Leg], MediaWatch],
    ) -> None:
        """`dialler` None: no further legs for this call. `send` takes the records of legs that this worker holds;
        `watch` makes their media watches."""
        self._call_id = call_id
        self._dialler = dialler
        self._tell = tell
        self._send = send
        self._watch = watch
        self._room: Room | None = None
        self._owners: dict[str, LegOwner] = {}
        self._placing: set[asyncio.Task[LegOwner]] = set()
        self._joined: str | None = None
        self._last = 1  # the number of the customer's leg
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, room: Room | None) -> None:
        """`room` None: further legs are not possible."""
        self._room = room

    @property
    def state(self) -> CallState:
        """Whether the call is answered and in progress."""
        if self._joined is not None:
            return CallState.JOINED
        return CallState.DIALLING if self._owners or self._placing else CallState.WITH_AGENT

    # --- dialling ------------------------------------------------------------------------------------------------

    async def dial(self, to: str, *, trunk: str = "", caller: str = "", ring_s: float = 30.0) -> Dialled:
        """As `Dials.dial`."""
        room, dialler = self._room, self._dialler
        if room is None or dialler is None or self._over:
            raise DialRefused("no_room", "the call has ended" if self._over else "its room accepts no further legs")
        self._last += 1
        leg_id = leg_id_of(self._call_id, self._last)
        order = DialOrder(self._call_id, leg_id, to, LegRole.HUMAN, trunk, caller, ring_s)
        task = asyncio.create_task(self._place(order, room, dialler), name=f"place {leg_id}")
        self._placing.add(task)
        task.add_done_callback(self._placed)
        owner = await asyncio.shield(task)  # giving up the wait must not leave a leg without its owner
        answered = asyncio.create_task(owner.acknowledged.wait())
        either: list[asyncio.Future[Any]] = [answered, owner.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._end(owner, "no longer awaited")
            raise
        finally:
            answered.cancel()
        return Dialled(owner, _outcome(owner))

    def _placed(self, task: asyncio.Task[LegOwner]) -> None:
        self._placing.discard(task)
        if not task.cancelled():
            task.exception()  # its waiter is told, if there still is one

    async def _place(self, order: DialOrder, room: Room, dialler: Dialler) -> LegOwner:
        audio = room.add_leg(order.leg_id)
        legs = (*self._owners, order.leg_id)
        await room.route(rows_of(legs, self._joined))
        try:
            placed = await dialler.dial(order, audio)
        except BaseException:
            room.remove(order.leg_id)
            await self._route()
            raise
        now = asyncio.get_running_loop().time
        if placed.elsewhere:
            owner = LegOwner(placed.leg, order.role, LegJournal(order.leg_id, now), self._tell)
        else:
            journal = LegJournal(order.leg_id, now, order.call_id, self._send)
            owner = LegOwner(placed.leg, order.role, journal, self._tell, self._watch(placed.leg))
            dialler.hold(owner)
        self._owners[order.leg_id] = owner
        owner.follow()
        if self._over:
            self._end(owner, "its call is over")
        return owner

    # --- what happens to them ------------------------------------------------------------------------------------

    def answered(self, owner: LegOwner) -> None:
        """The first to answer is joined with the customer."""
        if self._joined is not None:
            self._end(owner, "another leg has answered")
            return
        self._joined = owner.leg_id
        owner.watch_media()
        self._reroute()

    def failed(self, owner: LegOwner, reason: str) -> None:
        self._end(owner, reason)

    def back_to_agent(self) -> None:
        self._joined = None
        self._reroute()

    def gone(self, owner: LegOwner) -> None:
        """It has ended: its place in the room is free."""
        self._owners.pop(owner.leg_id, None)
        owner.close()
        if self._room is not None:
            self._room.remove(owner.leg_id)
        self._reroute()

    # --- their end -----------------------------------------------------------------------------------------------

    def cancel_ringing(self) -> None:
        for owner in self._owners.values():
            if not owner.acknowledged.is_set():
                self._end(owner, "the call is over")

    async def dismiss(self, reason: str) -> None:
        """End all of them; the customer is back with the agent. Never raises."""
        await asyncio.gather(*(owner.end(reason) for owner in tuple(self._owners.values())))

    async def end(self, reason: str) -> None:
        """End all of the call's further legs, including those being placed. Never raises."""
        self._over = True
        if self._placing:
            await asyncio.wait(self._placing, timeout=PLACING_LIMIT_S)
        await asyncio.gather(*(owner.end(reason) for owner in tuple(self._owners.values())))
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _end(self, owner: LegOwner, reason: str) -> None:
        self._spawn(owner.end(reason))

    def _reroute(self) -> None:
        if not self._over:
            self._spawn(self._route())

    async def _route(self) -> None:
        if self._room is not None:
            await self._room.route(rows_of(tuple(self._owners), self._joined))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _outcome(owner: LegOwner) -> CallOutcome:
    if owner.acknowledged.is_set():
        return CallOutcome(OutcomeKind.ANSWERED, 200, "OK")
    ended = owner.ended.result()
    kind = outcome_kind(ended.sip_status, cause=ended.cause)
    return CallOutcome(kind, ended.sip_status, ended.reason, cause=ended.cause)
