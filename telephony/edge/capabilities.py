"""The SIP features we support and announce to peers. REFER and Replaces only where the trunk's settings take them."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "ALLOW",
    "SUPPORTED",
    "WORKERS_EXTENSIONS",
    "Announced",
    "Reliable",
    "announced",
    "extensions",
]

Reliable = Literal["off", "supported", "required"]  # provisional answers of a trunk (RFC 3262)
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, PRACK, UPDATE"
WORKERS_EXTENSIONS = frozenset({"100rel"})  # session timers and Replaces are the edge's alone
SUPPORTED = "timer, 100rel"


class Announced(NamedTuple):
    """The values of Allow and Supported."""

    allow: str = ALLOW
    supported: str = SUPPORTED


def announced(reliable: Reliable, *, refer: bool = False, replaces: bool = False) -> Announced:
    able = "timer" if reliable == "off" else SUPPORTED
    return Announced(f"{ALLOW}, REFER" if refer else ALLOW, f"{able}, replaces" if replaces else able)


def extensions(reliable: Reliable, *, replaces: bool = False) -> frozenset[str]:
    """What a request may require."""
    return frozenset(announced(reliable, replaces=replaces).supported.split(", "))
