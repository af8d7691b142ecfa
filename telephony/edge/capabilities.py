"""The SIP features we support and announce to peers."""

from __future__ import annotations

from typing import Literal

__all__ = [
    "ALLOW",
    "EXTENSIONS",
    "SUPPORTED",
    "WORKERS_EXTENSIONS",
    "Reliable",
    "extensions",
    "supported",
]

Reliable = Literal["off", "supported", "required"]  # provisional answers of a trunk (RFC 3262)
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, PRACK, UPDATE"
EXTENSIONS = frozenset({"timer", "100rel"})
WORKERS_EXTENSIONS = frozenset({"100rel"})  # of those: session timers are the edge's alone
SUPPORTED = "timer, 100rel"


def extensions(reliable: Reliable) -> frozenset[str]:
    """What a request may require."""
    return EXTENSIONS - {"100rel"} if reliable == "off" else EXTENSIONS


def supported(reliable: Reliable) -> str:
    """The value of Supported."""
    return "timer" if reliable == "off" else SUPPORTED
