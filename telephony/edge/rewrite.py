"""The bytes of what the edge sends: forwarded messages (RFC 3261 section 16.6, 16.7) and its own answers and requests.

Forwarding touches Via, Record-Route, Route, Max-Forwards and the Request-URI, drops X-Trunkline-… of outsiders, adds a
missing Content-Length, and leaves every other line and the body byte for byte. A request that is too long for a worker
loses the lines that the worker does not need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from telephony.edge.parse import Line, Request, Response, Via
from telephony.edge.uri import bracketed

__all__ = ["clean", "forward_request", "forward_response", "own_request", "reason_header", "respond", "stamp_via"]

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, INFO, UPDATE, REFER, NOTIFY"
_OWN_PREFIX = "x-trunkline-"
_RECEIVED = re.compile(r"\s*;\s*received\s*=[^;,]*", re.IGNORECASE)
_RPORT = re.compile(r"\s*;\s*rport(\s*=[^;,]*)?(?=\s*(;|$))", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")

WORKER_MESSAGE_BYTES = 4000  # PJSIP_MAX_PKT_LEN: PJSIP cuts off what is longer, and reads what is left
_OURS_BYTES = 700  # what forwarding adds at most: Via, its stamp, two Record-Routes, the call's id
_NEEDED = frozenset(
    {"via", "from", "to", "call-id", "cseq", "contact", "record-route", "content-type", "content-encoding"}
    | {"content-disposition", "content-length", "allow", "supported", "require", "session-expires", "min-se"}
    | {"rack", "event", "info-package", "refer-to", "referred-by", "replaces", "target-dialog", "subscription-state"}
    | {"max-forwards", "reason", "user-agent"}
)  # of a request that is too long; callers' X-... headers have reached the gateway by then

_REASONS = {
    100: "Trying",
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    500: "Server Internal Error",
    503: "Service Unavailable",
    505: "Version Not Supported",
    513: "Message Too Large",
}


def clean(text: str) -> str:
    """Text that cannot break out of its header line."""
    return _CONTROL.sub(" ", text).strip()


def reason_header(status: int, text: str) -> str:
    """A Reason value that names why (RFC 3326)."""
    quoted = clean(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'SIP;cause={status};text="{quoted}"'


def stamp_via(value: str, via: Via, ip: str, port: int) -> str:
    """The top Via value with where it really came from (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
    if via.host == ip and via.rport is None and not via.received:
        return value
    value = _RECEIVED.sub("", value)
    if via.rport is None:
        return value if via.host == ip else f"{value};received={ip}"
    return f"{_RPORT.sub('', value)};received={ip};rport={port}"


def split_first(line: Line) -> tuple[str, str]:
    """The first value of a comma-separated header line, unfolded, and what follows it, as it came."""
    value = line.text.partition(":")[2]
    quoted, at = False, 0
    while at < len(value):
        char = value[at]
        if quoted and char == "\\":
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            break
        at += 1
    return " ".join(value[:at].split()), value[at + 1 :].strip()


def _content_length(lines: Sequence[Line], body: bytes) -> Iterator[str]:
    if not any(line.name == "content-length" for line in lines):
        yield f"Content-Length: {len(body)}"


def _assemble(start: str, texts: Iterable[str], body: bytes = b"") -> bytes:
    return "\r\n".join((start, *texts, "", "")).encode("utf-8", "surrogateescape") + body


def needed_lines(request: Request) -> list[Line]:
    """What a worker cannot do without."""
    return [line for line in request.lines if line.name in _NEEDED]


def too_large(request: Request) -> bool:
    """Not even these and the body fit into what a worker reads."""
    size = sum(len(line.text.encode(errors="surrogateescape")) + 2 for line in needed_lines(request))
    return size + len(request.body) + _OURS_BYTES > WORKER_MESSAGE_BYTES


def forward_request(
    request: Request,
    *,
    via: str,
    received_from: tuple[str, int],
    uri: str,
    record_routes: Sequence[str] = (),
    routes: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
    lines: Sequence[Line] | None = None,
) -> bytes:
    """The request for the next hop. `routes`: what is left of the Route set. `lines`: instead of the request's own."""
    texts = [f"Via: {via}"]
    texts += [f"Record-Route: {value}" for value in record_routes]
    texts += [f"Route: {value}" for value in routes]
    left = 70 if request.max_forwards is None else request.max_forwards - 1
    texts.append(f"Max-Forwards: {left}")
    first_via = True
    for line in request.lines if lines is None else lines:
        if line.name == "via" and first_via:
            first_via = False
            value, rest = split_first(line)
            texts.append(f"Via: {stamp_via(value, request.via, *received_from)}")
            if rest:
                texts.append(f"Via: {rest}")
        elif line.name not in ("max-forwards", "route") and not line.name.startswith(_OWN_PREFIX):
            texts.append(line.text)
    texts += [f"{clean(name)}: {clean(value)}" for name, value in (extra or {}).items()]
    texts += _content_length(request.lines, request.body)
    return _assemble(f"{request.method} {uri} SIP/2.0", texts, request.body)


def forward_response(response: Response) -> bytes:
    """The response without our Via."""
    texts: list[str] = []
    first_via = True
    for line in response.lines:
        if line.name == "via" and first_via:
            first_via = False
            _, rest = split_first(line)
            if rest:
                texts.append(f"Via: {rest}")
        elif not line.name.startswith(_OWN_PREFIX):
            texts.append(line.text)
    texts += _content_length(response.lines, response.body)
    return _assemble(f"SIP/2.0 {response.status} {response.reason}", texts, response.body)


def respond(
    lines: Sequence[Line],
    via: Via,
    received_from: tuple[str, int],
    status: int,
    *,
    reason: str = "",
    to_tag: str = "",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """An answer of our own to the request that has these lines (RFC 3261 section 8.2.6). `to_tag` is used when the
    request has none; a 100 gets none."""
    texts: list[str] = []
    first_via = True
    for line in lines:
        if line.name == "via" and first_via:
            first_via = False
            value, rest = split_first(line)
            texts.append(f"Via: {stamp_via(value, via, *received_from)}")
            if rest:
                texts.append(f"Via: {rest}")
        elif line.name == "to" and to_tag:
            texts.append(f"{line.text};tag={to_tag}")
        elif line.name in ("via", "from", "to", "call-id", "cseq") or (status == 100 and line.name == "timestamp"):
            texts.append(line.text)
    texts += [f"{clean(name)}: {clean(value)}" for name, value in (headers or {}).items()]
    texts.append("Content-Length: 0")
    return _assemble(f"SIP/2.0 {status} {clean(reason) or _REASONS.get(status, 'Refused')}", texts)


def own_request(method: str, uri: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request of the edge itself, without a body."""
    texts = [f"{name}: {clean(value)}" for name, value in headers]
    return _assemble(f"{method} {uri} SIP/2.0", [*texts, "Max-Forwards: 70", "Content-Length: 0"])


def route_value(host: str, port: int, transport: str) -> str:
    """A Record-Route entry of ours; `lr` says that we are a loose router (RFC 3261 section 16.6 step 4)."""
    suffix = ";transport=tcp" if transport == "tcp" else ""
    return f"<sip:{bracketed(host)}:{port}{suffix};lr>"
