"""The way of a request within a dialog to its caller."""

from __future__ import annotations

from collections.abc import Sequence

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog
from telephony.edge.hops import Hop, SendPublic
from telephony.edge.own_requests import headers_within
from telephony.sip.uri import contact_uri, route_uri, try_uri
from telephony.sip.writing import own_request

__all__ = ["acknowledge", "way_to", "way_to_public"]


def way_to_public(context: EdgeContext, dialog: Dialog) -> tuple[str, list[str], Hop]:
    """Request-URI, Route set and hop of a request in the dialog."""
    public = dialog.public
    return way_to(context, public.hop, dialog.trunk, public.contact, public.routes)


def way_to(
    context: EdgeContext, flow: Hop, trunk: str, uri: str, route_set: Sequence[str]
) -> tuple[str, list[str], Hop]:
    """The same for a target at `flow`, which belongs to the trunk."""
    routes = list(route_set)
    top = route_uri(routes[0]) if routes else None
    target = top if top is not None else try_uri(uri)
    if top is not None and "lr" not in [part.partition("=")[0] for part in top.params.split(";")]:
        uri, routes = contact_uri(routes[0]), [*routes[1:], f"<{uri}>"]  # a strict router is next (section 12.2.1.1)
    return uri, routes, context.trust.way(flow, trunk, target)


def acknowledge(context: EdgeContext, dialog: Dialog, cseq: int, branch: str = "") -> SendPublic:
    """ACK of the peer's answer to a re-INVITE. `branch`: of that INVITE, for a non-2xx (RFC 3261 section 17.1.1.3)."""
    uri, routes, hop = way_to_public(context, dialog)
    branch = branch or context.branches.own(f"ack {dialog.sip_call_id}", cseq)
    headers = headers_within(context, dialog, hop, routes, branch, cseq, "ACK")
    return SendPublic(hop, own_request("ACK", uri, headers))
