"""Contradictions in what is said about placing calls: routes, and each trunk's destinations, numbers and caps."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.located_yaml import Located
from gateway.config.outbound import OutboundSettings
from gateway.config.trunks import TrunkSettings

__all__ = ["outbound_contradictions", "told_apart", "trunk_contradictions"]

Complaint = tuple[Located, str]


def outbound_contradictions(outbound: OutboundSettings, trunks: tuple[TrunkSettings, ...]) -> Iterator[Complaint]:
    named = {trunk.name: trunk for trunk in trunks}
    seen: dict[str, int] = {}
    for index, route in enumerate(outbound.routes):
        of: Located = ("outbound", "routes", index)
        for n, number in enumerate(route.numbers):
            if number in seen:
                yield (*of, "numbers", n), f'"{number}" is also in outbound.routes[{seen[number]}]'
            seen.setdefault(number, index)
        for n, name in enumerate(route.trunks):
            if name not in named:
                yield (*of, "trunks", n), f'there is no trunk "{name}"'
            elif named[name].outbound is None:
                yield (*of, "trunks", n), f'trunk "{name}" places no calls: it has no outbound settings'
            elif name in route.trunks[:n]:
                yield (*of, "trunks", n), f'"{name}" is listed twice'
        if len(route.weights) > len(route.trunks):
            yield (*of, "weights"), f"{len(route.weights)} weights for {len(route.trunks)} trunks"
        if route.weights and not any(route.weights):
            yield (*of, "weights"), "all are 0, so they share nothing"


def trunk_contradictions(trunk: TrunkSettings, of: Located) -> Iterator[Complaint]:
    """`of`: the trunk's place."""
    out, numbers, cap = trunk.outbound, trunk.numbers, trunk.cap
    formats = (numbers.format, numbers.caller_format, numbers.inbound_format)
    if "national" in formats and trunk.region is None:
        yield (*of, "region"), "required, as numbers are written as in a country"
    if len(set(trunk.codecs)) != len(trunk.codecs):
        yield (*of, "codecs"), "a codec is listed twice"
    if cap is not None and cap.calls is None and cap.calls_per_second is None:
        yield (*of, "cap"), "limits nothing: give calls or calls_per_second"
    if cap is not None and cap.inbound and cap.calls is None:
        yield (*of, "cap", "inbound"), "requires cap.calls: calls from the trunk count in it"
    if out is None:
        for name, given in (("headers_out", bool(trunk.headers_out)), ("identity", trunk.identity.privacy)):
            if given:
                yield (*of, name), "requires outbound: it is about calls that we place"
        return
    if not out.destinations:
        yield (*of, "outbound", "destinations"), "required: no number may be called without it"
    if trunk.identity.asserted and not (out.caller or out.callers or out.caller_choice == "any"):
        yield (*of, "identity", "asserted"), "requires outbound.caller or callers: there is no number to assert"
    for n, entry in enumerate(out.destinations):
        if entry.startswith("+") and not _names_a_country(entry):
            yield (*of, "outbound", "destinations", n), f"{entry} names no country: country codes begin like this"
    for n, header in enumerate(trunk.headers_out):
        if any(header.header.lower() == other.header.lower() for other in trunk.headers_out[:n]):
            yield (*of, "headers_out", n, "header"), f'duplicate header "{header.header}"'


def told_apart(first: TrunkSettings, second: TrunkSettings) -> bool:
    """Whether calls from the same address can be given to one of the two: by number, domain, certificate, the
    user that they are registered as, or digest users (with one realm, since there is one challenge)."""
    if first.inbound is not None and second.inbound is not None and first.inbound == second.inbound:
        return False
    if first.inbound is not None or second.inbound is not None:
        return True
    if bool(first.tls.client_names) != bool(second.tls.client_names):
        return True
    if first.callers is not None and second.callers is not None:
        users = {user.username for user in first.callers.users} & {user.username for user in second.callers.users}
        return not users and first.callers.realm == second.callers.realm
    registrations = (first.registration, second.registration)
    return all(registrations) and len({each.user for each in registrations if each is not None}) == 2


def _names_a_country(entry: str) -> bool:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as CODES  # asked only of trunks that place calls

    return any(int(entry[1 : 1 + size]) in CODES for size in (1, 2, 3) if len(entry) > size)
