"""SIP addresses that may be called, according to the settings' trunks. Pure. An address is allowed if its host belongs
to a trunk: within its networks, or one of its hosts. A user part that could be dialled as a number must be among the
trunk's destinations like any number, so that addresses do not bypass them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.warm.asking import Refused
from gateway.config import TrunkSettings
from gateway.outbound.destinations import closed_because
from telephony.sip.uri import Uri, as_ip, bracketed, parse_uri, split_params

__all__ = ["SipAddress", "is_sip", "number_of", "plain", "sip_address", "trunk_of_address"]

_NUMBER = re.compile(r"\+?[0-9]{1,20}")
_SEPARATORS = re.compile(r"[-.() ]")
_EXTENSION = re.compile(r"[A-Za-z][A-Za-z0-9._~-]{0,63}")  # a user part that cannot be taken for a number
_DIALABLE = re.compile(r"\+?[0-9*#]{1,40}")


@dataclass(frozen=True, slots=True)
class SipAddress:
    """A checked address, rewritten as `uri`."""

    user: str
    host: str  # without brackets
    port: int | None
    transport: Literal["udp", "tcp"] | None

    @property
    def uri(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        transport = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:{self.user}@{bracketed(self.host)}{port}{transport}"


def is_sip(to: str) -> bool:
    return to[:4].lower() == "sip:"


def number_of(to: str) -> str | None:
    """The number in a plain number or `tel:` address, without visual separators; None: it is neither."""
    text = to.partition(":")[2].partition(";")[0] if to[:4].lower() == "tel:" else to
    number = _SEPARATORS.sub("", text)
    return number if _NUMBER.fullmatch(number) else None


def plain(to: str) -> str:
    """A number in dialled form; anything else unchanged."""
    return number_of(to) or to


def sip_address(to: str) -> SipAddress:
    """Raises Refused."""
    try:
        uri = parse_uri(to)
    except ValueError as error:
        raise Refused("invalid_target", f"{to[:100]!r} is not a SIP address: {error}") from error
    host = uri.host.strip("[]").lower()
    if uri.scheme != "sip" or not (_EXTENSION.fullmatch(uri.user) or _DIALABLE.fullmatch(uri.user)) or "?" in to:
        raise Refused("invalid_target", f"{to[:100]!r} is not an address to call: write sip:user@host")
    return SipAddress(uri.user, host, uri.port, _transport(uri, to))


def _transport(uri: Uri, to: str) -> Literal["udp", "tcp"] | None:
    params = split_params(uri.params)
    named = params.pop("transport", "").lower()
    params.pop("user", None)
    if params or named not in ("", "udp", "tcp"):
        raise Refused("invalid_target", f"{to[:100]!r} has parameters besides transport=udp or transport=tcp")
    return "tcp" if named == "tcp" else "udp" if named == "udp" else None


def trunk_of_address(
    address: SipAddress, trunks: Sequence[TrunkSettings], *, named: str = "", calls: bool = True
) -> TrunkSettings:
    """The first trunk, or the named one, that allows the address. `calls`: it must be one that we place calls over.
    Raises Refused."""
    able = [trunk for trunk in trunks if named in ("", trunk.name) and (trunk.outbound is not None or not calls)]
    if not able:
        which = f'trunk "{named}"' if named else "no trunk"
        raise Refused("no_trunk", f"{which} places no calls (sip.trunks[].outbound)")
    for trunk in able:
        if _is_of(address, trunk) and (
            _EXTENSION.fullmatch(address.user) or closed_because(address.user, trunk) is None
        ):
            return trunk
    raise Refused("closed_destination", f"{address.uri} is not an address of any trunk that may call it")


def _is_of(address: SipAddress, trunk: TrunkSettings) -> bool:
    ip = as_ip(address.host)
    if ip is not None and any(ip in network for network in trunk.allow if network.version == ip.version):
        return True
    out = trunk.outbound
    hosts = () if out is None else (out.host, *(other.host for other in out.fail_over))
    return address.host in {host.strip("[]").lower() for host in hosts}
