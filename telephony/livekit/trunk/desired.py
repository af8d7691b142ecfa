"""The trunks and rules LiveKit SIP should have, from settings and dialplans. Pure.

LiveKit refuses two inbound trunks with the same number, and two without numbers, whoever may use them. So the settings'
trunks become one LiveKit trunk: the exact numbers, open to the networks of all of them. LiveKit cannot express a number
pattern, nor the same number in another form (without country code): both need a second trunk without numbers, limited
to the same networks. The dialplan then decides about each call, as it does for our own trunks.
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
TRUNK_ATTRIBUTE = "trunkline.trunk"  # set on the caller, only when there is one trunk; otherwise it is unknown which


@dataclass(frozen=True, slots=True)
class Source:
    """A configured inbound trunk. `local_numbers`: numbers may lack the country code."""

    name: str
    networks: tuple[str, ...]
    local_numbers: bool = False


@dataclass(frozen=True, slots=True)
class Carrier:
    """A configured outbound trunk."""

    name: str
    address: str
    numbers: tuple[str, ...]
    transport: SipTransport = "auto"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Desired:
    objects: tuple[SipObject, ...]
    notes: tuple[str, ...]  # notes to print with the plan


def desired_objects(
    numbers: Sequence[str],
    patterns: Sequence[str],
    sources: Sequence[Source],
    carriers: Sequence[Carrier],
    agent_name: str,
    secret: str,
) -> Desired:
    """`numbers` are exact, `patterns` are not. `secret` keys the password marks: the API secret, which anyone able to
    read the marks has anyway."""
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
        why += f"{', '.join(local)}: numbers may arrive without country code" if local else ""
        notes.append(
            f"{why}. So {ANY_NUMBER} accepts every number from the trunks' networks, and the agent's job refuses those "
            "that the dialplan does not know."
        )
        if any(network.endswith("/0") for network in networks):
            notes.append(
                f"A trunk allows every network: through {ANY_NUMBER} anybody can call any number and keep "
                "agents busy. Allow the carriers' networks only."
            )
    trunks = tuple(thing.name for thing in objects)
    if trunks:
        attributes = {TRUNK_ATTRIBUTE: sources[0].name} if len(sources) == 1 else {}
        objects.append(DispatchRule(RULE, tuple(sorted(trunks)), ROOM_PREFIX, agent_name or None, attributes))
    else:
        notes.append("The dialplans have no numbers, so no call can come in.")
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
