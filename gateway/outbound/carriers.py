"""Which carrier of LiveKit SIP a call may go over. Pure."""

from __future__ import annotations

from agent.warm.asking import Refused
from gateway.calls.dialling import DialOrder, LegPlan
from gateway.config import Settings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.outbound.destinations import emergency, not_among
from telephony.call import CallInfo, Direction

__all__ = ["NO_WAY", "carrier_for", "carrier_plan", "carriers_of"]

NO_WAY = frozenset({"no_trunk", "closed_destination"})  # refusals by our trunks after which carriers are tried
MOST_RING_S = 70.0  # LiveKit server waits 80 s at most


def carriers_of(settings: Settings) -> tuple[LiveKitOutboundSettings, ...]:
    """That the gateway's own calls may go over: LiveKit SIP dials into LiveKit rooms only."""
    return settings.livekit.outbound if settings.livekit is not None and settings.rooms == "livekit" else ()


def carrier_for(settings: Settings, order: DialOrder) -> LiveKitOutboundSettings | None:
    """The named one, or the first that may call there; None: there is none. Raises Refused if the named one may not."""
    for carrier in carriers_of(settings):
        if order.trunk not in ("", carrier.name):
            continue
        refused = _refused(order, carrier)
        if refused is None:
            return carrier
        if order.trunk:
            raise refused
    return None


def carrier_plan(order: DialOrder, carrier: LiveKitOutboundSettings) -> LegPlan:
    caller = order.caller or carrier.numbers[0]
    info = CallInfo(order.call_id, Direction.OUTBOUND, order.to, caller, carrier.name)
    limit_s = min(max(order.ring_limit_s, 1.0), MOST_RING_S)
    return LegPlan(order.leg_id, order.role, info, ("", 0), carrier=carrier.name, ring_limit_s=limit_s)


def _refused(order: DialOrder, carrier: LiveKitOutboundSettings) -> Refused | None:
    whose = f'carrier "{carrier.name}"'
    if emergency(order.to, None):
        return Refused("closed_destination", f"{order.to} is an emergency number")
    if (why := not_among(order.to, carrier.destinations, carrier.allow_kinds, whose)) is not None:
        return Refused("closed_destination", why)
    if order.caller and order.caller not in carrier.numbers:
        return Refused("caller_not_allowed", f"{whose} does not call from {order.caller} (livekit.outbound[].numbers)")
    if order.private:
        return Refused("no_privacy", f"{whose} does not keep numbers private")
    return None
