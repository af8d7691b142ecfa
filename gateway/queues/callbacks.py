"""Callbacks: the member is called and then the person who asked for it, or the other way round."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.config import QueueSettings
from gateway.dialplan.model import Options, OutboundPersona, PersonaRef
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.queues.model import CallBack, Member, Waiting
from gateway.queues.personas_of_ours import OURS
from gateway.record import CallRecord

__all__ = ["CallbackCalls"]

log = structlog.get_logger(__name__)


class PlacesCalls(Protocol):
    async def place(self, order: CallOrder, call_id: str, ours: OutboundPersona | None = None) -> CallRecord:
        """Raises OrderRefused."""


class CallbackCalls:
    """Places the first call of a callback; the persona in it does the rest, and tells the queues what comes of it."""

    def __init__(self, places: PlacesCalls, began: Callable[[str, CallBack], None]) -> None:
        """`began(call id, callback)` is told before anything rings."""
        self._places = places
        self._began = began

    async def call(self, back: CallBack, waiting: Waiting, member: Member, queue: QueueSettings) -> bool:
        """False: nobody was called."""
        call_id = secrets.token_hex(8)
        self._began(call_id, back)
        variables = {
            "queue": waiting.queue,
            "callback": back.call_id,
            "number": back.to,
            "language": queue.language,
        }
        persona = "CallbackToMember" if back.member_first else "CallbackToCaller"
        order = CallOrder.model_construct(
            to=member.target if back.member_first else back.to, persona=f"{OURS.stem}.{persona}", variables=variables,
            ring_timeout_s=queue.ring_s if back.member_first else 30.0,
        )  # fmt: skip
        ours = OutboundPersona(PersonaRef(OURS, persona), Options(), f"queue {waiting.queue}")
        try:
            await self._places.place(order, call_id, ours)
        except OrderRefused as refused:
            log.warning("callback_not_placed", callback=back.call_id, kind=refused.kind, error=str(refused))
            return False
        return True
