"""Checks whether a transfer's target or a supervisor may be called, before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.warm.asking import Refused
from gateway.calls.dialling import DialOrder
from gateway.calls.verbs import ListenOrder, TransferOrder
from gateway.config import TrunkSettings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.live_calls import LiveCall
from gateway.record import leg_id_of
from gateway.transfers.oneself import not_oneself
from gateway.transfers.targets import referred_to
from telephony.call import UseRefer
from telephony.queue import queue_name

__all__ = ["TargetsOfTrunks"]


class TargetsOfTrunks:
    """Implements `gateway.steering.TargetCheck`."""

    def __init__(
        self,
        trunks: Sequence[TrunkSettings],
        check_dial: Callable[[DialOrder], None],
        carriers: Sequence[LiveKitOutboundSettings] = (),
        check_queue: Callable[[str], object] = lambda name: None,
    ) -> None:
        """`check_dial`: whether a leg of ours may go there; raises Refused. `carriers`: of LiveKit SIP. `check_queue`:
        whether there is such a queue; raises Refused."""
        self._check_queue = check_queue
        self._trunks = tuple(trunks)
        self._carriers = tuple(carriers)
        self._check_dial = check_dial

    def transfer(self, call: LiveCall, order: TransferOrder) -> None:
        """At least one of its possible ways must be allowed."""
        if order.queue is not None:
            self._check_queue(queue_name(order.to))
            return
        for target in order.targets:
            not_oneself(call, target)
        refer = order.ways
        if refer is not UseRefer.NEVER:
            try:
                referred_to(order.to, self._trunks, customers=call.trunk, named=order.trunk, carriers=self._carriers)
                return
            except Refused:
                if refer is UseRefer.ONLY:
                    raise
        for target in order.targets:
            self._check_dial(_dial(call, target, order.trunk, order.caller))

    def listen(self, call: LiveCall, order: ListenOrder) -> None:
        self._check_dial(_dial(call, order.to, order.trunk, order.caller))


def _dial(call: LiveCall, to: str, trunk: str, caller: str) -> DialOrder:
    return DialOrder(call.call_id, leg_id_of(call.call_id, 2), to, trunk=trunk, caller=caller)
