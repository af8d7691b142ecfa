"""Further legs of calls, for the workers that ask: over which trunk, to where, and in which worker.

Nothing rings before everything is decided. Refusals have a kind that programs can tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from agent.warm.asking import AskError, Refused
from gateway.calls.dialling import PLACE, DialOrder, LegPlan
from gateway.config import TrunkSettings
from gateway.dispatch import Dispatcher, SlotTaken
from gateway.live_calls import LiveCalls
from gateway.record import LegClosed, LegOpened, Outcome, RecordMessage
from telephony.call import CallInfo, Direction, EndedBy
from telephony.edge import FAIL_OVER_ON, Dial, WorkerAddress
from telephony.errors import TelephonyMisuse
from telephony.sip.resolving import Place

__all__ = ["DialEdge", "LegDialling"]

log = structlog.get_logger(__name__)

PLACE_LIMIT_S = 3.0  # for another worker to take the place in the call's room and send the INVITE
MOST_RING_S = 120.0
_NUMBER = re.compile(r"\+?[0-9]{1,20}")

AskWorker = Callable[..., Awaitable[Mapping[str, Any]]]  # as `Supervisor.ask`


class DialEdge(Protocol):
    """What we use of the edge (`telephony.edge.Edge`)."""

    @property
    def worker_address(self) -> tuple[str, int]: ...

    def allow_dial(self, dial: Dial) -> None: ...

    def trunk_places(self, trunk: str) -> tuple[Place, ...]: ...


class LegDialling:
    def __init__(
        self,
        trunks: tuple[TrunkSettings, ...],
        live: LiveCalls,
        dispatcher: Dispatcher,
        record: Callable[[RecordMessage], None],
        *,
        now: Callable[[], float],
        draining: Callable[[], bool],
    ) -> None:
        """`now`: the loop clock in seconds."""
        self._trunks = trunks
        self._live = live
        self._dispatcher = dispatcher
        self._record = record
        self._now = now
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
        trunk = self.trunk_for(order)
        slot = self._dispatcher.take(order.call_id, self._now(), leg_id=order.leg_id, prefer=worker)
        if slot is None:
            raise Refused("no_slot", f"all {self._dispatcher.total} call slots are taken", retryable=True)
        plan = self.allow(order, trunk, slot)
        self._record(_opened(plan, slot.worker))
        log.info("leg_dialled", call_id=order.call_id, leg_id=order.leg_id, trunk=trunk.name, worker=slot.worker)
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
        if self._live.leg(order.leg_id) is not None:
            raise Refused("failed", f"there is a leg {order.leg_id} already")

    def trunk_for(self, order: DialOrder) -> TrunkSettings:
        """The named trunk, or the first that may call there. Raises Refused."""
        for number in (order.to, *([order.caller] if order.caller else [])):
            if not _NUMBER.fullmatch(number):
                raise Refused("closed_destination", f"{number!r} is not a telephone number")
        named = [trunk for trunk in self._trunks if trunk.outbound and order.trunk in ("", trunk.name)]
        if not named:
            which = f'trunk "{order.trunk}"' if order.trunk else "no trunk"
            raise Refused("no_trunk", f"{which} places no calls (sip.trunks[].outbound)")
        for trunk in named:
            if trunk.outbound and any(order.to.startswith(each) for each in trunk.outbound.destinations):
                return trunk
        raise Refused("closed_destination", f"{order.to} is not among the destinations of any trunk it may go over")

    def allow(self, order: DialOrder, trunk: TrunkSettings, slot: SlotTaken) -> LegPlan:
        """Have the edge let the leg through. Raises Refused, with the slot given back."""
        out = trunk.outbound
        assert out is not None, "it was chosen by it"
        caller = order.caller or out.caller
        places = self._edge.trunk_places(trunk.name)
        if not places:
            self._dispatcher.release(slot.leg_id)
            raise Refused("no_trunk", f'no host of trunk "{trunk.name}" can be reached: {out.host}', retryable=True)
        host = out.host if out.port is None else f"{out.host}:{out.port}"
        fail_over_on = FAIL_OVER_ON | {480} if out.fail_over_on_480 else FAIL_OVER_ON
        dial = Dial(
            order.leg_id,
            WorkerAddress(slot.worker, "127.0.0.1", slot.sip_port),
            trunk.name,
            f"sip:{order.to}@{host}" + (";transport=tcp" if out.transport == "tcp" else ""),
            f"sip:{caller or 'anonymous'}@{self._public_address}",
            places[0].ip,
            places[0].port,
            "udp" if places[0].transport == "udp" else "tcp",
            min(max(order.ring_limit_s, 1.0), MOST_RING_S),
            others=places[1:],
            answer_s=out.answer_s,
            fail_over_on=fail_over_on,
        )
        try:
            self._edge.allow_dial(dial)
        except TelephonyMisuse as error:
            self._dispatcher.release(slot.leg_id)
            raise Refused("no_trunk", str(error)) from error
        info = CallInfo(order.call_id, Direction.OUTBOUND, order.to, caller or None, trunk.name)
        return LegPlan(order.leg_id, order.role, info, self._edge.worker_address, trunk.media_sources)

    async def _placed(self, plan: LegPlan, worker: str, ticket: Mapping[str, Any]) -> None:
        """In another worker than its call's."""
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
