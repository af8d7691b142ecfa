"""Supervision from a phone: who may dials a number, and is called back as a supervisor of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.calls.verbs import ListenOrder
from gateway.config.phones import PhonesSettings
from gateway.live_calls import LiveCall, LiveCalls
from gateway.steering import CannotSteer
from telephony.edge import InviteInfo, Refuse

__all__ = ["SupervisionByPhone"]

log = structlog.get_logger(__name__)

_CALLED_BACK_AFTER_S = 1.0  # by then the phone has ended its own call
Listen = Callable[[str, ListenOrder], Awaitable[str]]  # Steering.listen


def _answered_at(call: LiveCall) -> float:
    return 0.0 if call.answered_at is None else call.answered_at.timestamp()


class SupervisionByPhone:
    """`listen`: has a supervisor called into a call."""

    def __init__(self, phones: PhonesSettings | None, live: LiveCalls, listen: Listen) -> None:
        self._phones = phones
        self._live = live
        self._listen = listen
        self._tasks: set[asyncio.Task[None]] = set()

    def asked(self, invite: InviteInfo) -> Refuse | None:
        """The answer to a phone that dials for supervision. None: the call is another one."""
        phones = self._phones
        if phones is None or not phones.supervision or not invite.phone:
            return None
        place = invite.called.removeprefix(phones.supervision)
        if place == invite.called or (place and (len(place) > 1 or place not in "123456789")):
            return None
        phone = phones.named(invite.phone)
        if phone is None or not phone.supervises:
            return Refuse(403, "Forbidden", cause_text=f"phone {invite.phone} may not supervise calls")
        call = self._call(int(place or 1))
        if call is None:
            return Refuse(404, "No such call", cause_text="there is no answered call to supervise")
        task = asyncio.get_running_loop().create_task(self._called_back(phone.name, call.call_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Refuse(480, "You are called back", cause_text=f"supervision of call {call.call_id}")

    def _call(self, place: int) -> LiveCall | None:
        answered = [call for call in self._live if call.answered_at is not None and call.worker]
        latest = sorted(answered, key=_answered_at, reverse=True)
        return latest[place - 1] if place <= len(latest) else None

    async def _called_back(self, phone: str, call_id: str) -> None:
        await asyncio.sleep(_CALLED_BACK_AFTER_S)
        try:
            leg_id = await self._listen(call_id, ListenOrder(f"phone:{phone}"))
            log.info("supervision_by_phone", phone=phone, call_id=call_id, leg_id=leg_id)
        except CannotSteer as error:
            log.warning("supervision_not_begun", phone=phone, call_id=call_id, kind=error.kind, error=str(error))
