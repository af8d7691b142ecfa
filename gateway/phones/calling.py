"""Calls to registered phones: `phone:NAME`, and `sip:NAME` at one of our own names. Pure, but for who is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.warm.asking import Refused
from gateway.calls.dialling import DialOrder
from gateway.config.models import SipSettings
from gateway.config.phones import PhonesSettings
from gateway.config.trunks import TrunkOutboundSettings, TrunkSettings
from gateway.outbound.addresses import is_sip
from gateway.outbound.choosing import TrunkWay
from gateway.phones.registered import phone_name
from telephony.edge import Fork
from telephony.sip.bindings import Binding
from telephony.sip.uri import bracketed, try_uri

__all__ = ["PhoneCalls"]

_MOST = 64  # characters of a caller's number


class PhoneCalls:
    """`bindings`: where a phone can be called now, best first."""

    def __init__(self, sip: SipSettings, bindings: Callable[[str], tuple[Binding, ...]]) -> None:
        self._phones = sip.phones
        self._bindings = bindings
        said = (sip.public_address or "", *(address.host for address in sip.listen))
        named = sip.phones.domains if sip.phones is not None else ()
        self._ours = {each.strip("[]").lower() for each in (*said, *named)} - {"", "0.0.0.0", "::"}  # noqa: S104
        self._trunk = None if sip.phones is None else _trunk(sip.phones)

    def name_of(self, to: str) -> str | None:
        """The phone that is meant; None: it is another kind of target."""
        if (name := phone_name(to)) is not None:
            return name
        if self._phones is None or not is_sip(to):
            return None
        uri = try_uri(to)
        if uri is None or uri.host.strip("[]").lower() not in self._ours:
            return None
        known = self._phones.named(uri.user)
        return None if known is None else known.name

    def check(self, order: DialOrder) -> None:
        """Whether there is such a phone. Raises Refused."""
        if order.trunk and (self._phones is None or order.trunk != self._phones.trunk):
            raise Refused("no_trunk", f'a phone is not called over trunk "{order.trunk}"')
        name = self.name_of(order.to)
        if self._phones is None or name is None or self._phones.named(name) is None:
            raise Refused("invalid_target", f'there is no phone "{name}" (sip.phones.users)')

    def ways(self, order: DialOrder, public_address: str, headers: Mapping[str, str]) -> tuple[TrunkWay, ...]:
        """All devices of the highest preference at once; the others when none of them can be reached. Raises
        Refused."""
        self.check(order)
        name = self.name_of(order.to)
        found = self._bindings(name or "")
        if not found or self._trunk is None:
            raise Refused("not_registered", f'phone "{name}" is not registered, or does not answer', retryable=True)
        caller = "" if order.private else order.caller[:_MOST]
        sender = f"sip:{caller or 'anonymous'}@{bracketed(public_address)}"
        ways = []
        for q in sorted({binding.q for binding in found}, reverse=True):
            first, *others = [binding for binding in found if binding.q == q]
            forks = tuple(Fork(each.uri, each.flow.place, each.path) for each in others)
            way = TrunkWay(
                self._trunk, first.uri, caller, sender, tuple(headers.items()), first.flow.place, forks, first.path
            )
            ways.append(way)
        return tuple(ways)


def _trunk(phones: PhonesSettings) -> TrunkSettings:
    """As which they stand in records."""
    return TrunkSettings.model_construct(
        name=phones.trunk, allow=phones.allow, transfers=phones.transfers,
        outbound=TrunkOutboundSettings.model_construct(host="phones.invalid"),
    )  # fmt: skip
