"""LiveKit SIP's trunks and dispatch rules, as far as we set them. Equal objects compare equal field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "MARK",
    "DispatchRule",
    "Found",
    "InboundTrunk",
    "OutboundTrunk",
    "SipObject",
    "SipTransport",
    "kind_of",
    "outbound_name",
]

MARK = "trunkline:"  # names of our objects begin with it

SipTransport = Literal["auto", "udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True)
class InboundTrunk:
    """Accepts calls to `numbers` (none: any number that no other trunk has) from `addresses`."""

    name: str
    numbers: tuple[str, ...]
    addresses: tuple[str, ...]  # IP addresses or networks


@dataclass(frozen=True, slots=True)
class OutboundTrunk:
    """A carrier that we call through. `password_mark` stands in for the password in comparisons: LiveKit may
    not reveal passwords, and we never print them."""

    name: str
    address: str  # host or host:port
    numbers: tuple[str, ...]  # caller numbers
    transport: SipTransport = "auto"
    username: str = ""
    password: str = field(default="", repr=False, compare=False)
    password_mark: str = ""


@dataclass(frozen=True, slots=True)
class DispatchRule:
    """Each call that came through `trunks` (their names) gets its own room, and `agent_name` is dispatched to it
    (None: LiveKit dispatches agents that take any room). `attributes` go to the caller's participant."""

    name: str
    trunks: tuple[str, ...]
    room_prefix: str
    agent_name: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)


SipObject = InboundTrunk | OutboundTrunk | DispatchRule


@dataclass(frozen=True, slots=True)
class Found:
    """An object in LiveKit. `ours`: created by us, judging by its name and metadata."""

    id: str
    ours: bool
    thing: SipObject


def kind_of(thing: SipObject) -> str:
    """In words, for plans."""
    if isinstance(thing, InboundTrunk):
        return "inbound trunk"
    return "outbound trunk" if isinstance(thing, OutboundTrunk) else "dispatch rule"


def outbound_name(trunk: str) -> str:
    """LiveKit's name of the outbound trunk that the settings call `trunk`."""
    return f"{MARK}outbound:{trunk}"
