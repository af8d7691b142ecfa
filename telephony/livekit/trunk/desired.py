"""Which trunks and rules LiveKit SIP should have, made from settings and dialplans. Pure.

LiveKit refuses two inbound trunks with one number, and two without numbers, whoever may use them. So what settings call
trunks become one LiveKit trunk: the exact numbers, let in from the networks of all of them together. A number pattern
cannot be said to LiveKit, nor can the same number in another form (without country code): both need a second trunk,
without numbers, limited to the same networks. The dialplan then decides about each call, as it does for our own trunks.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from telephony.livekit.trunk.objects import (
    MARK,
    DispatchRule,
    InboundTrunk,
    OutboundTrunk,
    SipObject,
    SipTransport,
    outbound_name,
)

__all__ = [
    "ANY_NUMBER",
    "NUMBERS",
    "ROOM_PREFIX",
    "RULE",
    "TRUNK_ATTRIBUTE",
    "Carrier",
    "Desired",
    "Source",
    "desired_objects",
]

NUMBERS = f"{MARK}numbers"
ANY_NUMBER = f"{MARK}any-number"
RULE = f"{MARK}calls"
ROOM_PREFIX = "call-"
TRUNK_ATTRIBUTE = "trunkline.trunk"  # of the caller; only when there is one trunk, else nobody knows which it was


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody who may call us: a trunk of the settings. `local_numbers`: it may leave out the country code."""

    name: str
    networks: tuple[str, ...]
    local_numbers: bool = False


@dataclass(frozen=True, slots=True)
class Carrier:
    """Somebody whom we call through."""

    name: str
    address: str
    numbers: tuple[str, ...]
    transport: SipTransport = "auto"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Desired:
    objects: tuple[SipObject, ...]
    notes: tuple[str, ...]  # what the plan should say besides its lines


def desired_objects(
    numbers: Sequence[str],
    patterns: Sequence[str],
    sources: Sequence[Source],
    carriers: Sequence[Carrier],
    agent_name: str,
    secret: str,
) -> Desired:
    """`numbers` are exact, `patterns` are not. `secret` keys the marks of passwords: the API secret, which whoever can
    read the marks has."""
    networks = tuple(dict.fromkeys(network for source in sources for network in source.networks))
    local = [source.name for source in sources if source.local_numbers]
    objects: list[SipObject] = []
    notes: list[str] = []
    if numbers:
        objects.append(InboundTrunk(NUMBERS, tuple(sorted(set(numbers))), tuple(sorted(networks))))
    if patterns or local:
        objects.append(InboundTrunk(ANY_NUMBER, (), tuple(sorted(networks))))
        why = f"{', '.join(patterns)}: LiveKit takes exact numbers only" if patterns else ""
        why += "; " if patterns and local else ""
        why += f"{', '.join(local)}: numbers may come without country code" if local else ""
        notes.append(
            f"{why}. So {ANY_NUMBER} lets every number in from the trunks' networks, and the agent's job refuses those "
            "that the dialplan does not know."
        )
        if any(network.endswith("/0") for network in networks):
            notes.append(
                f"A trunk allows every network: through {ANY_NUMBER} anybody can place calls to any number and keep "
                "agents busy. Allow the carriers' networks only."
            )
    trunks = tuple(thing.name for thing in objects)
    if trunks:
        attributes = {TRUNK_ATTRIBUTE: sources[0].name} if len(sources) == 1 else {}
        objects.append(DispatchRule(RULE, tuple(sorted(trunks)), ROOM_PREFIX, agent_name or None, attributes))
    else:
        notes.append("The dialplans have no numbers, so that no call can come in.")
    objects += [_outbound(carrier, secret) for carrier in carriers]
    return Desired(tuple(objects), tuple(notes))


def _outbound(carrier: Carrier, secret: str) -> OutboundTrunk:
    mark = hmac.new(secret.encode(), carrier.password.encode(), hashlib.sha256).hexdigest()[:16]
    return OutboundTrunk(
        outbound_name(carrier.name),
        carrier.address,
        tuple(sorted(set(carrier.numbers))),
        carrier.transport,
        carrier.username,
        carrier.password,
        mark if carrier.password else "",
    )
