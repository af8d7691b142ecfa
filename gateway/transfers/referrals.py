"""Calls' REFERs, on workers' requests: the target, and whether it is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.warm.asking import Refused
from gateway.config import TrunkSettings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.live_calls import LiveCalls
from gateway.transfers.oneself import not_oneself
from gateway.transfers.targets import referred_to
from telephony.errors import TelephonyMisuse

__all__ = ["ReferEdge", "Referrals"]


class ReferEdge(Protocol):
    """What we use of the edge (`telephony.edge.Edge`)."""

    def refer(self, leg_id: str, target: str) -> None: ...

    def in_place_of(self, leg_id: str) -> str: ...


class Referrals:
    def __init__(
        self,
        trunks: Sequence[TrunkSettings],
        live: LiveCalls,
        edge: ReferEdge,
        carriers: Sequence[LiveKitOutboundSettings] = (),
    ) -> None:
        """`carriers`: of LiveKit SIP."""
        self._trunks = tuple(trunks)
        self._carriers = tuple(carriers)
        self._live = live
        self._edge = edge

    async def refer(self, worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A worker's question `REFER`, answered once the request is on its way. Raises Refused."""
        call = self._live.get(str(body["call_id"]))
        if call is None or call.worker != worker:
            raise Refused("unknown_call", f"{worker} has no call {body['call_id']}")
        replaces = str(body.get("replaces", ""))
        if replaces:
            self._refer_in_place_of(str(body["leg_id"]), replaces, call.call_id)
            return {}
        not_oneself(call, str(body["to"]))
        uri = referred_to(
            str(body["to"]), self._trunks, customers=call.trunk, named=str(body["trunk"]), carriers=self._carriers
        )
        if body.get("only_uri"):
            return {"uri": uri}
        try:
            self._edge.refer(str(body["leg_id"]), uri)
        except TelephonyMisuse as error:
            raise Refused("not_possible", str(error)) from error
        return {}

    def _refer_in_place_of(self, leg_id: str, replaces: str, call_id: str) -> None:
        """To somebody whom this call has called already, so that they are open. Raises Refused."""
        leg = self._live.leg(replaces)
        if leg is None or leg.call_id != call_id:
            raise Refused("unknown_call", f"{call_id} has no leg {replaces}")
        try:
            self._edge.refer(leg_id, self._edge.in_place_of(replaces))
        except TelephonyMisuse as error:
            raise Refused("not_possible", str(error)) from error
