"""What the Admitter is told about an INVITE. Pure."""

from __future__ import annotations

from telephony.edge.diversions import diversions_of
from telephony.edge.hops import Hop
from telephony.edge.identity import caller_of, user_of
from telephony.edge.protocol import InviteInfo, Source
from telephony.edge.settings import EdgeLimits, Trunk
from telephony.sip.parse import Request
from telephony.sip.uri import phone_user

__all__ = ["invite_info"]


def invite_info(request: Request, hop: Hop, trunk: Trunk | None, limits: EdgeLimits, now: float) -> InviteInfo:
    called, to_user = phone_user(request.uri), user_of(request.recipient.uri)
    if trunk is not None and trunk.called_from == "to" and to_user:
        called = to_user
    return InviteInfo(
        sip_call_id=request.call_id,
        called=called,
        to_user=to_user,
        caller=caller_of(request, trusted=trunk is not None and trunk.trust_identity),
        headers=_extra_headers(request, limits, frozenset() if trunk is None else trunk.headers_in),
        trunk=trunk.name if trunk is not None else None,
        source=Source(hop.ip, hop.port, hop.transport),
        received_at=now,
        diversions=diversions_of(request) if trunk is not None and trunk.trust_identity else (),
    )


def _extra_headers(request: Request, limits: EdgeLimits, wanted: frozenset[str]) -> dict[str, str]:
    """X-… headers, and those that are `wanted` (in lower case): the first of each name, without excess or overlong
    ones; never our own names from outside."""
    headers: dict[str, str] = {}
    for name, values in request.headers.items():
        lower = name.lower()
        if (not lower.startswith("x-") and lower not in wanted) or lower.startswith("x-trunkline-"):
            continue
        if len(headers) >= limits.header_count and lower not in wanted:
            continue
        if values and len(values[0]) <= limits.header_bytes:
            headers[name] = values[0]
    return headers
