"""Allowed targets of transfers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.warm.asking import Refused
from gateway.config import TrunkSettings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.outbound.addresses import is_sip, number_of, sip_address, trunk_of_address
from gateway.outbound.destinations import closed_because, not_among
from telephony.sip.uri import bracketed

__all__ = ["referred_to"]


def referred_to(
    to: str,
    trunks: Sequence[TrunkSettings],
    *,
    customers: str,
    named: str = "",
    carriers: Sequence[LiveKitOutboundSettings] = (),
) -> str:
    """The URI for Refer-To. `customers`: the trunk of the call, whose side is asked to call it, or its carrier of
    LiveKit SIP. Raises Refused."""
    if is_sip(to):
        address = sip_address(to)
        trunk_of_address(address, trunks, named=named, calls=False)
        return address.uri
    number = number_of(to)
    if number is None:
        raise Refused("invalid_target", f"{to[:100]!r} is neither a telephone number nor a SIP address")
    trunk = next((trunk for trunk in trunks if trunk.name == (named or customers)), None)
    carrier = next((each for each in carriers if each.name == (named or customers)), None)
    if trunk is None and carrier is not None:
        why = not_among(number, carrier.destinations, carrier.allow_kinds, f'carrier "{carrier.name}"')
        if why is not None:
            raise Refused("closed_destination", why)
        return f"tel:{number}"
    if trunk is None or trunk.outbound is None:
        raise Refused("closed_destination", f"trunk {named or customers!r} has no numbers that it may call")
    if (why := closed_because(number, trunk)) is not None:
        raise Refused("closed_destination", why)
    out = trunk.outbound
    return f"sip:{number}@{bracketed(out.host)}" + ("" if out.port is None else f":{out.port}")
