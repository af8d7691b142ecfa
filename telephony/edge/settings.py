"""Settings of the edge. Contradictions are refused when they are created, not when a call arrives."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from telephony.edge.capabilities import Reliable
from telephony.edge.phone_settings import Phones
from telephony.edge.protocol import Transport
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials
from telephony.sip.media_policy import MediaPolicy, Network, TrunkMedia
from telephony.sip.probing import ProbePolicy
from telephony.sip.registration import RegistrationPolicy
from telephony.sip.resolving import Target
from telephony.sip.session_timer import SessionPolicy
from telephony.sip.srtp import Srtp
from telephony.sip.transactions import Timers

__all__ = [
    "EdgeLimits",
    "EdgeSettings",
    "EdgeTimers",
    "ListenAddress",
    "Registrar",
    "TlsIdentity",
    "TlsServer",
    "TlsVersion",
    "Trunk",
    "TrunkTls",
]

TlsVersion = Literal["1.2", "1.3"]

_TRANSPORTS: Mapping[str, Transport] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One public socket, as in `udp://127.0.0.1:5060`; port 0 lets the system choose (for tests)."""

    transport: Transport
    host: str  # IPv6 without brackets
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read `udp://host:port`, `tcp://…` or `tls://…`. Raises TelephonyMisuse for anything else."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise TelephonyMisuse(f"{text!r} is not a listen address: {error}") from error
        transport = _TRANSPORTS.get(parts.scheme)
        if transport is None or not host or port is None or parts.path or parts.query:
            raise TelephonyMisuse(f"{text!r} is not a listen address; write udp://, tcp:// or tls://host:port")
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise TelephonyMisuse(f"{text!r} must name an IP address, not a host name") from error
        return cls(transport, host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A certificate of ours and its key, read anew when a file changes."""

    certificate: Path  # PEM: ours, then those between it and its authority
    key: Callable[[], str] = field(repr=False)  # PEM; raises OSError, TelephonyError
    key_place: str = ""  # where that is, for errors
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class TlsServer:
    identity: TlsIdentity
    client_ca: Path | None = None  # whose certificates callers may show; None: they are not asked for one
    minimum: TlsVersion = "1.2"


@dataclass(frozen=True, slots=True)
class TrunkTls:
    """TLS with one trunk."""

    ca: Path | None = None  # that its certificate must come from; None: any that the system trusts
    name: str = ""  # that its certificate must have; empty: that of the host as it is configured
    identity: TlsIdentity | None = None  # our client certificate; None: none is shown
    callers: tuple[str, ...] = ()  # names of the client certificates that it must show; empty: none is wanted
    sips: bool = False  # its URIs are sips:


@dataclass(frozen=True, slots=True)
class Registrar:
    """`address` is what we register, `uri` where."""

    address: str  # "sip:bob@carrier.example", or sips:
    target: Target
    policy: RegistrationPolicy = field(default_factory=RegistrationPolicy)

    @property
    def uri(self) -> str:
        """Request-URI (RFC 3261 section 10.2): the domain of the address."""
        return f"{self.address.partition(':')[0]}:{self.address.rpartition('@')[2]}"

    @property
    def user(self) -> str:
        return self.address.partition(":")[2].rpartition("@")[0]


@dataclass(frozen=True, slots=True)
class Trunk:
    """A source that may call. Of several whose networks contain the source address, `which_trunk` chooses."""

    name: str
    allow: tuple[str, ...]  # networks in CIDR form, IPv4 or IPv6
    called_from: Literal["request-uri", "to"] = "request-uri"  # where it puts the called number
    trust_identity: bool = True  # P-Asserted-Identity and Remote-Party-ID count; else From names the caller
    media_networks: tuple[str, ...] = ()  # where its audio may go besides those; empty: any public address
    hosts: tuple[Target, ...] = ()  # where calls are sent to, in order; what they resolve to may call us, too
    session: SessionPolicy = field(default_factory=SessionPolicy)
    reliable: Reliable = "supported"  # provisional answers (RFC 3262)
    route: str = ""  # Route value of its outbound proxy; then `hosts` are the proxy's
    account: Credentials | None = None  # answers its challenges
    register: Registrar | None = None  # needs an account where the registrar asks for one
    probe: ProbePolicy | None = None
    callers: Mapping[str, str] | None = None  # user -> password: its callers are challenged for one of them
    realm: str = ""  # of those challenges
    tls: TrunkTls = field(default_factory=TrunkTls)
    numbers: tuple[str, ...] = ()  # beginnings of its called numbers, where several trunks are at one address
    domains: frozenset[str] = frozenset()  # hosts of its calls' Request-URI or To, in lower case
    headers_in: frozenset[str] = frozenset()  # the gateway is told of, besides X-…; in lower case
    srtp: Srtp = Srtp.OFFERED
    srtp_over_plain_sip: bool = False  # where it is required
    codecs: tuple[str, ...] = ()  # voice codecs, in order; none: all that workers have
    takes_refer: bool = False  # its phones may ask us by REFER to call somebody else (RFC 3515)
    takes_replaces: bool = False  # an INVITE of its phones may replace a dialog of ours (RFC 3891)
    behind_nat: bool = False  # it is single phones, any of which may be behind a NAT

    @property
    def scheme(self) -> str:
        """Of its URIs."""
        return "sips" if self.tls.sips else "sip"

    @property
    def media(self) -> TrunkMedia:
        def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
            return tuple(ipaddress.ip_network(text) for text in texts)

        allow, media = networks(self.allow), networks(self.media_networks)
        return TrunkMedia(allow, media, self.srtp, self.srtp_over_plain_sip, self.codecs, self.behind_nat)

    def __post_init__(self) -> None:
        for network in (*self.allow, *self.media_networks):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise TelephonyMisuse(f"trunk {self.name!r}: {error}") from error
        if self.callers is not None and not (self.callers and self.realm):
            raise TelephonyMisuse(f"trunk {self.name!r}: challenges need a realm and at least one user")


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds that keep one peer from harming the rest. Rates are per source address."""

    invites_per_second: float = 30.0  # new calls; a few more wait for their turn, over that: 503 with Retry-After
    invite_burst: int = 60
    invite_wait_s: float = 0.5  # the longest that a new call waits for its turn
    refusals_per_second: float = 200.0  # 503s to a source over its message rate; beyond that it is dropped
    refusal_burst: int = 400
    strangers_per_second: float = 2.0  # INVITEs of all sources without a trunk together; over it: only counted
    stranger_burst: int = 50
    stranger_messages_per_second: float = 20.0  # all strangers together, anything; over it: dropped unread
    stranger_message_burst: int = 100
    stranger_bytes_per_second: float = 32_768.0
    stranger_byte_burst: int = 131_072
    stranger_message_bytes: int = 4_096  # of one message; longer ones are dropped unread
    stranger_tcp_connections: int = 50  # all strangers together, separate from trunks
    stranger_tcp_per_source: int = 5
    stranger_tcp_idle_s: float = 5.0  # without a whole message; pings don't count
    stranger_tcp_half_message_s: float = 3.0
    messages_per_second: float = 600.0  # everything; over it: requests outside a dialog get 503
    message_burst: int = 1200
    hard_factor: float = 4.0  # over this many times the message rate and burst: dropped unread
    retry_after_s: int = 5  # Retry-After of a 503 that names none
    tracked_sources: int = 10_000  # sources with a token bucket; the longest silent is forgotten first
    message_bytes: int = 65_536
    tcp_connections: int = 1_000  # of trunks
    tcp_connections_per_source: int = 100
    tcp_idle_s: float = 600.0
    tcp_half_message_s: float = 10.0  # time for a message to become whole
    tcp_write_buffer_bytes: int = 262_144  # a peer that lets more than this pile up is cut off
    tcp_connect_s: float = 5.0
    tls_handshake_s: float = 5.0  # from the connection to the end of its handshake
    stranger_tls_handshake_s: float = 3.0
    certificates_checked_s: float = 5.0  # how often their files are looked at
    tls_handshakes_per_source: int = 20  # that are not done yet
    stranger_handshakes_per_second: float = 10.0  # of all strangers together: each may cost 4 ms
    stranger_handshake_burst: int = 20
    invite_timeout_s: float = 180.0  # unanswered and without a further provisional response (Timer C, RFC 3261 16.6)
    dialog_idle_s: float = 43_200.0  # an answered dialog without any message is forgotten
    remembered_attempts: int = 20_000  # INVITEs remembered to recognise retransmissions; the oldest are dropped first
    header_count: int = 32  # X-… headers handed to the Admitter
    header_bytes: int = 1_024  # of one such header

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise TelephonyMisuse(f"edge limit {name} must be more than 0")


@dataclass(frozen=True, slots=True)
class EdgeTimers:
    """How long the edge's transactions wait."""

    public: Timers = field(default_factory=Timers)
    # Loopback loses only packets that do not fit into a full socket buffer. With ticks of 100 ms a caller is answered
    # in 2 s.
    worker: Timers = field(default_factory=lambda: Timers(limit_s=1.8))
    cancelled_s: float = 1.8  # wait for a cancelled INVITE's own final answer; then the edge sends one
    dial_cancelled_s: float = 1.5  # the same for a call that a worker places: its leg waits for 2 s

    @property
    def after_bye_s(self) -> float:
        """As long as retransmissions can come."""
        return self.public.limit

    @property
    def kept_s(self) -> float:
        """Longer than either side retransmits (RFC 3261 section 17.1.1.2) or a message can be late."""
        return 2 * self.public.limit


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """`public_address` is what callers can reach us at; empty: the address of the socket a call came in on."""

    listen: tuple[str, ...]
    trunks: tuple[Trunk, ...]
    public_address: str = ""
    limits: EdgeLimits = field(default_factory=EdgeLimits)
    media: MediaPolicy = field(default_factory=MediaPolicy)
    timers: EdgeTimers = field(default_factory=EdgeTimers)
    tls: TlsServer | None = None  # required to listen for TLS
    phones: Phones | None = None  # who may register with us; their trunk is among `trunks`

    def __post_init__(self) -> None:
        if not self.listen:
            raise TelephonyMisuse("the edge has nothing to listen on")
        for text in self.listen:
            address = ListenAddress.parse(text)
            if address.transport == "tls" and self.tls is None:
                raise TelephonyMisuse(f"{text} needs a certificate")
            unspecified = ipaddress.ip_address(address.host).is_unspecified
            if unspecified and not self.public_address:
                raise TelephonyMisuse(f"{text} listens on every address, so public_address must be set")
        names = [trunk.name for trunk in self.trunks]
        if len(set(names)) != len(names):
            raise TelephonyMisuse("two trunks have the same name")
        if self.phones is not None and self.phones.trunk not in names:
            raise TelephonyMisuse(f"phones' trunk {self.phones.trunk!r} is not among the trunks")
        if any(forbidden in self.public_address for forbidden in " \r\n;<>@/"):
            raise TelephonyMisuse(f"public_address {self.public_address!r} is not a host name or IP address")
