"""A call's caller identity: number, From, P-Asserted-Identity, Privacy; and our headers. Pure, except for numbers used
in rotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from agent.warm.asking import Refused
from gateway.config.trunks import TrunkSettings
from gateway.outbound.number_format import TrunkNumbers
from telephony.sip.uri import bracketed

__all__ = ["CallerChoice", "Identity", "headers_of", "identity_of"]

_MOST_BYTES = 256  # of a header's value


class CallerChoice:
    def __init__(self) -> None:
        self._turns: Counter[str] = Counter()

    def number(self, trunk: TrunkSettings, wanted: str) -> str:
        """The calling number; empty: none. Raises Refused if `wanted` is not allowed on the trunk (empty: the trunk's
        choice)."""
        out = trunk.outbound
        assert out is not None, "calls go over trunks with outbound settings"
        listed: tuple[str, ...] = tuple(dict.fromkeys((*((out.caller,) if out.caller else ()), *out.callers)))
        if wanted:
            if out.caller_choice == "any" or wanted in listed:
                return wanted
            why = f'calls over trunk "{trunk.name}" may not come from {wanted} (outbound.callers, caller_choice)'
            raise Refused("caller_not_allowed", why)
        if not listed:
            return ""
        turn = self._turns[trunk.name]
        self._turns[trunk.name] = (turn + 1) % len(listed)
        return listed[turn % len(listed)]


@dataclass(frozen=True, slots=True)
class Identity:
    address: str  # URI in From
    headers: tuple[tuple[str, str], ...]


def identity_of(trunk: TrunkSettings, caller: str, *, private: bool, public_address: str) -> Identity:
    """Raises Refused if the call is private and the trunk does not keep numbers private."""
    settings, numbers = trunk.identity, TrunkNumbers(trunk)
    if private and not settings.privacy:
        raise Refused("no_privacy", f'trunk "{trunk.name}" does not keep numbers private (identity.privacy)')
    domain = settings.domain or bracketed(public_address)
    ours = f"sip:{numbers.caller(caller)}@{domain}{numbers.parameters}" if caller else ""
    headers = [("P-Asserted-Identity", f"<{ours}>")] if ours and settings.asserted else []
    if private:
        headers.append(("Privacy", "id"))
    if private or not ours:
        return Identity("sip:anonymous@anonymous.invalid" if private else f"sip:anonymous@{domain}", tuple(headers))
    return Identity(ours, tuple(headers))


def headers_of(trunk: TrunkSettings, variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables sent to the trunk. Raises Refused for a value that does not fit into a header: values are not cut
    or escaped, as the other side would take the result for the original."""
    headers = []
    for each in trunk.headers_out:
        value = variables.get(each.variable, "").strip()
        if not value:
            continue
        if not value.isprintable() or len(value.encode("utf-8", "replace")) > _MOST_BYTES:
            raise Refused(
                "invalid_variable",
                f"{each.variable} cannot be the header {each.header}: it must be of at most {_MOST_BYTES} bytes, "
                "all printable",
            )
        headers.append((each.header, value))
    return tuple(headers)
