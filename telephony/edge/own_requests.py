"""What the edge's own requests within a dialog have in common: BYE, ACK, REFER, INFO, refreshes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog
from telephony.edge.hops import Hop
from telephony.sip.digest import DigestClient
from telephony.sip.parse import Response

__all__ = ["Asked", "challenged", "headers_within"]


class Asked(Protocol):
    """A request of ours that may be challenged."""

    digest: DigestClient | None
    challenges: int


def headers_within(
    context: EdgeContext, dialog: Dialog, hop: Hop, routes: Sequence[str], branch: str, cseq: int, method: str
) -> list[tuple[str, str]]:
    """To the public side, from the worker's. `hop` and `routes`: as `way_to_public` says."""
    return [
        ("Via", context.public_via(hop, branch)),
        *(("Route", value) for value in routes),
        ("From", dialog.worker.address),
        ("To", dialog.public.address),
        ("Call-ID", dialog.sip_call_id),
        ("CSeq", f"{cseq} {method}"),
    ]


def challenged(response: Response, asked: Asked) -> bool:
    """Whether the request is worth sending again, with an answer to this 401 or 407."""
    name = "proxy-authenticate" if response.status == 407 else "www-authenticate"
    values = response.headers.get(name)
    if asked.digest is None or not asked.digest.challenged(response.status, values, before=asked.challenges):
        return False
    asked.challenges += 1
    return True
