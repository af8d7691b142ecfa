"""Settings of LiveKit SIP as a trunk driver."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Secret
from gateway.config.trunk_calls import Destination, Kind

__all__ = ["LiveKitOutboundSettings"]


class LiveKitOutboundSettings(BaseModel):
    """A carrier that LiveKit SIP calls through; `trunkline livekit sync` configures it in LiveKit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=64, description="Its name in calls and commands.")
    address: str = Field(
        pattern=r"^[A-Za-z0-9._\-\[\]:]+$",
        description="Its host, or host:port; not a SIP URI.",
    )
    numbers: tuple[Annotated[str, Field(pattern=r"^\+?[\w*#.-]+$")], ...] = Field(
        min_length=1, description="Caller numbers that it accepts. One of them is used if a call gives none."
    )
    destinations: tuple[Destination, ...] = Field(
        default=(), description="What `POST /v1/calls` may call through it, as a trunk's `outbound.destinations`."
    )
    allow_kinds: tuple[Kind, ...] = Field(
        default=(), description="Kinds of numbers that are closed although `destinations` has them, unless named here."
    )
    transport: Literal["auto", "udp", "tcp", "tls"] = Field(default="auto", description="auto: LiveKit's choice.")
    auth_username: str = Field(default="", max_length=128, description="If it requires a user and password.")
    auth_password: Secret | None = Field(default=None, description="Where the password is stored.")
