"""Parses and checks SIP messages, keeping their lines for answers.

Lines end with CRLF only, and contain nothing that another parser may take for a line break. `Message.lines` are the
received bytes (undecodable ones as surrogate escapes): an answer returns them to their sender. Whatever is forwarded is
rewritten from the parsed values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.sip.bounds import MAX_HEAD_BYTES, MAX_LINE_BYTES, MAX_VIAS, excess
from telephony.sip.headers import COMPACT, Headers, Line
from telephony.sip.offer import Streams
from telephony.sip.uri import NameAddr, Uri, parse_name_addr, parse_uri, split_host_port, split_params

__all__ = ["KNOWN_SCHEMES", "Line", "Malformed", "Message", "Request", "Response", "Via", "parse"]

KNOWN_SCHEMES = frozenset({"sip", "sips", "tel"})
_START = re.compile(r"(?P<method>[A-Za-z0-9\-.!%*_+`'~]+) (?P<uri>[^\s<>]+) (?i:SIP)/(?P<version>\d+\.\d+)\Z")
_STATUS = re.compile(r"(?i:SIP)/2\.0 (?P<status>[1-6]\d\d)(?: (?P<reason>.*))?\Z")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_BROKEN = re.compile(r"[\0\r\n]")
_SLASHES = re.compile(r"\s*/\s*")
_SINGLE = ("call-id", "cseq", "from", "to", "max-forwards", "content-length", "content-type")
_MANDATORY = ("via", "from", "to", "call-id", "cseq")
_MAX_CSEQ = 2**31 - 1  # RFC 3261 section 8.1.1.5
_COOKIE = "z9hG4bK"


@dataclass(frozen=True, slots=True)
class Via:
    """The part of a Via that routing needs."""

    transport: str
    host: str
    port: int | None
    branch: str
    received: str
    rport: str | None  # "": asked for but not filled in (RFC 3581); None: not asked for

    @property
    def sent_by(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


@dataclass(slots=True)
class Message:
    lines: list[Line]
    body: bytes
    headers: Headers
    via: Via
    call_id: str
    cseq: int
    cseq_method: str
    sender: NameAddr  # From
    recipient: NameAddr  # To

    @property
    def from_tag(self) -> str:
        return self.sender.params.get("tag", "")

    @property
    def to_tag(self) -> str:
        return self.recipient.params.get("tag", "")

    def value(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return self.headers.get_first(name) or ""


@dataclass(slots=True)
class Request(Message):
    method: str
    uri_text: str
    uri: Uri
    max_forwards: int | None
    worker_body: bytes = b""  # the body for a worker
    streams: Streams | None = None  # around the stream that it shows; None: no description


@dataclass(slots=True)
class Response(Message):
    status: int
    reason: str
    below: Via | None  # the Via under the top one: an answer to a request of ours has none
    worker_body: bytes = b""


class Malformed(Exception):
    """A message that must not be used. `kind` is what metrics count. If `lines` is not empty, it was a request with
    enough readable parts to be answered with `status`."""

    def __init__(self, kind: str, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.status = status
        self.lines: list[Line] = []
        self.via: Via | None = None
        self.method = ""


def parse(data: bytes, *, stream: bool = False) -> Request | Response:
    """Read one message. `stream`: it came over TCP, where Content-Length is mandatory (RFC 3261 section 18.3).

    Raises Malformed, and nothing else.
    """
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise Malformed("truncated", "No empty line after the headers")
    if len(head) > MAX_HEAD_BYTES:
        raise Malformed("too-large", "Headers too large")
    breaks = head.count(b"\r\n")
    start, *rest = head.decode("utf-8", "surrogateescape").split("\r\n")
    start_line = _STATUS.match(start) or _START.match(start)
    lines = _lines(rest)
    try:
        if b"\0" in head:  # some parsers take it for the end of the text
            raise Malformed("nul", "NUL in a header")
        if head.count(b"\r") != breaks or head.count(b"\n") != breaks:  # another parser could see other headers there
            raise Malformed("line-break", "Bare CR or LF in a header")
        if (over := excess(start, rest, body)) is not None:
            raise Malformed(*over)
        if start_line is None:
            raise Malformed("start-line", "Bad start line")
        if start_line.groupdict().get("version", "2.0") != "2.0":
            raise Malformed("version", "Version Not Supported", 505)
        body = _check_lines(lines, body, stream)
        return _read(start_line, lines, body)
    except Malformed as error:
        raise _answerable(error, start, lines) from None
    except Exception as error:  # anything raised on hostile input means malformed
        raise _answerable(Malformed("unreadable", "Bad header"), start, lines) from error


def _lines(texts: list[str]) -> list[Line]:
    """Each with its folds."""
    unfolded: list[list[str]] = []
    for text in texts:
        if text[:1] in (" ", "\t") and unfolded:
            unfolded[-1].append(text)
        else:
            unfolded.append([text])
    lines: list[Line] = []
    for first, *folds in unfolded:
        name = first.partition(":")[0].rstrip(" \t").lower()
        lines.append(Line(COMPACT.get(name, name), "\r\n".join((first, *folds)) if folds else first))
    return lines


def _check_lines(lines: list[Line], body: bytes, stream: bool) -> bytes:
    """The checks that need no values; returns the body, cut to Content-Length."""
    counts: dict[str, int] = {}
    for line in lines:
        if ":" not in line.text or not _TOKEN.match(line.name):
            raise Malformed("header-line", "Header line without a name and colon")
        counts[line.name] = counts.get(line.name, 0) + 1
    for name in _MANDATORY:
        if name not in counts:
            raise Malformed("missing-header", f"Missing {name} header")
    for name in _SINGLE:
        if counts.get(name, 0) > 1:
            raise Malformed("duplicate-header", f"More than one {name} header")
    if "content-length" not in counts:
        if stream:
            raise Malformed("content-length", "Missing content-length header")
        return body
    length = content_length(next(line.text for line in lines if line.name == "content-length"))
    if length is None:
        raise Malformed("content-length", "Bad Content-Length")
    if length > len(body):
        raise Malformed("body-short", "Body shorter than Content-Length")
    return body[:length]


def content_length(line: str) -> int | None:
    """The number in a Content-Length line; None if it is not a number or implausibly large."""
    digits = line.partition(":")[2].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _read(start: re.Match[str], lines: list[Line], body: bytes) -> Request | Response:
    headers = Headers(lines)
    cseq, cseq_method = _cseq(headers.get_first("cseq") or "")
    call_id = headers.get_first("call-id") or ""
    if not call_id or not call_id.isascii() or any(c <= " " for c in call_id) or len(call_id) > 512:
        raise Malformed("call-id", "Bad Call-ID")
    sender, recipient = _address(headers, "from"), _address(headers, "to")
    vias = headers.get("via")
    if len(vias) > MAX_VIAS:
        raise Malformed("too-many-vias", "Too many Via headers")
    via = _via(vias[0] if vias else "")
    if "status" in start.groupdict():
        status, reason = int(start["status"]), start["reason"] or ""
        below = _via(vias[1]) if len(vias) > 1 else None
        return Response(lines, body, headers, via, call_id, cseq, cseq_method, sender, recipient, status, reason, below)
    method = start["method"]
    if method != cseq_method:
        raise Malformed("cseq-method", "CSeq method does not match")
    hops = headers.get_first("max-forwards")
    if hops is not None and not (hops.isascii() and hops.isdigit() and len(hops) < 10 and int(hops) <= 255):
        raise Malformed("max-forwards", "Bad Max-Forwards")
    uri = _request_uri(start["uri"])
    forwards = int(hops) if hops is not None else None
    return Request(
        lines, body, headers, via, call_id, cseq, cseq_method, sender, recipient, method, start["uri"], uri, forwards
    )


def _request_uri(text: str) -> Uri:
    try:
        return parse_uri(text)
    except ValueError as error:
        raise Malformed("request-uri", "Bad Request-URI") from error


def _cseq(value: str) -> tuple[int, str]:
    number, _, method = value.replace("\t", " ").partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) < 20) or int(number) > _MAX_CSEQ:
        raise Malformed("cseq", "Bad CSeq")
    method = method.strip(" ")
    if not _TOKEN.match(method):
        raise Malformed("cseq", "Bad CSeq")
    return int(number), method


def _address(headers: Headers, name: str) -> NameAddr:
    try:
        address = parse_name_addr(headers.get_first(name) or "")
        uri = address.uri
        if not uri or uri != uri.strip():
            raise ValueError("white space around the URI")
        parse_uri(uri)
    except ValueError as error:
        raise Malformed("address", f"Bad {name} header") from error
    tag = address.params.get("tag")
    if tag is not None and not (len(tag) <= 256 and _TOKEN.match(tag)):
        raise Malformed("tag", f"Bad tag in {name} header")
    return address


def _via(value: str, version: str = "SIP/2.0") -> Via:
    """White space may stand around the slashes (RFC 4475 section 3.1.1.1)."""
    value = " ".join(value.split())  # first of all: the pattern is slow on long runs of white space
    protocol, _, rest = _SLASHES.sub("/", value, count=2).partition(" ")
    name, _, transport = protocol.rpartition("/")
    sent_by, _, parameters = rest.partition(";")
    try:
        host, port = split_host_port(sent_by)
    except ValueError as error:
        raise Malformed("via", "Bad Via") from error
    if not name.upper().startswith(version) or not _TOKEN.match(transport):
        raise Malformed("via", "Bad Via")
    params = split_params(parameters)
    branch = params.get("branch", "")
    if branch == _COOKIE or len(branch) > 512 or not branch.isascii():  # a cookie alone is not unique
        raise Malformed("via", "Bad branch in Via")
    received = params.get("received", "")
    return Via(transport.upper(), host.strip("[]").lower(), port, branch, received, params.get("rport"))


def _answerable(error: Malformed, start: str, lines: list[Line]) -> Malformed:
    """Keep what an answer needs (RFC 3261 section 8.2.6.2), if all of it is there."""
    method = start.partition(" ")[0]
    if start[:4].upper() == "SIP/" or method == "ACK" or not _TOKEN.match(method):
        return error
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line.name, line)
    if not all(name in first for name in _MANDATORY):
        return error
    too_long = any(len(first[name].text) > MAX_LINE_BYTES for name in _MANDATORY)
    if too_long or error.kind == "too-many-vias":  # it would all go back to who sent it
        return error
    try:
        unfolded = first["via"].text.partition(":")[2].replace("\r\n", " ").partition(",")[0].strip()
        error.via = _via(unfolded, "SIP/")
    except Exception:  # noqa: BLE001  (without a valid Via there is nobody to answer)
        return error
    kept = [line for line in lines if line.name == "via"] + [first[name] for name in _MANDATORY[1:]]
    if any(_BROKEN.search(line.text.replace("\r\n", "")) for line in kept):
        return error
    error.method = method
    error.lines = kept
    return error
