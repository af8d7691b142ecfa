"""Which trunks a call may go over, and its form on each; mistakes are found here, before dialling. Pure, except for
random choices and rotations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.warm.asking import Refused
from gateway.calls.dialling import DialOrder
from gateway.config.outbound import OutboundSettings
from gateway.config.trunks import TrunkSettings
from gateway.outbound.addresses import is_sip, sip_address, trunk_of_address
from gateway.outbound.destinations import closed_because
from gateway.outbound.identity import CallerChoice, headers_of, identity_of
from gateway.outbound.number_format import TrunkNumbers
from gateway.outbound.trunk_order import TrunkOrder
from telephony.edge import Fork
from telephony.sip.resolving import Place
from telephony.sip.uri import as_ip

__all__ = ["TrunkChoice", "TrunkWay"]

_NUMBER = re.compile(r"\+?[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class TrunkWay:
    """A call over one trunk. `uri`: Request-URI and To; `caller`: our number for records; `sender`: the URI in From."""

    trunk: TrunkSettings
    uri: str
    caller: str
    sender: str
    headers: tuple[tuple[str, str], ...]
    place: Place | None = None  # used instead of the trunk's hosts
    besides: tuple[Fork, ...] = ()  # called at the same time
    routes: tuple[str, ...] = ()  # Route values, instead of the trunk's


class TrunkChoice:
    """`passed_over`: whether a trunk failed recently and is tried last."""

    def __init__(
        self,
        trunks: Iterable[TrunkSettings],
        outbound: OutboundSettings,
        *,
        random: Callable[[], float],
        passed_over: Callable[[str], bool],
    ) -> None:
        self._trunks = tuple(trunks)
        self._order = TrunkOrder(outbound, self._trunks, random)
        self._callers = CallerChoice()
        self._passed_over = passed_over

    def ways(
        self, order: DialOrder, public_address: str, variables: Mapping[str, str] | None = None
    ) -> tuple[TrunkWay, ...]:
        """In the order to try them; never empty. Raises Refused with the reason of the first trunk."""
        if is_sip(order.to):
            return (self._address(order, public_address, variables or {}),)
        for number in (order.to, *([order.caller] if order.caller else [])):
            if not _NUMBER.fullmatch(number):
                raise Refused("closed_destination", f"{number!r} is not a telephone number")
        ways: list[TrunkWay] = []
        refusals: list[Refused] = []
        for trunk in self._candidates(order):
            try:
                ways.append(self._way(order, trunk, public_address, variables or {}))
            except Refused as refused:
                refusals.append(refused)
        if not ways:
            raise min(refusals, key=lambda refused: refused.kind == "closed_destination")
        return tuple(ways)

    def _address(self, order: DialOrder, public_address: str, variables: Mapping[str, str]) -> TrunkWay:
        """For a SIP address, which only one trunk can call. Raises Refused."""
        address = sip_address(order.to)
        trunk = trunk_of_address(address, self._trunks, named=order.trunk)
        caller = self._callers.number(trunk, order.caller)
        identity = identity_of(trunk, caller, private=order.private, public_address=public_address)
        headers = (*identity.headers, *headers_of(trunk, variables))
        place = None
        if as_ip(address.host) is not None:
            usual = trunk.outbound.transport if trunk.outbound is not None else None
            transport = address.transport or usual or "udp"
            place = Place(transport, address.host, address.port or (5061 if transport == "tls" else 5060))
        return TrunkWay(trunk, address.uri, caller, identity.address, headers, place)

    def _candidates(self, order: DialOrder) -> list[TrunkSettings]:
        if order.trunk:
            named = self._order.named(order.trunk)
            if named is None:
                raise Refused("no_trunk", f'trunk "{order.trunk}" places no calls (sip.trunks[].outbound)')
            return [named]
        found = self._order.of(order.to)
        if not found:
            raise Refused("no_trunk", "no trunk places calls (sip.trunks[].outbound)")
        return sorted(found, key=lambda trunk: self._passed_over(trunk.name))

    def _way(self, order: DialOrder, trunk: TrunkSettings, address: str, variables: Mapping[str, str]) -> TrunkWay:
        out = trunk.outbound
        assert out is not None, "it was chosen by it"
        if (why := closed_because(order.to, trunk)) is not None:
            raise Refused("closed_destination", why)
        caller = self._callers.number(trunk, order.caller)
        identity = identity_of(trunk, caller, private=order.private, public_address=address)
        headers = (*identity.headers, *headers_of(trunk, variables))
        numbers = TrunkNumbers(trunk)
        host = out.host if out.port is None else f"{out.host}:{out.port}"
        scheme, transport = ("sips", "") if trunk.tls.sips else ("sip", out.uri_transport)
        uri = f"{scheme}:{numbers.called(order.to)}@{host}{transport}{numbers.parameters}"
        return TrunkWay(trunk, uri, caller, identity.address, headers)
