"""What a REGISTER asks for (RFC 3261 section 10.2, RFC 3327, RFC 5626). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from telephony.sip.headers import seconds_of
from telephony.sip.parse import Request
from telephony.sip.uri import NameAddr, contact_uri, parse_name_addr, try_uri

__all__ = ["RegisterOrder", "RegisterRefused", "WantedContact", "read_register"]

_MOST_CONTACTS = 10  # of one REGISTER
_MOST_PATHS = 5
_LONGEST_URI = 512
_LONGEST_INSTANCE = 256
_LONGEST_AGENT = 100


class RegisterRefused(Exception):
    """`headers` go into the answer."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class WantedContact:
    """`expires_s` None: as long as is usual; 0: it is to be removed."""

    uri: str
    expires_s: int | None
    q: float = 1.0
    instance: str = ""
    reg_id: int = 0


@dataclass(frozen=True, slots=True)
class RegisterOrder:
    """`all_of_them`: `Contact: *`, all bindings are to be removed. Neither that nor contacts: a question only."""

    call_id: str
    cseq: int
    contacts: tuple[WantedContact, ...] = ()
    all_of_them: bool = False
    path: tuple[str, ...] = field(default=())
    agent: str = ""


def read_register(request: Request) -> RegisterOrder:
    """Raises RegisterRefused."""
    expires_s = seconds_of(request.value("expires"))
    values = request.headers.get("contact")
    all_of_them = any(value.strip() == "*" for value in values)
    if all_of_them and (len(values) > 1 or expires_s != 0):
        raise RegisterRefused(400, "Contact * needs Expires 0, and no other Contact")
    if len(values) > _MOST_CONTACTS:
        raise RegisterRefused(400, "Too many contacts")
    contacts = () if all_of_them else tuple(_contact(value, expires_s) for value in values)
    path = tuple(request.headers.get("path"))
    if len(path) > _MOST_PATHS or not all(contact_uri(value) for value in path):
        raise RegisterRefused(400, "Bad Path")
    agent = "".join(char for char in request.value("user-agent") if char.isprintable())[:_LONGEST_AGENT]
    return RegisterOrder(request.call_id, request.cseq, contacts, all_of_them, path, agent)


def _contact(value: str, expires_s: int | None) -> WantedContact:
    try:
        address = parse_name_addr(value)
    except ValueError:
        raise RegisterRefused(400, "Bad Contact") from None
    uri = contact_uri(value)
    parsed = try_uri(uri)
    if parsed is None or parsed.scheme not in ("sip", "sips") or not parsed.host or len(uri) > _LONGEST_URI:
        raise RegisterRefused(400, "Bad Contact")
    own = seconds_of(address.params["expires"]) if "expires" in address.params else None
    return WantedContact(
        uri,
        expires_s if own is None else own,
        _preference(address),
        address.params.get("+sip.instance", "").strip('"')[:_LONGEST_INSTANCE],
        min(seconds_of(address.params.get("reg-id", "")) or 0, 2**31 - 1),
    )


def _preference(address: NameAddr) -> float:
    text = address.params.get("q", "1")
    try:
        return min(max(float(text), 0.0), 1.0) if len(text) <= 5 else 1.0
    except ValueError:
        return 1.0
