"""What the Admitter gets to know of an INVITE. Pure."""

from __future__ import annotations

from telephony.edge.hops import Hop
from telephony.edge.parse import Request
from telephony.edge.protocol import InviteInfo, Source
from telephony.edge.settings import EdgeLimits
from telephony.edge.uri import Uri, parse_name_addr, parse_uri, phone_user

__all__ = ["invite_info"]

_WITHHOLDING = frozenset({"id", "user", "header"})  # RFC 3323 section 4.2, RFC 3325 section 9.3


def invite_info(request: Request, hop: Hop, trunk: str | None, limits: EdgeLimits, now: float) -> InviteInfo:
    return InviteInfo(
        sip_call_id=request.call_id,
        called=phone_user(request.uri),
        to_user=_user_of(request.recipient.uri),
        caller=_caller(request),
        headers=_extra_headers(request, limits),
        trunk=trunk,
        source=Source(hop.ip, hop.port, hop.transport),
        received_at=now,
    )


def _uri(text: str) -> Uri | None:
    try:
        return parse_uri(text)
    except ValueError:
        return None


def _user_of(text: str) -> str:
    uri = _uri(text)
    return phone_user(uri) if uri is not None else ""


def _caller(request: Request) -> str | None:
    """P-Asserted-Identity before From (RFC 3325 section 9.1), unless the caller withholds it."""
    privacy = {part.strip().lower() for part in request.value("privacy").split(";")}
    if privacy & _WITHHOLDING:
        return None
    if asserted := request.value("p-asserted-identity"):
        try:
            if user := _user_of(parse_name_addr(asserted).uri):
                return user
        except ValueError:
            pass  # a broken identity asserts nothing
    uri = _uri(request.sender.uri)
    if uri is None or uri.host.lower() == "anonymous.invalid":  # RFC 3323 section 4.1.1.3
        return None
    user = phone_user(uri)
    return None if user.lower() in ("", "anonymous") else user


def _extra_headers(request: Request, limits: EdgeLimits) -> dict[str, str]:
    """X-… headers: the first of each name, those that are too long or too many left out; ours never from outside."""
    headers: dict[str, str] = {}
    for name, values in request.headers.items():
        lower = name.lower()
        if not lower.startswith("x-") or lower.startswith("x-trunkline-"):
            continue
        if len(headers) >= limits.header_count:
            break
        if values and len(values[0]) <= limits.header_bytes:
            headers[name] = values[0]
    return headers
