"""The edge's interface to the gateway: questions and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from telephony.call import Diversion
from telephony.sip.digest import Credentials
from telephony.sip.replaces import Replaces
from telephony.sip.resolving import Place

__all__ = [
    "FAIL_OVER_ON",
    "Admitter",
    "Dial",
    "Flood",
    "Fork",
    "Forward",
    "GatewayStatus",
    "InviteInfo",
    "Later",
    "PeerRefers",
    "Refuse",
    "RefusedInvite",
    "Source",
    "Transport",
    "WorkerAddress",
]

Transport = Literal["udp", "tcp", "tls"]
FAIL_OVER_ON = frozenset({408, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class Source:
    """The real source of a message, whatever its Via says."""

    ip: str
    port: int
    transport: Transport


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """A call worker's SIP address on loopback."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class InviteInfo:
    """One new INVITE, as far as admission needs it. Not normalised to E.164: the gateway does that."""

    sip_call_id: str
    called: str  # user part of the Request-URI, or of To if the trunk says so, as `uri.phone_user` gives it
    to_user: str
    caller: str | None  # asserted identity of a trusted trunk, else From; None: withheld (RFC 3323, 3325) or anonymous
    headers: Mapping[str, str]  # X-… headers, capped in number and size
    trunk: str | None  # None: no trunk allows the source
    source: Source
    received_at: float  # seconds, loop clock
    diversions: tuple[Diversion, ...] = ()  # of a trusted trunk, the latest first
    phone: str = ""  # name of the registered phone that calls; it has shown its password


@dataclass(frozen=True, slots=True)
class Fork:
    """One more phone that a call rings at (RFC 3261 section 16.6)."""

    uri: str
    place: Place
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dial:
    """A call that a worker may place: where it goes and who it comes from. The gateway has chosen; the worker's INVITE
    only names `leg_id`."""

    leg_id: str  # of the leg
    worker: WorkerAddress
    trunk: str  # its networks may answer and send audio, besides `host`
    uri: str  # Request-URI and To: "sip:+15550100@192.0.2.7"
    caller: str  # From: "sip:+15550199@192.0.2.1"
    host: str  # IP address
    port: int
    transport: Transport = "udp"
    ring_s: float = 60.0  # then it is cancelled
    others: tuple[Place, ...] = ()  # tried in this order when `host` does not answer or cannot take the call
    account: Credentials | None = None  # answers a 401 or 407; None: the trunk's
    answer_s: float = 4.0  # while others are left: how long a place may stay silent
    fail_over_on: frozenset[int] = FAIL_OVER_ON  # statuses after which the next place is tried; never 6xx or busy
    headers: tuple[tuple[str, str], ...] = ()  # of ours, in the INVITE: P-Asserted-Identity and the like
    then: tuple[Dial, ...] = ()  # the same leg over further trunks, in this order, when no place of this one is left
    name: str = ""  # of `host`, which its certificate must have
    routes: tuple[str, ...] = ()  # Route values of its INVITE, instead of the trunk's
    besides: tuple[Fork, ...] = ()  # called at the same time: the first to answer has the call
    follow: bool = True  # a 3xx of the called side, where that may send the call

    @property
    def places(self) -> tuple[Place, ...]:
        return (Place(self.transport, self.host, self.port, self.name), *self.others)


@dataclass(frozen=True, slots=True)
class Forward:
    """Give the call to this worker. `leg_id` is ours; `headers` are added to the INVITE."""

    worker: WorkerAddress
    leg_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the call. `cause_text` names the rule and goes into the Reason header (RFC 3326)."""

    status: int  # 400-699
    reason: str  # reason phrase
    retry_after: int | None = None  # seconds; a 503 without it gets the edge's default
    cause_text: str = ""


@dataclass(frozen=True, slots=True)
class PeerRefers:
    """A peer asks us by REFER to call somebody else in its place. All of it has been parsed, and nothing checked."""

    leg_id: str  # whose peer asks
    refer_id: str  # what `Edge.report_refer` is told
    trunk: str  # of that leg
    target: str  # URI, without headers
    by: str  # URI of who asks (Referred-By, RFC 3892)
    replaces: Replaces | None = None  # the dialog that the call to the target is to replace
    replaced_leg: str = ""  # the leg of ours whose dialog that is; empty: somebody else's
    ours: bool = False  # the target's host is we
    require_replaces: bool = False  # that call has Require: replaces


@dataclass(frozen=True, slots=True)
class RefusedInvite:
    """An INVITE that was refused, by the edge or by the Admitter. Reported once per attempt, not per retransmission."""

    info: InviteInfo
    status: int
    reason: str
    cause_text: str
    rule: str  # "acl", "rate", "admitter", "max-forwards", "extension", "scheme", "too-large", "loop", "error"
    at: float  # seconds, loop clock
    leg_id: str = ""  # of the Forward, when the worker that it named is not registered: its slot must be released


@dataclass(frozen=True, slots=True)
class Flood:
    """Attempts of one source over the rate within about a minute: refused or dropped, not reported individually."""

    source: str  # IP address; "": sources beyond those listed separately
    trunk: str | None  # None: no trunk allows them
    attempts: int
    first_at: float  # seconds, loop clock
    last_at: float


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """Whether calls are accepted now; OPTIONS is answered accordingly."""

    accepting: bool = True
    retry_after: int = 10  # seconds
    reason: str = ""  # why not: "draining", "full"


@dataclass(frozen=True, slots=True)
class Later:
    """It cannot be decided yet: `Edge.decide(token)` has the admitter asked again. Until then the caller gets 100."""

    token: str


class Admitter(Protocol):
    """Decides what becomes of a new INVITE. Called on the loop: must not block or await."""

    def admit(self, invite: InviteInfo) -> Forward | Refuse | Later:
        """Once per attempt."""

    def admit_later(self, invite: InviteInfo, token: str) -> Forward | Refuse:
        """Once per `Later`, when its time has come and the caller has not given up."""

    def status(self) -> GatewayStatus: ...
