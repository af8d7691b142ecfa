"""Settings of the registrar: whose phones may register, from where, and how wrong passwords are answered."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from telephony.edge.guessing import GuessPolicy
from telephony.errors import TelephonyMisuse
from telephony.sip.bindings import BindingPolicy
from telephony.sip.media_policy import Network
from telephony.sip.probing import ProbePolicy
from telephony.sip.uri import as_ip

__all__ = ["Phone", "Phones"]


@dataclass(frozen=True)
class Phone:
    """`name` is its user and in lower case. `allow`: networks; none: wherever phones may be."""

    name: str
    password: str = field(repr=False)
    allow: tuple[str, ...] = ()

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(text) for text in self.allow)


@dataclass(frozen=True)
class Phones:
    """`trunk`: the one that their calls are of, whose networks they may register from. `anywhere`: they may register
    from all other addresses as well, which are strangers' until then."""

    trunk: str
    realm: str
    users: Mapping[str, Phone]
    anywhere: bool = False
    algorithms: tuple[str, ...] = ("MD5", "SHA-256")  # of the challenges, in this order
    policy: BindingPolicy = field(default_factory=BindingPolicy)
    probe: ProbePolicy = field(default_factory=ProbePolicy)
    guesses: GuessPolicy = field(default_factory=GuessPolicy)

    def __post_init__(self) -> None:
        if not self.realm:
            raise TelephonyMisuse("phones are challenged for a password, which needs a realm")
        for name, phone in self.users.items():
            if name != name.lower() or name != phone.name:
                raise TelephonyMisuse(f"phone {name!r} is to be listed by its name in lower case")
            try:
                phone.networks  # noqa: B018  (refuses what is no network)
            except ValueError as error:
                raise TelephonyMisuse(f"phone {name!r}: {error}") from error

    def may_be_at(self, name: str, ip: str, *, of_trunk: bool) -> bool:
        """Whether this phone may register or call from there. `of_trunk`: the address is in the trunk's networks. A
        name that nobody has is treated like any other."""
        phone, address = self.users.get(name), as_ip(ip)
        if address is None or not (of_trunk or self.anywhere):
            return False
        if phone is None or not phone.networks:
            return True
        return any(address in network for network in phone.networks if network.version == address.version)
