"""A worker's message as the caller gets it: a fixed set of header fields with the worker's values, in the caller's own
dialog and transaction as known to the edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from telephony.edge.capabilities import Announced
from telephony.edge.dialogs import Dialog, Reply
from telephony.sip.parse import Message, Request, Response
from telephony.sip.writing import assemble, clean, phrase_of, reply_lines

__all__ = ["request_to_public", "response_to_public"]

_PASSED = frozenset(
    {"require", "rseq", "unsupported", "warning", "retry-after", "reason"}
    | {"accept", "accept-encoding", "server", "user-agent", "rack"}
)
_DIALOG_MAKING = range(101, 300)


def response_to_public(
    response: Response,
    reply: Reply,
    contact: str,
    to_tag: str,
    *,
    initial: bool,
    extra: Sequence[tuple[str, str]] = (),
    announced: Announced = Announced(),  # noqa: B008  (immutable)
) -> bytes:
    """The worker's answer to the request of `reply`. `contact`: ours, since the worker's is on loopback; `initial`: the
    request creates the dialog, with the route set of the proxies before us; `to_tag`: used if it has none;
    `extra`: our own header fields."""
    texts = reply_lines(reply.lines, reply.via, reply.received_from, to_tag)
    if initial and response.status in _DIALOG_MAKING:
        texts += [line.text for line in reply.lines if line.name == "record-route"]
    texts += [f"{name}: {clean(value)}" for name, value in extra]
    texts += _passed(response, contact)
    texts += _promises(response, announced)
    phrase = clean(response.reason) or phrase_of(response.status)
    return assemble(f"SIP/2.0 {response.status} {phrase}", texts, response.body)


def request_to_public(
    request: Request,
    dialog: Dialog,
    *,
    via: str,
    contact: str,
    uri: str,
    routes: Sequence[str],
    extra: Sequence[tuple[str, str]] = (),
    announced: Announced = Announced(),  # noqa: B008  (immutable)
) -> bytes:
    """The worker's request, in the dialog that the caller knows. `extra`: our own header fields."""
    left = 70 if request.max_forwards is None else request.max_forwards - 1
    texts = [f"Via: {via}", *(f"Route: {value}" for value in routes), f"Max-Forwards: {left}"]
    texts += [
        f"From: {dialog.worker.address}",
        f"To: {dialog.public.address}",
        f"Call-ID: {dialog.sip_call_id}",
        f"CSeq: {dialog.worker.number(request.cseq)} {request.method}",
    ]
    texts += [f"{name}: {clean(value)}" for name, value in extra]
    texts += _passed(request, contact)
    texts += _promises(request, announced)
    return assemble(f"{request.method} {uri} SIP/2.0", texts, request.body)


def _passed(message: Message, contact: str) -> Iterator[str]:
    if "contact" in message.headers:
        yield f"Contact: {contact}"
    for line in message.lines:
        if line.name in _PASSED or (line.name == "content-type" and message.body):
            yield line.text


def _promises(message: Message, announced: Announced) -> Iterator[str]:
    """Replaces the worker's capabilities by ours."""
    if "allow" in message.headers:
        yield f"Allow: {announced.allow}"
    if "supported" in message.headers:
        yield f"Supported: {announced.supported}"
