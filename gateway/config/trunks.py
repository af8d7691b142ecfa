"""Settings of a trunk beyond whom its calls come from: where ours go, its account, its registration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Secret

__all__ = [
    "TrunkAccountSettings",
    "TrunkCallerSettings",
    "TrunkCallersSettings",
    "TrunkHostSettings",
    "TrunkOutboundSettings",
    "TrunkProbeSettings",
    "TrunkRegistrationSettings",
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
        default=None, ge=1, le=65535, description="Its SIP port. Not given: what SRV says, else 5060."
    )
    transport: Literal["udp", "tcp"] | None = Field(
        default=None,
        description="There must be a listen address for it. Not given: what NAPTR and SRV say, else udp.",
    )


class TrunkOutboundSettings(TrunkHostSettings):
    """Where calls that we place over a trunk go. Without it none are placed."""

    fail_over: tuple[TrunkHostSettings, ...] = Field(
        default=(),
        description="Further hosts, in this order: tried if the ones before do not answer or cannot take a call.",
    )
    answer_s: float = Field(
        default=4.0, gt=0, le=32, description="Seconds without a sign of life until the next host is tried."
    )
    fail_over_on_480: bool = Field(
        default=False, description="Also try the next host after 480; always after 408 and 5xx, never after 486 or 6xx."
    )
    destinations: tuple[Annotated[str, Field(pattern=r"^\+?[0-9]+$")], ...] = Field(
        default=(),
        description='Beginnings of the numbers that may be called, such as `"+1555"`. Not given: none. '
        "All others are closed.",
    )
    caller: str = Field(default="", description="The number that calls come from when the persona names none.")


class TrunkAccountSettings(_Section):
    """What we answer the trunk's challenges (401, 407) with: MD5, SHA-256 or SHA-512-256, as it asks."""

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
    """Ask each host by OPTIONS whether it is there. One that is down is tried last."""

    every_s: float = Field(default=30.0, ge=1, le=3600, description="Seconds between probes.")
    retry_s: float = Field(default=5.0, ge=0.5, le=3600, description="Seconds until the next one after a failure.")
    answer_s: float = Field(default=5.0, gt=0, le=32, description="Seconds to wait for an answer.")
    down_after: int = Field(default=3, ge=1, le=100, description="Failures in a row until a host counts as down.")
    up_after: int = Field(default=2, ge=1, le=100, description="Answers in a row until it counts as up again.")


class TrunkCallerSettings(_Section):
    """Somebody who may call, with a password."""

    username: str = Field(pattern=_USER, max_length=128, description="User.")
    password: Secret = Field(description="Where the password is stored.")


class TrunkCallersSettings(_Section):
    """Challenge the trunk's callers for a password (digest, SHA-256 or MD5)."""

    realm: str = Field(min_length=1, max_length=255, description="The realm of the challenge.")
    users: tuple[TrunkCallerSettings, ...] = Field(min_length=1, description="Who may call.")
