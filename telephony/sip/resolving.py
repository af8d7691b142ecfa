"""Where a SIP host is: RFC 3263 (NAPTR, SRV, A and AAAA) as a plan without sockets.

`plan` is a generator: it yields questions, is sent the answers, and returns the places to try, in order. Whoever runs
it makes the queries; a test needs only a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from telephony.sip.uri import as_ip

__all__ = [
    "Address",
    "Answer",
    "Kind",
    "Naptr",
    "Place",
    "Plan",
    "Question",
    "Record",
    "Resolved",
    "SipTransport",
    "Srv",
    "Target",
    "plan",
]

SipTransport = Literal["udp", "tcp", "tls"]
Kind = Literal["NAPTR", "SRV", "A", "AAAA"]

_SERVICES: dict[str, SipTransport] = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}
_SRV: dict[SipTransport, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_MOST_RECORDS = 16  # of one answer
_MOST_PLACES = 32
_SHORTEST_TTL_S = 5.0
_LITERAL_TTL_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Target:
    """The target to resolve, from a URI or a trunk's settings. `port` and `transport` if given."""

    host: str
    port: int | None = None
    transport: SipTransport | None = None
    secure: bool = False  # sips


@dataclass(frozen=True, slots=True)
class Place:
    """An address to send to. `name` is the name that a certificate must have (RFC 5922)."""

    transport: SipTransport
    ip: str
    port: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Naptr:
    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Address:
    ip: str


Record = Naptr | Srv | Address


@dataclass(frozen=True, slots=True)
class Answer:
    """No records: there are none, or the lookup failed (`failed`)."""

    records: tuple[Record, ...] = ()
    ttl_s: float = 0.0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """Places in the order to try them. `ttl_s`: how long all answers used are valid. `failed`: some question had no
    answer, so there may be more places."""

    places: tuple[Place, ...]
    ttl_s: float
    failed: bool = False


Plan = Generator[Question, Answer, Resolved]


class _Asking:
    """The answers so far."""

    def __init__(self) -> None:
        self.ttl_s = _LITERAL_TTL_S
        self.failed = False

    def ask(self, kind: Kind, name: str) -> Generator[Question, Answer, tuple[Record, ...]]:
        answer = yield Question(kind, name.rstrip(".").lower())
        self.failed = self.failed or answer.failed
        self.ttl_s = min(self.ttl_s, max(answer.ttl_s, _SHORTEST_TTL_S))
        return answer.records[:_MOST_RECORDS]

    def resolved(self, places: Iterable[Place]) -> Resolved:
        return Resolved(tuple(dict.fromkeys(places))[:_MOST_PLACES], self.ttl_s, self.failed)


def plan(
    target: Target,
    transports: Sequence[SipTransport],
    random: Callable[[], float],
    *,
    kinds: Sequence[Literal["A", "AAAA"]] = ("A",),
) -> Plan:
    """The addresses of a target. `transports`: the supported ones, best first; `random` returns numbers from 0 to 1,
    for weights; `kinds`: the kinds of addresses that we can send to."""
    asking = _Asking()
    able = [transport for transport in transports if transport == "tls" or not target.secure]
    if target.transport is not None and not target.secure:
        able = [transport for transport in able if transport == target.transport]
    if not able:
        return asking.resolved(())
    name = target.host.strip("[]").rstrip(".")
    usual: SipTransport = "tls" if target.secure else target.transport or ("udp" if "udp" in able else able[0])
    if (ip := as_ip(target.host)) is not None:
        return asking.resolved([Place(usual, str(ip), target.port or _port(usual), name)])
    if target.port is not None:  # section 4.2: then only addresses are looked up
        return asking.resolved((yield from _addresses(asking, name, target.port, usual, name, kinds)))
    plain = [transport for transport in able if transport != "tls"]  # what a `sip:` URI says nothing about
    services = [(transport, f"{_SRV[transport]}.{name}") for transport in plain or able]
    if target.transport is None:
        found = yield from asking.ask("NAPTR", name)
        services = _by_naptr(found, able) or services
        if services[0][0] == "tls":  # who prefers it is not called in the clear when it fails
            services = [service for service in services if service[0] == "tls"]
    places: list[Place] = []
    has_services = False
    for transport, service in services:
        records = [record for record in (yield from asking.ask("SRV", service)) if isinstance(record, Srv)]
        has_services = has_services or bool(records)
        for record in _by_weight(records, random):
            if record.target.rstrip("."):  # ".": the service is not available here (RFC 2782)
                places += yield from _addresses(asking, record.target, record.port, transport, name, kinds)
    if not has_services:
        places = yield from _addresses(asking, name, _port(usual), usual, name, kinds)
    return asking.resolved(places)


def _port(transport: SipTransport) -> int:
    return 5061 if transport == "tls" else 5060


def _addresses(
    asking: _Asking,
    host: str,
    port: int,
    transport: SipTransport,
    name: str,
    kinds: Sequence[Literal["A", "AAAA"]],
) -> Generator[Question, Answer, list[Place]]:
    host = host.rstrip(".")
    if (ip := as_ip(host)) is not None:  # an SRV record must not name one, but some do
        return [Place(transport, str(ip), port, name)]
    places: list[Place] = []
    for kind in kinds:
        records = yield from asking.ask(kind, host)
        places += [Place(transport, record.ip, port, name) for record in records if isinstance(record, Address)]
    return places


def _by_naptr(records: Sequence[Record], able: Sequence[SipTransport]) -> list[tuple[SipTransport, str]]:
    """The SRV names of the services that we support, in the order that their owner prefers (RFC 3263 section 4.1)."""
    usable = []
    for record in records:
        if isinstance(record, Naptr) and record.flags.lower() == "s" and record.replacement.rstrip("."):
            transport = _SERVICES.get(record.service.lower())
            if transport in able and transport is not None:
                usable.append((record.order, record.preference, transport, record.replacement))
    return [(transport, replacement) for _, _, transport, replacement in sorted(usable, key=lambda found: found[:2])]


def _by_weight(records: Sequence[Srv], random: Callable[[], float]) -> list[Srv]:
    """By priority, and among equals by drawing lots with their weights (RFC 2782)."""
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in records}):
        left = sorted((record for record in records if record.priority == priority), key=lambda r: r.weight)
        while left:
            at = random() * sum(record.weight for record in left)
            chosen = left[-1]
            for record in left:
                at -= record.weight
                if at <= 0:
                    chosen = record
                    break
            left.remove(chosen)
            ordered.append(chosen)
    return ordered
