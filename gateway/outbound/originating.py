"""Places calls: mistakes are found before anything rings, then a worker gets the call. A trunk with room and a slot are
taken in one step (`caps.TrunkQueue`), so no two calls share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from agent.warm.asking import AskError, Refused
from gateway.after_call import AfterCalls
from gateway.calls.dialling import INVALID_VARIABLE, ORIGINATE, DialOrder, LegPlan
from gateway.config import Settings
from gateway.control import Prepare
from gateway.dialling import LegDialling
from gateway.dialplan import Dialplan, OutboundPersona
from gateway.dialplan.numbers import is_possible
from gateway.dispatch import Dispatcher, SlotTaken
from gateway.live_calls import LiveCalls
from gateway.outbound.answering import ordered_answering
from gateway.outbound.carriers import NO_WAY, carrier_for, carrier_plan
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.phones.registered import phone_name
from gateway.record import CallClosed, CallOpened, CallRecord, Outcome, RecordMessage, leg_id_of, record_of_opened
from telephony.call import Direction, EndedBy, LegRole

__all__ = ["FakeOriginator", "Origination", "Originator"]

log = structlog.get_logger(__name__)

_WORKER_LIMIT_S = 3.0  # to take the call


class Originator(Protocol):
    async def place(self, order: CallOrder, call_id: str) -> CallRecord:
        """The call's initial record; a worker is about to send its INVITE. Raises OrderRefused."""


class FakeOriginator:
    """Notes orders. `error` is raised when set."""

    def __init__(self) -> None:
        self.orders: list[CallOrder] = []
        self.error: OrderRefused | None = None

    async def place(self, order: CallOrder, call_id: str) -> CallRecord:
        if self.error is not None:
            raise self.error
        self.orders.append(order)
        return CallRecord(
            call_id=call_id,
            direction=Direction.OUTBOUND,
            trunk=order.trunk or "lab",
            called=order.to,
            caller=order.from_,
            started_at=datetime.now(UTC),
            persona=order.persona,
        )


class Origination:
    """Implements `Originator`."""

    def __init__(
        self,
        settings: Settings,
        dialplan: Dialplan,
        live: LiveCalls,
        dispatcher: Dispatcher,
        dialling: LegDialling,
        record: Callable[[RecordMessage], None],
        ask: Callable[..., Awaitable[Mapping[str, Any]]],
        *,
        draining: Callable[[], bool],
    ) -> None:
        """`ask`: as `Supervisor.ask`."""
        self._settings = settings
        self._dialplan = dialplan
        self._after_calls = AfterCalls(settings, dialplan)
        self._live = live
        self._dispatcher = dispatcher
        self._dialling = dialling
        self._record = record
        self._ask = ask
        self._draining = draining

    async def place(self, order: CallOrder, call_id: str, ours: OutboundPersona | None = None) -> CallRecord:
        """`ours`: a persona of the gateway's own, which no dialplan lists and which may call any target."""
        persona = ours if ours is not None else self._checked(order)
        answering = await ordered_answering(order, persona.options.answering, self._settings.answering)
        dial = DialOrder(
            call_id, leg_id_of(call_id), order.to, LegRole.CUSTOMER, order.trunk or "", order.from_ or "",
            order.ring_timeout_s, order.private,
        )  # fmt: skip
        try:
            plan, slot = await self._taken(dial, order.variables)
        except Refused as refused:
            text = f"{refused.text[:1].upper()}{refused.text[1:]}."
            raise OrderRefused(refused.kind, text, retryable=refused.retryable) from None
        plan = replace(plan, info=replace(plan.info, variables=dict(order.variables)))
        opened = CallOpened.of(
            plan.info, started_at=datetime.now(UTC), persona=order.persona, rule=persona.where, worker=slot.worker
        )
        self._record(opened)
        log.info("call_placed", call_id=call_id, called=order.to, persona=order.persona, worker=slot.worker)
        await self._given_to(slot.worker, plan, self._prepared(order, persona, plan, answering))
        return record_of_opened(opened)

    async def _taken(self, dial: DialOrder, variables: Mapping[str, str]) -> tuple[LegPlan, SlotTaken]:
        """A slot, and how its worker places the call: over our trunks, else over a LiveKit SIP carrier. Raises
        Refused."""
        try:
            slot, ways = await self._dialling.take(dial, variables=variables)
        except Refused as refused:
            carrier = carrier_for(self._settings, dial) if refused.kind in NO_WAY and not refused.retryable else None
            if carrier is None:
                raise
            return carrier_plan(dial, carrier), self._slot(dial.call_id)
        if self._draining():
            self._dispatcher.release(slot.leg_id)
            raise Refused("draining", "the gateway is shutting down", retryable=True)
        return self._dialling.allow(dial, ways, slot), slot

    def _slot(self, call_id: str) -> SlotTaken:
        slot = self._dispatcher.take(call_id, asyncio.get_running_loop().time())
        if slot is None:
            raise Refused("no_slot", f"all {self._dispatcher.total} call slots are taken", retryable=True)
        return slot

    def _checked(self, order: CallOrder) -> OutboundPersona:
        if self._draining():
            raise OrderRefused("draining", "The gateway is shutting down.", retryable=True)
        persona = self._dialplan.outbound_persona(order.persona)
        if persona is None:
            known = ", ".join(str(each.persona) for each in self._dialplan.outbound) or "none"
            raise OrderRefused(
                "unknown_persona", f"No dialplan lists {order.persona} under `outbound`; there are: {known}."
            )
        if phone_name(order.to) is None and not is_possible(order.to):
            raise OrderRefused("invalid_number", f"{order.to} cannot be a telephone number.")
        return persona

    def _prepared(
        self, order: CallOrder, persona: OutboundPersona, plan: LegPlan, answering: Mapping[str, Any] | None
    ) -> Prepare:
        options = persona.options
        record = options.recording if options.recording is not None else self._settings.record_calls
        name = f"{datetime.now(UTC):%Y-%m-%d}/{plan.info.call_id}.wav"
        if record and (call := self._live.get(plan.info.call_id)) is not None:
            call.recording = name
        session = dict(options.session)
        if order.max_call_s is not None:
            session["max_call_s"] = order.max_call_s
        return Prepare(
            leg_id=plan.leg_id,
            call=asdict(plan.info),
            persona_file=str(persona.persona.file),
            persona_class=persona.persona.name,
            rule=persona.where,
            recording=str((self._settings.recordings / name).resolve()) if record else "",
            session=session,
            speech=dict(options.speech),
            media_networks=list(plan.media_networks),
            summary=self._after_calls.author(persona.where, str(persona.persona)),
            answering=answering,
            extension=order.extension or "",
        )

    async def _given_to(self, worker: str, plan: LegPlan, prepared: Prepare) -> None:
        """Raises OrderRefused, with the call's record closed."""
        try:
            body = {"prepare": asdict(prepared), "plan": plan.to_dict()}
            await self._ask(worker, ORIGINATE, body, timeout_s=_WORKER_LIMIT_S)
        except AskError as error:
            log.warning("call_not_placed", call_id=plan.info.call_id, worker=worker, error=str(error))
            closed = CallClosed(
                call_id=plan.info.call_id, outcome=Outcome.FAILED, ended_by=EndedBy.SYSTEM,
                ended_at=datetime.now(UTC), end_reason=f"its worker did not take it: {error}",
            )  # fmt: skip
            self._record(closed)
            if isinstance(error, Refused) and error.kind == INVALID_VARIABLE:
                raise OrderRefused(error.kind, error.text) from None
            raise OrderRefused("failed", "The call worker did not take the call.", retryable=True) from error
