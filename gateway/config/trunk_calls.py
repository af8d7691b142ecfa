"""Settings of a trunk's calls: its way to write numbers, how many calls, who they say they come from, their headers."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "VARIABLE",
    "Destination",
    "HeaderInSettings",
    "HeaderOutSettings",
    "Kind",
    "Number",
    "TrunkCapSettings",
    "TrunkIdentitySettings",
    "TrunkInboundSettings",
    "TrunkNumberSettings",
    "TrunkTransferSettings",
]

_HOST = r"^([A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|[0-9.]+|\[[0-9A-Fa-f:.]+\])$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
Format = Literal["e164", "digits", "national"]
Kind = Literal[
    "premium_rate",
    "shared_cost",
    "satellite",
    "personal_number",
    "pager",
    "universal_access",
    "voicemail",
    "international_network",
]
Role = Literal["human", "customer"]  # of a leg
Number = Annotated[str, Field(pattern=r"^\+?[0-9]{2,15}$")]
# Those that make a SIP message what it is, or say where it goes and who sent it (RFC 3261 section 20, RFC 3325).
_NAMES = """
accept accept-encoding accept-language alert-info allow allow-events authentication-info authorization call-id call-info
contact content-disposition content-encoding content-language content-length content-type cseq date diversion error-info
event expires from geolocation history-info identity identity-info in-reply-to join max-breadth max-forwards
mime-version min-expires min-se organization p-access-network-info p-asserted-identity p-asserted-service
p-associated-uri p-called-party-id p-preferred-identity path privacy proxy-authenticate proxy-authorization
proxy-require rack reason record-route refer-to referred-by refer-sub remote-party-id replaces require retry-after route
rseq security-client security-server security-verify server service-route session-expires sip-etag sip-if-match
subscription-state supported target-dialog timestamp to unsupported user-agent via warning www-authenticate
a b c d e f i j k l m n o r s t u v x y
"""
_OURS = frozenset(_NAMES.split())


def _destination(text: str) -> str:
    if re.fullmatch(r"\+?[0-9]+", text):
        return text
    from phonenumbers import SUPPORTED_REGIONS  # asked only for countries

    if text not in SUPPORTED_REGIONS:
        raise ValueError(f'"{text}" is neither the beginning of a number, as in "+1555", nor a country, as in "US"')
    return text


def _header_of_ours(name: str) -> str:
    if name.lower() in _OURS or name.lower().startswith("x-trunkline-"):
        raise ValueError(f'"{name}" is not for a variable: the gateway writes it itself')
    return name


Destination = Annotated[str, AfterValidator(_destination)]
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9\-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TrunkNumberSettings(_Section):
    """How the trunk writes numbers. Ours are always E.164 with `+`."""

    format: Format = Field(
        default="e164",
        description="Of the numbers that we call and call from. e164: `+15551234567`; digits: `15551234567`; national: "
        "as dialled within `region`, `5551234567`, numbers abroad with its prefix for calls abroad.",
    )
    caller_format: Format | None = Field(
        default=None, description="Of the numbers that we call from. Default: as `format`."
    )
    prefix: str = Field(
        default="", pattern=r"^[0-9*#]{0,10}$", description="Digits before each number that is called, such as `9`."
    )
    user_phone: bool = Field(default=False, description="Add `;user=phone` to addresses of numbers.")
    inbound_format: Format | None = Field(
        default=None,
        description="Of numbers in calls from the trunk. Default: as `format`. What cannot be such a number is "
        "recognised as without this setting.",
    )
    inbound_prefix: str = Field(
        default="", pattern=r"^\+?[0-9*#]{0,10}$", description="Digits that it puts before called numbers: taken off."
    )


class TrunkCapSettings(_Section):
    """How many calls the trunk takes. A call that finds it full waits for `queue_s`, then it is refused."""

    calls: int | None = Field(default=None, ge=1, le=100_000, description="Calls at once. Default: no limit.")
    calls_per_second: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="New calls a second, that is at least 1/N s between two of them. Default: no limit.",
    )
    queue_s: float = Field(default=5.0, ge=0, le=30, description="How long a call waits for its turn.")
    inbound: bool = Field(default=False, description="Whether calls from the trunk count in `calls`, too.")


class TrunkIdentitySettings(_Section):
    """Who calls over the trunk say that they come from."""

    asserted: bool = Field(default=False, description="Send the caller's number as P-Asserted-Identity (RFC 3325).")
    privacy: bool = Field(
        default=False,
        description="The trunk keeps numbers private: `private: true` of a call sends an anonymous From and "
        "`Privacy: id` (RFC 3323). Without it such a call is refused.",
    )
    domain: Annotated[str, Field(pattern=_HOST, max_length=255)] | None = Field(
        default=None, description="Domain of our numbers in From and P-Asserted-Identity. Default: our public address."
    )


class TrunkInboundSettings(_Section):
    """Which calls from `allow` are the trunk's. Only needed when several trunks send from the same address."""

    numbers: tuple[Annotated[str, Field(pattern=r"^\+?[0-9]+$")], ...] = Field(
        default=(), description="Beginnings of its called numbers. Not given: any."
    )
    domains: tuple[Annotated[str, Field(pattern=_HOST, max_length=255)], ...] = Field(
        default=(), description="Hosts in the Request-URI or To of its calls. Not given: any."
    )


class TrunkTransferSettings(_Section):
    """What the trunk's phones may do with our calls by themselves. Everybody they transfer to must be open to
    transfers: the trunks' `destinations` and hosts."""

    refer: tuple[Role, ...] = Field(
        default=(),
        description="Whose REFER is honoured, as the phone's transfer key sends it (RFC 3515): we call the target and "
        "join it in the phone's place. human: whoever our calls were transferred to; customer: the other side of the "
        "call. Not given: nobody's.",
    )
    replaces: tuple[Role, ...] = Field(
        default=(),
        description="Whose legs an INVITE with Replaces may take over (RFC 3891): call pick-up, and attended transfers "
        "of a PBX. Only for callers of the leg's own trunk. Not given: nobody's.",
    )
    follow_redirects: bool = Field(
        default=False,
        description="Whether a phone that we call in may send the call elsewhere by 302 (forwarding on the phone), to "
        "hosts of the trunk. If not, whoever redirects is not reached.",
    )


class HeaderInSettings(_Section):
    """A header of the trunk's INVITE that becomes a variable of the call."""

    header: _HeaderName = Field(description="Its name, such as `X-Account`.")
    variable: str = Field(pattern=VARIABLE, description="The variable, in `ctx.call.info.variables`.")


class HeaderOutSettings(_Section):
    """A variable of a call that we place, which becomes a header of its INVITE."""

    variable: str = Field(pattern=VARIABLE, description="One of the call's `variables`.")
    header: Annotated[_HeaderName, AfterValidator(_header_of_ours)] = Field(
        description="Its name. None that SIP or the gateway itself uses."
    )
