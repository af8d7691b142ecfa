"""Serialises messages: answers (RFC 3261 section 8.2.6), requests, and their common parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from telephony.sip.headers import Line
from telephony.sip.parse import Via

__all__ = [
    "assemble",
    "clean",
    "own_request",
    "phrase_of",
    "quoted",
    "reason_header",
    "reply_lines",
    "respond",
    "stamp_via",
    "warning_header",
]

_RECEIVED = re.compile(r"\s*;\s*received\s*=[^;,]*", re.IGNORECASE)
_RPORT = re.compile(r"\s*;\s*rport(\s*=[^;,]*)?(?=\s*(;|$))", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")

_ECHOED = frozenset({"via", "from", "to", "call-id", "cseq"})
_REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    469: "Bad Info Package",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    503: "Service Unavailable",
    505: "Version Not Supported",
    513: "Message Too Large",
    603: "Decline",
}
_CLASSES = ("", "Progress", "OK", "Redirected", "Refused", "Failed", "Refused")


def clean(text: str) -> str:
    """Text that cannot break out of its header line."""
    return _CONTROL.sub(" ", text).strip()


def reason_header(status: int, text: str) -> str:
    """A Reason value with this text (RFC 3326)."""
    return f"SIP;cause={status};text={quoted(text)}"


def warning_header(code: int, text: str) -> str:
    """A Warning value (RFC 3261 section 20.43)."""
    return f"{code} trunkline {quoted(text)}"


def quoted(text: str) -> str:
    """A quoted-string (RFC 3261 section 25.1)."""
    escaped = clean(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def stamp_via(value: str, via: Via, ip: str, port: int) -> str:
    """The top Via value with its real source added (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
    if via.host == ip and via.rport is None and not via.received:
        return value
    value = _RECEIVED.sub("", value)
    if via.rport is None:
        return value if via.host == ip else f"{value};received={ip}"
    return f"{_RPORT.sub('', value)};received={ip};rport={port}"


def split_first(line: Line) -> tuple[str, str]:
    """The first value of a comma-separated header line, unfolded, and the rest as received."""
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


def assemble(start: str, texts: Iterable[str], body: bytes = b"") -> bytes:
    """A whole message. The Content-Type of a body is among the `texts`."""
    length = [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join((start, *texts, *length)).encode("utf-8", "surrogateescape") + body


def phrase_of(status: int) -> str:
    """The reason phrase of RFC 3261 section 21, or one that fits every status of its class."""
    return _REASONS.get(status) or _CLASSES[min(status // 100, 6)]


def reply_lines(lines: Sequence[Line], via: Via, received_from: tuple[str, int], to_tag: str) -> list[str]:
    """The parts of a request that each answer repeats (RFC 3261 section 8.2.6.2). `to_tag` is used if it has none."""
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
        elif line.name in _ECHOED:
            texts.append(line.text)
    return texts


def respond(
    lines: Sequence[Line],
    via: Via,
    received_from: tuple[str, int],
    status: int,
    *,
    reason: str = "",
    to_tag: str = "",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
) -> bytes:
    """Our own answer to the request with these lines (RFC 3261 section 8.2.6). `to_tag`: used if the request has none;
    a 100 gets none."""
    texts = reply_lines(lines, via, received_from, to_tag)
    if status == 100:
        texts += [line.text for line in lines if line.name == "timestamp"]
    fields = headers.items() if isinstance(headers, Mapping) else headers or ()
    texts += [f"{clean(name)}: {clean(value)}" for name, value in fields]
    return assemble(f"SIP/2.0 {status} {clean(reason) or phrase_of(status)}", texts)


def own_request(method: str, uri: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """A request of the edge itself. The Content-Type of a body is among the `headers`."""
    texts = [f"{name}: {clean(value)}" for name, value in headers]
    return assemble(f"{method} {uri} SIP/2.0", [*texts, "Max-Forwards: 70"], body)
