"""What a caller gets of what a worker says: the worker's values under header fields of a fixed set, in the caller's own
dialog and transaction, as the edge has kept them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from telephony.edge.dialogs import Dialog, Reply
from telephony.edge.parse import Message, Request, Response
from telephony.edge.rewrite import ALLOW, SUPPORTED, assemble, clean, phrase_of, reply_lines

__all__ = ["request_to_caller", "response_to_caller"]

_PASSED = frozenset(
    {"contact", "session-expires", "min-se", "require", "rseq", "unsupported", "warning", "retry-after", "reason"}
    | {"accept", "accept-encoding", "server", "user-agent", "rack"}
)
_DIALOG_MAKING = range(101, 300)


def response_to_caller(response: Response, reply: Reply, record_routes: Sequence[str], to_tag: str) -> bytes:
    """The worker's answer to the request that `reply` is of. `record_routes`: ours; those of the proxies before us
    follow them. `to_tag` is used when the request has none."""
    texts = reply_lines(reply.lines, reply.via, reply.received_from, to_tag)
    if record_routes and response.status in _DIALOG_MAKING:
        texts += [f"Record-Route: {value}" for value in record_routes]
        texts += [line.text for line in reply.lines if line.name == "record-route"]
    texts += _passed(response)
    texts += _promises(response)
    phrase = clean(response.reason) or phrase_of(response.status)
    return assemble(f"SIP/2.0 {response.status} {phrase}", texts, response.body)


def request_to_caller(request: Request, dialog: Dialog, *, via: str, uri: str, routes: Sequence[str]) -> bytes:
    """The worker's request in the dialog that the caller knows."""
    left = 70 if request.max_forwards is None else request.max_forwards - 1
    texts = [f"Via: {via}", *(f"Route: {value}" for value in routes), f"Max-Forwards: {left}"]
    texts += [
        f"From: {dialog.worker_address}",
        f"To: {dialog.caller_address}",
        f"Call-ID: {dialog.sip_call_id}",
        f"CSeq: {request.cseq + dialog.cseq_shift} {request.method}",
    ]
    texts += _passed(request)
    texts += _promises(request)
    return assemble(f"{request.method} {uri} SIP/2.0", texts, request.body)


def _passed(message: Message) -> Iterator[str]:
    for line in message.lines:
        if line.name in _PASSED or (line.name == "content-type" and message.body):
            yield line.text


def _promises(message: Message) -> Iterator[str]:
    """Where the worker says what it does, we say what we do."""
    if "allow" in message.headers:
        yield f"Allow: {ALLOW}"
    if "supported" in message.headers:
        yield f"Supported: {SUPPORTED}"
