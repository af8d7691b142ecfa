"""Destinations of messages, and the actions that the core requests from its shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from telephony.edge.protocol import Flood, InviteInfo, PeerRefers, RefusedInvite, Transport
from telephony.sip.bindings import Binding
from telephony.sip.resolving import Place

__all__ = [
    "Action",
    "BindingChanged",
    "CallCancelled",
    "CallerGone",
    "ConnectionTaken",
    "DialAttempted",
    "DialogEnded",
    "DigitPressed",
    "FloodSummedUp",
    "Hop",
    "InviteRefused",
    "KeyAnswered",
    "LegReplaced",
    "MoveEnded",
    "NotConnected",
    "PeerReferred",
    "ReferAnswered",
    "ReferNotified",
    "SendPublic",
    "SendWorker",
    "TrunkChanged",
]


@dataclass(frozen=True, slots=True)
class Hop:
    """A peer on the public side. TCP and TLS use the numbered connection while it lives, else connect to `ip:port`;
    when that accepts no connection, the message goes over `fallback`, which has the same transport."""

    transport: Transport
    ip: str
    port: int
    listener: int  # index of the public socket
    connection: int = 0  # 0: none
    fallback: int = 0  # another connection; 0: none
    chosen: bool = False  # by the gateway: a connection is made to it even if no trunk allows the address
    trunk: str = ""  # for TLS: the trunk shown by its certificate, or the one that we connect to
    name: str = ""  # required in its certificate if we make the connection

    @property
    def place(self) -> tuple[str, str, int, str, str]:
        """The key of connections made to it."""
        return (self.transport, self.ip, self.port, self.trunk, self.name)

    @property
    def stream(self) -> bool:
        return self.transport != "udp"


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
    """`sip_status` and `reason`: of the final answer with which the worker's SIP stack refused the call, else 0."""

    leg_id: str
    sip_status: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallCancelled:
    leg_id: str


@dataclass(frozen=True, slots=True)
class FloodSummedUp:
    flood: Flood


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The caller has ended the call (BYE, CANCEL), and its worker gave no sign of having noticed."""

    leg_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A key, by INFO."""

    leg_id: str
    digit: str = field(repr=False)
    duration_ms: int  # 0: not given


@dataclass(frozen=True, slots=True)
class KeyAnswered:
    """The final answer to an INFO with a key of ours. `status` 0: none has come."""

    token: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReferAnswered:
    """The final answer to a REFER of ours. `status` 0: none has come."""

    leg_id: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReferNotified:
    """The peer reports on the call that our REFER asked for (RFC 3515 section 2.4.5). `status`: the latest one of its
    INVITE, 0: not given. `over`: this is the last report."""

    leg_id: str
    status: int
    reason: str
    over: bool


@dataclass(frozen=True, slots=True)
class PeerReferred:
    """A peer's REFER was accepted."""

    refers: PeerRefers


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """Another phone has taken the place of the leg's peer. `info`: of its INVITE."""

    leg_id: str
    info: InviteInfo


@dataclass(frozen=True, slots=True)
class MoveEnded:
    """What became of `Edge.move_leg`. `status`: 200, or why not."""

    token: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class DialAttempted:
    """An attempt to place a worker's call. `status`: the final answer; 0: there was none. `failed`: the place was
    silent or could not take the call, which says nothing about the number. `cause`: Q.850, the peer's or derived from
    the status."""

    leg_id: str
    place: Place
    status: int
    reason: str
    began_at: float  # seconds, loop clock
    ended_at: float
    trunk: str = ""
    failed: bool = False
    cause: int = 0


@dataclass(frozen=True, slots=True)
class NotConnected:
    """No connection could be made to a peer, or it broke before the peer could read anything. `why`: in plain words;
    empty: it does not accept connections."""

    hop: Hop
    why: str = ""


@dataclass(frozen=True, slots=True)
class TrunkChanged:
    """`what`: "registered" (again, after it was not), "registration_failed" (a try), "unregistered" (at the end), a
    host "up" or "down" (by OPTIONS), or "refused" (it did not take a call of ours); `text` says more."""

    trunk: str
    what: Literal["registered", "registration_failed", "unregistered", "up", "down", "refused"]
    text: str
    place: Place | None = None  # which host


@dataclass(frozen=True, slots=True)
class BindingChanged:
    """A phone has registered, or refreshed or lost its registration, or does not answer any more. `reachable`: whether
    this one can be called now; `why`: as `bindings.Change`, "no answer" or "answers again"."""

    binding: Binding
    reachable: bool
    why: str


@dataclass(frozen=True, slots=True)
class ConnectionTaken:
    """A phone has registered over this connection, which is not a stranger's any more."""

    connection: int
    trunk: str


Action = (
    TrunkChanged
    | BindingChanged
    | ConnectionTaken
    | DialAttempted
    | SendPublic
    | SendWorker
    | InviteRefused
    | DialogEnded
    | CallCancelled
    | FloodSummedUp
    | CallerGone
    | DigitPressed
    | KeyAnswered
    | ReferAnswered
    | ReferNotified
    | PeerReferred
    | LegReplaced
    | MoveEnded
)
