"""Settings of phones that register with our own registrar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Network, Secret
from gateway.config.located_yaml import Located
from gateway.config.trunk_calls import Number, TrunkTransferSettings

__all__ = ["PhoneSettings", "PhonesSettings", "phone_contradictions"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._~-]{0,63}$")]
_PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
    *("fc00::/7", "fe80::/10", "::1/128"),
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PhoneSettings(_Section):
    """A phone, with one device or several."""

    name: Name = Field(
        description="Its user: what it registers as, and `phone:NAME` as a target. Lower case, digits, `.`, `-`, `_`."
    )
    password: Secret = Field(description="Where its password is stored.")
    allow: tuple[Network, ...] = Field(
        default=(), description="Networks that it may register and call from. Default: wherever phones may be."
    )
    supervises: bool = Field(
        default=False, description="Whether it may listen in and take calls over, by dialling `supervision`."
    )
    number: Number | None = Field(
        default=None, description="The number that its calls come from, for dialplan and records. Default: its name."
    )


class PhonesSettings(_Section):
    """Our own registrar: phones of people who take callers over, such as the members of queues, and who call us."""

    trunk: str = Field(
        default="phones",
        min_length=1,
        max_length=64,
        description="What their calls are of in records and events, as a trunk's are. No trunk has this name.",
    )
    realm: str = Field(default="trunkline", min_length=1, max_length=255, description="The realm of their passwords.")
    domains: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-\[\]:]{1,255}$")], ...] = Field(
        default=(),
        description="Names of ours: `sip:NAME@DOMAIN` is the phone NAME. Our addresses are too, without being named.",
    )
    allow: tuple[Network, ...] = Field(
        default=_PRIVATE,
        validate_default=True,
        description="Networks that phones may register and call from. Default: private ones.",
    )
    anywhere: bool = Field(
        default=False,
        description="Whether phones may register from all other addresses, too. Until they have, these share what "
        "strangers may send; a phone there must be registered to call.",
    )
    digest: tuple[Literal["MD5", "SHA-256"], ...] = Field(
        default=("MD5", "SHA-256"),
        min_length=1,
        max_length=2,
        description="Algorithms of the challenges, in the order that they are offered in. Phones take the first that "
        "they know; MD5 comes first since many, such as sipp, look at no other. `[SHA-256]` where all phones know it.",
    )
    shortest_s: int = Field(default=60, ge=10, le=3600, description="Least registration; less is refused with 423.")
    longest_s: int = Field(default=3600, ge=60, le=86_400, description="Longest registration; more is shortened.")
    most_devices: int = Field(
        default=5, ge=1, le=20, description="Devices of one phone; one more takes the place of the oldest."
    )
    keep_alive_s: float = Field(
        default=30.0,
        ge=5,
        le=600,
        description="Each device is asked by OPTIONS this often, which keeps a NAT open. One that gives no answer, "
        "three times in a row, or to a call, is not called until it answers again.",
    )
    srtp: Literal["off", "offered", "required"] = Field(
        default="offered", description="Encrypted audio with phones, as `sip.trunks[].srtp`."
    )
    srtp_over_plain_sip: bool = Field(default=False, description="Whether `srtp: required` is accepted without TLS.")
    supervision: str | None = Field(
        default=None,
        pattern=r"^[0-9*#+]{2,20}$",
        description="What phones with `supervises` dial to supervise a call, such as `*90`: the latest that is "
        "answered; `*902`: the second latest, up to 9. They are called back. Not given: nobody can.",
    )
    transfers: TrunkTransferSettings = Field(
        default=TrunkTransferSettings(), description="What phones may do with our calls by themselves, as for trunks."
    )
    users: tuple[PhoneSettings, ...] = Field(min_length=1, description="The phones.")

    @property
    def media_sources(self) -> tuple[str, ...]:
        """Networks that their audio may come from if that differs from their SDP."""
        return tuple(str(network) for network in self.allow)

    def named(self, name: str) -> PhoneSettings | None:
        return next((phone for phone in self.users if phone.name == name.lower()), None)


def phone_contradictions(phones: PhonesSettings | None, trunks: tuple[str, ...]) -> Iterator[tuple[Located, str]]:
    if phones is None:
        return
    if phones.trunk in trunks:
        yield ("sip", "phones", "trunk"), f'there is a trunk "{phones.trunk}": calls of phones need a name of their own'
    if phones.shortest_s > phones.longest_s:
        yield ("sip", "phones", "shortest_s"), f"more than longest_s ({phones.longest_s})"
    for index, phone in enumerate(phones.users):
        if any(phone.name == other.name for other in phones.users[:index]):
            yield ("sip", "phones", "users", index, "name"), f'duplicate phone "{phone.name}"'
