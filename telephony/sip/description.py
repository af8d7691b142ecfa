"""A session description as values (RFC 8866), and its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from telephony.errors import PeerError

__all__ = [
    "Codec",
    "Crypto",
    "Direction",
    "IpAddress",
    "Media",
    "Origin",
    "Rtcp",
    "SdpError",
    "SdpNotAcceptable",
    "SessionDescription",
]

IpAddress = IPv4Address | IPv6Address


class SdpError(PeerError):
    """A description that cannot be read. `warning` is a warn-code of RFC 3261 section 20.43."""

    sip_status = 400
    warning = 399

    def __init__(self, text: str, warning: int = 399) -> None:
        super().__init__(text)
        self.warning = warning


class SdpNotAcceptable(SdpError):
    """It can be read, but not satisfied."""

    sip_status = 488


class Direction(StrEnum):
    """As seen by the description's author (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Codec:
    """One RTP payload type. `name` as received; compare by `key`."""

    payload_type: int
    name: str
    rate: int  # of the RTP clock, in Hz
    channels: int = 1
    fmtp: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.name.upper(), self.rate, self.channels)


@dataclass(frozen=True, slots=True)
class Crypto:
    """An SDES key (RFC 4568) without lifetime. Lines with a master key index or session parameters, which change the
    packets' format, are not read."""

    tag: int
    suite: str
    key: str = field(repr=False)  # base64


@dataclass(frozen=True, slots=True)
class Rtcp:
    """Where RTCP is expected (RFC 3605); `address` None: the stream's own."""

    port: int
    address: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    session_id: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Media:
    """One m= line and what belongs to it. `codecs`: only of RTP streams; `formats`: always."""

    kind: str  # "audio", "video", "image", …
    port: int  # 0: refused, or not wanted
    protocol: str  # "RTP/AVP", "RTP/SAVP", "udptl", …
    formats: tuple[str, ...]
    address: IpAddress | None = None  # None only where port is 0
    codecs: tuple[Codec, ...] = ()
    direction: Direction = Direction.SENDRECV
    ptime_ms: int | None = None
    maxptime_ms: int | None = None
    rtcp: Rtcp | None = None
    rtcp_mux: bool = False
    silence_suppression: bool | None = None  # a=silenceSupp (RFC 3108); None: not given
    crypto: tuple[Crypto, ...] = ()

    @property
    def rtp_address(self) -> tuple[IpAddress, int] | None:
        """Where its packets go."""
        return (self.address, self.port) if self.address is not None and self.port else None

    @property
    def comfort_noise(self) -> bool:
        """The peer may send comfort noise (RFC 3389) instead of audio."""
        return any(codec.name.upper() == "CN" for codec in self.codecs)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    origin: Origin
    media: tuple[Media, ...]

    @property
    def audio(self) -> Media | None:
        """The first audio stream that is wanted."""
        return next((media for media in self.media if media.kind == "audio" and media.port), None)
