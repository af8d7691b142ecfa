"""Settings of a trunk: whom its calls come from, where ours go, its account, its registration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Network, Region, Secret
from gateway.config.tls import TrunkTlsSettings
from gateway.config.trunk_calls import (
    Destination,
    HeaderInSettings,
    HeaderOutSettings,
    Kind,
    Number,
    TrunkCapSettings,
    TrunkIdentitySettings,
    TrunkInboundSettings,
    TrunkNumberSettings,
    TrunkTransferSettings,
)

__all__ = [
    "TrunkAccountSettings",
    "TrunkCallerSettings",
    "TrunkCallersSettings",
    "TrunkHostSettings",
    "TrunkOutboundSettings",
    "TrunkProbeSettings",
    "TrunkRegistrationSettings",
    "TrunkSessionTimerSettings",
    "TrunkSettings",
]

_HOST = r"^([A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|[0-9.]+|\[[0-9A-Fa-f:.]+\])$"
_USER = r"^[^\x00-\x20\x7f\"<>;@:]+$"
Host = Annotated[str, Field(pattern=_HOST, max_length=255)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TrunkHostSettings(_Section):
    """A host of the carrier or PBX."""

    host: Host = Field(description="IP address, host name or domain. Names are looked up by RFC 3263 (NAPTR, SRV, A).")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Its SIP port. Not given: what SRV says, else 5060, and 5061 for tls.",
    )
    transport: Literal["udp", "tcp", "tls"] | None = Field(
        default=None,
        description="There must be a listen address for it. Not given: what NAPTR and SRV say, else udp. With tls "
        "nothing is sent in the clear, whatever fails.",
    )

    @property
    def uri_transport(self) -> str:
        """The parameter of a `sip:` URI that says it (RFC 3261 section 19.1.1); udp is what none means."""
        return f";transport={self.transport}" if self.transport in ("tcp", "tls") else ""


class TrunkOutboundSettings(TrunkHostSettings):
    """Destination of calls placed over a trunk. Without it none are placed."""

    proxy: TrunkHostSettings | None = Field(
        default=None,
        description="Outbound proxy: calls and registrations go to its hosts, with a Route header naming it. `host` "
        "is then only the domain of the number that is called.",
    )
    fail_over: tuple[TrunkHostSettings, ...] = Field(
        default=(),
        description="Further hosts, in this order: tried if the previous ones do not answer or cannot take a call.",
    )
    answer_s: float = Field(
        default=4.0, gt=0, le=32, description="Seconds without a sign of life until the next host is tried."
    )
    fail_over_on_480: bool = Field(
        default=False, description="Also try the next host after 480; always after 408 and 5xx, never after 486 or 6xx."
    )
    destinations: tuple[Destination, ...] = Field(
        default=(),
        description='Beginnings of the numbers that may be called, such as `"+1555"`, and countries, such as `US`. Not '
        "given: none. All others are closed. A country code alone (`+1`, `+44`) opens its main country (`+1`: the "
        "United States with Puerto Rico and the US Virgin Islands, and Canada), not the others that share it.",
    )
    allow_kinds: tuple[Kind, ...] = Field(
        default=(), description="Kinds of numbers that are closed although `destinations` has them, unless named here."
    )
    caller: str = Field(default="", description="The number that calls come from when they name none.")
    callers: tuple[Number, ...] = Field(
        default=(), description="The same, several numbers: each call comes from the next one."
    )
    caller_choice: Literal["listed", "any"] = Field(
        default="listed",
        description="What a call may name itself (`from`): `caller` and `callers` only, or any number.",
    )


class TrunkAccountSettings(_Section):
    """Credentials for the trunk's challenges (401, 407), with MD5, SHA-256 or SHA-512-256 as requested."""

    username: str = Field(pattern=_USER, max_length=128, description="User of the account.")
    password: Secret = Field(description="Where the password is stored.")
    realm: str = Field(
        default="", max_length=255, description="The only realm that it is for. Not given: whichever asks."
    )


class TrunkRegistrationSettings(_Section):
    """Register with the trunk, so that it knows where to send its calls."""

    user: str = Field(pattern=_USER, max_length=128, description="User part of the address that is registered.")
    domain: Host = Field(description="Its domain.")
    registrar: TrunkHostSettings | None = Field(
        default=None, description="Where to register, if that is not where the domain's name leads."
    )
    expiry_s: int = Field(
        default=3600, ge=30, le=86_400, description="Seconds to ask for; the registrar decides. Refreshed at 3/4 of it."
    )


class TrunkProbeSettings(_Section):
    """Probe each host with OPTIONS. A host that is down is tried last."""

    every_s: float = Field(default=30.0, ge=1, le=3600, description="Seconds between probes.")
    retry_s: float = Field(default=5.0, ge=0.5, le=3600, description="Seconds until the next one after a failure.")
    answer_s: float = Field(default=5.0, gt=0, le=32, description="Seconds to wait for an answer.")
    down_after: int = Field(default=3, ge=1, le=100, description="Failures in a row until a host counts as down.")
    up_after: int = Field(default=2, ge=1, le=100, description="Answers in a row until it counts as up again.")


class TrunkCallerSettings(_Section):
    """A caller with a password."""

    username: str = Field(pattern=_USER, max_length=128, description="User.")
    password: Secret = Field(description="Where the password is stored.")


class TrunkCallersSettings(_Section):
    """Challenge the trunk's callers for a password (digest, SHA-256 or MD5)."""

    realm: str = Field(min_length=1, max_length=255, description="The realm of the challenge.")
    users: tuple[TrunkCallerSettings, ...] = Field(min_length=1, description="Who may call.")


class TrunkSessionTimerSettings(_Section):
    """Session timers (RFC 4028): a call that nobody refreshes in time is ended."""

    expires_s: int = Field(
        default=1800, ge=90, le=86_400, description="Longest time between refreshes to ask for, and to agree to."
    )
    refresher: Literal["us", "them", "either"] = Field(
        default="either",
        description="Who refreshes. us: we do, even if the other side asks for no timer. either: as it says.",
    )


class TrunkSettings(_Section):
    """A source that may send us calls."""

    name: str = Field(min_length=1, description="Its name in call records and logs.")
    allow: tuple[Network, ...] = Field(
        description="Networks its calls come from. Others get 403. May be empty with `tls.client_names`."
    )
    tls: TrunkTlsSettings = Field(default=TrunkTlsSettings(), description="TLS with it.")
    codecs: tuple[Literal["pcmu", "pcma", "g722"], ...] = Field(
        default=(),
        description="Voice codecs of its calls, best first; no others are offered or accepted. Not given: pcmu, pcma "
        "and g722 in calls that we place, and the caller's order in its own.",
    )
    srtp: Literal["off", "offered", "required"] = Field(
        default="offered",
        description="Encrypted audio (SRTP with SDES keys), in both directions. off: never; offered: if the other side "
        "can, too (RTP/AVP with keys); required: RTP/SAVP, and no call without it.",
    )
    srtp_over_plain_sip: bool = Field(
        default=False,
        description="Whether `srtp: required` is accepted without TLS, where anybody on the way can read the keys.",
    )
    region: Region | None = Field(
        default=None, description="Country of its numbers without a country code; default: the dialplan's `region`."
    )
    media_networks: tuple[Network, ...] = Field(
        default=(),
        description="Further networks of its audio, besides `allow`. If given, an SDP with any other address "
        "is refused; otherwise any public address is accepted.",
    )
    called_from: Literal["request-uri", "to"] = Field(
        default="request-uri",
        description="Where the called number is: in the Request-URI, or in To (for trunks that dial a fixed user).",
    )
    outbound: TrunkOutboundSettings | None = Field(
        default=None,
        description="Where calls over it go, and which numbers may be called. Not given: none are placed.",
    )
    account: TrunkAccountSettings | None = Field(
        default=None, description="Our user and password there, for registration and calls."
    )
    registration: TrunkRegistrationSettings | None = Field(
        default=None, description="Register with it. Not given: it knows our address by itself."
    )
    probe: TrunkProbeSettings | None = Field(
        default=None, description="Ask its hosts (`outbound`) by OPTIONS whether they are up. Not given: not asked."
    )
    callers: TrunkCallersSettings | None = Field(
        default=None, description="Challenge its callers for a password. Not given: `allow` is enough."
    )
    dtmf: Literal["auto", "rfc4733", "info", "inband"] = Field(
        default="auto",
        description="How keys go. auto: ours as RFC 4733 events, or as tones where those are not agreed on; and tones "
        "of the other side are listened for until an event has come. rfc4733, info: ours that way, and no tones are "
        "listened for. inband: tones, both ways. Events and INFO are always taken.",
    )
    session_timer: TrunkSessionTimerSettings = Field(
        default=TrunkSessionTimerSettings(), description="Refreshes of long calls, so that dead ones are noticed."
    )
    reliable_provisional: Literal["off", "supported", "required"] = Field(
        default="supported",
        description="Ringing and early media with acknowledgement (100rel, PRACK: RFC 3262). supported: if the other "
        "side requires it. required: our calls require it, and callers that can do it get it. off: refused.",
    )
    numbers: TrunkNumberSettings = Field(
        default=TrunkNumberSettings(), description="How it writes numbers. Default: E.164."
    )
    cap: TrunkCapSettings | None = Field(default=None, description="How many calls it takes. Not given: any number.")
    identity: TrunkIdentitySettings = Field(
        default=TrunkIdentitySettings(), description="Who our calls say that they come from."
    )
    inbound: TrunkInboundSettings | None = Field(
        default=None, description="Which calls from `allow` are its own, where several trunks send from one address."
    )
    transfers: TrunkTransferSettings = Field(
        default=TrunkTransferSettings(), description="What its phones may do with our calls by themselves."
    )
    headers_in: tuple[HeaderInSettings, ...] = Field(
        default=(), max_length=30, description="Headers of its INVITEs that become variables of the call."
    )
    headers_out: tuple[HeaderOutSettings, ...] = Field(
        default=(), max_length=30, description="Variables of our calls that become headers of the INVITE."
    )
    trust_identity: bool = Field(
        default=True,
        description="Whether P-Asserted-Identity and Remote-Party-ID identify the caller. If not, From does. "
        "Withheld numbers (Privacy) stay withheld either way.",
    )

    @property
    def media_sources(self) -> tuple[str, ...]:
        """Networks that its callers' audio may come from if that differs from their SDP (NAT)."""
        return tuple(str(network) for network in (*self.allow, *self.media_networks))
