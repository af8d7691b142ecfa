"""Where messages go, and what the core asks its shell to do."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.edge.protocol import Flood, RefusedInvite, Transport

__all__ = [
    "Action",
    "CallCancelled",
    "DialogEnded",
    "FloodSummedUp",
    "Hop",
    "InviteRefused",
    "SendPublic",
    "SendWorker",
]


@dataclass(frozen=True, slots=True)
class Hop:
    """A peer on the public side. TCP uses the numbered connection while it lives, else connects to `ip:port`; when that
    takes no connection, what was to be sent goes over `fallback`."""

    transport: Transport
    ip: str
    port: int
    listener: int  # index of the public socket
    connection: int = 0  # 0: none
    fallback: int = 0  # another connection; 0: none


@dataclass(frozen=True, slots=True)
class SendPublic:
    hop: Hop
    data: bytes


@dataclass(frozen=True, slots=True)
class SendWorker:
    host: str
    port: int
    data: bytes


@dataclass(frozen=True, slots=True)
class InviteRefused:
    invite: RefusedInvite


@dataclass(frozen=True, slots=True)
class DialogEnded:
    call_id: str


@dataclass(frozen=True, slots=True)
class CallCancelled:
    call_id: str


@dataclass(frozen=True, slots=True)
class FloodSummedUp:
    flood: Flood


Action = SendPublic | SendWorker | InviteRefused | DialogEnded | CallCancelled | FloodSummedUp
