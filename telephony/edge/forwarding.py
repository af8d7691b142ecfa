"""Passing a request from outside on to the worker of its call: the checks before, and what its answer needs."""

from __future__ import annotations

from collections.abc import Mapping

from telephony.edge.answered_here import FORWARDED
from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext
from telephony.edge.counters import counted_method
from telephony.edge.dialogs import Dialog, Reply
from telephony.edge.hops import Hop, SendWorker
from telephony.edge.relays import Relay
from telephony.edge.to_worker import request_to_worker
from telephony.sip.parse import KNOWN_SCHEMES, Request
from telephony.sip.session_timer import SHORTEST_S, SessionTimer

__all__ = ["check", "forward", "send"]


def check(context: EdgeContext, request: Request, hop: Hop, trunk: str | None) -> None:
    """A proxy's checks before forwarding (RFC 3261 section 16.3), and checks for what a worker cannot handle.
    Leaves the body that it gets in the request. Raises Unacceptable."""
    if request.uri.scheme not in KNOWN_SCHEMES:
        raise Unacceptable(416, "scheme", f"URI scheme {request.uri.scheme} is not known")
    if request.max_forwards == 0:
        raise Unacceptable(483, "max-forwards", "Max-Forwards is 0")
    unsupported = list(request.headers.get("proxy-require"))
    able = context.extensions(trunk or "")
    unsupported += [token for token in request.headers.get("require") if token.lower() not in able]
    if unsupported:
        names = ", ".join(unsupported)
        raise Unacceptable(420, "extension", f"unsupported extension {names}", {"Unsupported": names})
    if request.method in ("INVITE", "UPDATE") and SessionTimer.refuses(request.headers):
        cause = f"Session Interval Too Small: at least {SHORTEST_S} s"
        raise Unacceptable(422, "session-timer", cause, {"Min-SE": str(SHORTEST_S)})
    if request.method in FORWARDED and request.method != "BYE":
        rule = context.media_rule(trunk, hop)
        in_call = bool(request.to_tag)
        request.worker_body, request.streams = body_for_worker(request, rule, in_call=in_call)


def forward(
    context: EdgeContext,
    request: Request,
    hop: Hop,
    dialog: Dialog,
    now: float,
    *,
    branch: str = "",
    extra: Mapping[str, str] | None = None,
    initial: bool = False,
    replaces: Dialog | None = None,
) -> SendWorker:
    """Send it on and remember what its answer needs. `replaces`: the dialog whose public side it replaces."""
    branch = branch or dialog.branch
    sent = send(context, request, dialog, branch, extra, within=replaces is not None)
    reply = Reply(request.lines, request.via, (hop.ip, hop.port), hop)
    relay = Relay(
        dialog,
        branch,
        request.method,
        request.cseq,
        reply,
        sent,
        now,
        context.timers.worker,
        initial,
        streams=request.streams,
        replaces=replaces,
    )
    context.relays.add(relay)
    return sent


def send(
    context: EdgeContext,
    request: Request,
    dialog: Dialog,
    branch: str,
    extra: Mapping[str, str] | None = None,
    *,
    within: bool = False,
) -> SendWorker:
    data = request_to_worker(
        request,
        dialog,
        via=context.worker_via(branch),
        contact=context.worker_contact,
        extra=extra,
        reliably=not within and not request.to_tag and context.reliable(dialog.trunk) == "required",
        within=within,
    )
    dialog.describe(request.worker_body)
    context.counters.add(f"forwarded_in.{counted_method(request.method)}")
    return SendWorker(dialog.worker.at.host, dialog.worker.at.port, data)
