"""Further legs of calls, on workers' requests: over which trunk, to where, and in which worker.

Nothing rings before everything is decided. Refusals have a kind that programs can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from agent.warm.asking import AskError, Refused
from gateway.calls.dialling import PLACE, DialOrder, LegPlan
from gateway.dispatch import Dispatcher, SlotTaken
from gateway.live_calls import LiveCalls
from gateway.outbound.choosing import TrunkWay
from gateway.outbound.trunks import OutboundTrunks
from gateway.phones.calling import PhoneCalls
from gateway.record import LegClosed, LegOpened, Outcome, RecordMessage
from gateway.transfers.oneself import not_oneself
from telephony.call import CallInfo, Direction, EndedBy, LegRole
from telephony.edge import FAIL_OVER_ON, Dial, WorkerAddress
from telephony.errors import TelephonyMisuse
from telephony.keys import KeyTerms
from telephony.sip.resolving import Place

__all__ = ["DialEdge", "LegDialling"]

log = structlog.get_logger(__name__)

PLACE_LIMIT_S = 3.0  # for another worker to take the place in the call's room and send the INVITE
MOST_RING_S = 120.0
MOST_WAIT_S = 2.0  # for a trunk to be free: the asking worker does not wait longer

AskWorker = Callable[..., Awaitable[Mapping[str, Any]]]  # as `Supervisor.ask`


class DialEdge(Protocol):
    """What we use of the edge (`telephony.edge.Edge`)."""

    @property
    def worker_address(self) -> tuple[str, int]: ...

    def allow_dial(self, dial: Dial) -> None: ...

    def trunk_places(self, trunk: str) -> tuple[Place, ...]: ...

    def trunk_is_well(self, trunk: str) -> bool: ...


class LegDialling:
    def __init__(
        self,
        trunks: OutboundTrunks,
        live: LiveCalls,
        dispatcher: Dispatcher,
        record: Callable[[RecordMessage], None],
        *,
        draining: Callable[[], bool],
        key_terms: Callable[[Sequence[str]], KeyTerms] = lambda _: KeyTerms(),
        phones: PhoneCalls | None = None,
    ) -> None:
        """`key_terms`: of a leg that may go over any of these trunks. `phones`: calls to registered ones; None: there
        are none."""
        self._phones = phones
        self._key_terms = key_terms
        self._trunks = trunks
        self._live = live
        self._dispatcher = dispatcher
        self._record = record
        self._draining = draining

    def connect(self, edge: DialEdge, ask: AskWorker, public_address: str) -> None:
        """Once, before anybody asks. `public_address`: ours, where calls come from."""
        self._edge = edge
        self._ask = ask
        self._public_address = public_address

    async def dial(self, worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A worker's question `DIAL`. The answer says whether it is to place the leg itself (`here`), and how. Raises
        Refused."""
        try:
            order = DialOrder.from_dict(body)
            ticket = dict(body["ticket"])
        except (KeyError, TypeError, ValueError) as error:
            raise Refused("failed", f"the order cannot be read: {error!r}") from error
        self._check_call(order, worker)
        slot, ways = await self.take(order, prefer=worker, most_wait_s=MOST_WAIT_S)
        if self._live.get(order.call_id) is None:
            self._dispatcher.release(slot.leg_id)
            raise Refused("unknown_call", f"call {order.call_id} has ended")
        plan = self.allow(order, ways, slot)
        self._record(_opened(plan, slot.worker))
        trunk = plan.info.trunk
        log.info("leg_dialled", call_id=order.call_id, leg_id=order.leg_id, trunk=trunk, worker=slot.worker)
        here = slot.worker == worker
        if not here:
            await self._placed(plan, slot.worker, ticket)
        return {"here": here, "plan": plan.to_dict()}

    def _check_call(self, order: DialOrder, worker: str) -> None:
        if self._draining():
            raise Refused("draining", "the gateway is shutting down")
        call = self._live.get(order.call_id)
        if call is None or call.worker != worker:
            raise Refused("unknown_call", f"{worker} has no call {order.call_id}")
        if order.role is LegRole.HUMAN:
            not_oneself(call, order.to)
        if self._live.leg(order.leg_id) is not None:
            raise Refused("failed", f"leg {order.leg_id} exists already")

    async def take(
        self,
        order: DialOrder,
        *,
        prefer: str = "",
        most_wait_s: float = math.inf,
        variables: Mapping[str, str] | None = None,
    ) -> tuple[SlotTaken, tuple[TrunkWay, ...]]:
        """A slot, and the ways that the call may go: over the trunk that it was taken for, then over the others. Raises
        Refused."""
        ways = self._ways(order, variables)
        known = tuple(way for way in ways if self._places(way))
        if not known:
            hosts = ", ".join(f'"{way.trunk.name}"' for way in ways)
            raise Refused("no_trunk", f"no host of trunk {hosts} can be reached", retryable=True)
        known = tuple(sorted(known, key=lambda way: not self._edge.trunk_is_well(way.trunk.name)))
        names = tuple(way.trunk.name for way in known)
        trunk, slot = await self._trunks.queue.take(
            order.call_id, order.leg_id, names, prefer=prefer, most_s=most_wait_s
        )  # fmt: skip
        return slot, tuple(sorted(known, key=lambda way: way.trunk.name != trunk))

    def _ways(self, order: DialOrder, variables: Mapping[str, str] | None = None) -> tuple[TrunkWay, ...]:
        """Raises Refused."""
        phones = self._phones
        if phones is None or phones.name_of(order.to) is None:
            return self._trunks.choice.ways(order, self._public_address, variables)
        call = self._live.get(order.call_id)
        if not order.caller and call is not None and order.role is not LegRole.CUSTOMER:
            order = replace(order, caller=call.caller or "")  # whom they will talk to
        return phones.ways(order, self._public_address, {})

    def _places(self, way: TrunkWay) -> tuple[Place, ...]:
        return (way.place,) if way.place is not None else self._edge.trunk_places(way.trunk.name)

    def check(self, order: DialOrder) -> None:
        """Check whether it may go anywhere. Raises Refused."""
        if self._phones is not None and self._phones.name_of(order.to) is not None:
            self._phones.check(order)
            return
        self._trunks.choice.ways(order, self._public_address)

    def allow(self, order: DialOrder, ways: Sequence[TrunkWay], slot: SlotTaken) -> LegPlan:
        """Allow the leg at the edge. Raises Refused, with the slot released."""
        dials = [self._dial(order, way, slot) for way in ways]
        try:
            self._edge.allow_dial(replace(dials[0], then=tuple(dials[1:])))
        except TelephonyMisuse as error:
            self._dispatcher.release(slot.leg_id)
            raise Refused("no_trunk", str(error)) from error
        self._trunks.remember(order.leg_id, {way.trunk.name: way.caller for way in ways})
        first = ways[0]
        info = CallInfo(order.call_id, Direction.OUTBOUND, order.to, first.caller or None, first.trunk.name)
        sources = (f"{place.ip}/{128 if ':' in place.ip else 32}" for way in ways for place in _devices(way))
        trunks = (network for way in ways for network in way.trunk.media_sources)
        networks = tuple(dict.fromkeys((*trunks, *sources)))
        keys = self._key_terms([way.trunk.name for way in ways])
        return LegPlan(order.leg_id, order.role, info, self._edge.worker_address, networks, keys=keys)

    def _dial(self, order: DialOrder, way: TrunkWay, slot: SlotTaken) -> Dial:
        out, places = way.trunk.outbound, self._places(way)
        assert out is not None, "it was chosen by it"
        return Dial(
            order.leg_id,
            WorkerAddress(slot.worker, "127.0.0.1", slot.sip_port),
            way.trunk.name,
            way.uri,
            way.sender,
            places[0].ip,
            places[0].port,
            places[0].transport,
            min(max(order.ring_limit_s, 1.0), MOST_RING_S),
            others=places[1:],
            answer_s=out.answer_s,
            fail_over_on=FAIL_OVER_ON | {480} if out.fail_over_on_480 else FAIL_OVER_ON,
            headers=(*way.headers, *order.headers.items()),
            besides=way.besides,
            routes=way.routes,
            name=places[0].name,
            follow=order.role is LegRole.CUSTOMER or way.trunk.transfers.follow_redirects,
        )

    async def _placed(self, plan: LegPlan, worker: str, ticket: Mapping[str, Any]) -> None:
        """Placed in a worker other than its call's."""
        try:
            await self._ask(worker, PLACE, {"plan": plan.to_dict(), "ticket": ticket}, timeout_s=PLACE_LIMIT_S)
        except AskError as error:
            log.warning("leg_not_placed", leg_id=plan.leg_id, worker=worker, error=str(error))
            closed = LegClosed(
                leg_id=plan.leg_id, call_id=plan.info.call_id, outcome=Outcome.FAILED, ended_at=datetime.now(UTC),
                end_reason=str(error), ended_by=EndedBy.SYSTEM,
            )  # fmt: skip
            self._record(closed)
            raise Refused("failed", f"worker {worker} could not place the leg: {error}", retryable=True) from error


def _devices(way: TrunkWay) -> Iterator[Place]:
    """Those that it names itself: the audio of registered phones may come from wherever they are."""
    yield from (place for place in (way.place, *(fork.place for fork in way.besides)) if place is not None)


def _opened(plan: LegPlan, worker: str) -> LegOpened:
    info = plan.info
    return LegOpened(
        leg_id=plan.leg_id,
        call_id=info.call_id,
        role=plan.role,
        direction=info.direction,
        trunk=info.trunk,
        called=info.called,
        caller=info.caller,
        started_at=datetime.now(UTC),
        worker=worker,
    )
