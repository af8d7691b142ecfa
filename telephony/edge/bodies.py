"""The part of a message's body that a worker gets: its session description in our normal form, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from telephony.sip.media_policy import MediaPolicy, TrunkMedia
from telephony.sip.offer import Streams, for_worker, put_away
from telephony.sip.parse import Message
from telephony.sip.sdp import SdpError, SdpNotAcceptable, SessionDescription, parse_sdp, write_sdp
from telephony.sip.srtp import Srtp, check_keys
from telephony.sip.writing import warning_header

__all__ = ["MediaRule", "Unacceptable", "body_for_worker", "content_type"]

_SDP = "application/sdp"
_ACCEPT = f"{_SDP}, multipart/mixed"
_MULTIPART = frozenset({"multipart/mixed", "multipart/alternative"})
_BOUNDARY = re.compile(r';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"]{1,70})"|([^;" \t]{1,70}))', re.IGNORECASE)
_OPTIONAL = re.compile(r";[ \t]*handling[ \t]*=[ \t]*\"?optional", re.IGNORECASE)
_MOST_PARTS = 16


@dataclass(frozen=True, slots=True)
class MediaRule:
    """What a trunk's descriptions are held against. `source`: where this one came from; `secure`: by TLS."""

    policy: MediaPolicy
    trunk: TrunkMedia
    source: str
    secure: bool

    def shown(self, description: SessionDescription, offer: bytes) -> tuple[SessionDescription, Streams]:
        """What a worker may act on, and the streams around it. `offer`: our own that it answers. Raises SdpError."""
        if self.trunk.srtp is Srtp.REQUIRED and not (self.secure or self.trunk.keys_over_plain_sip):
            raise SdpNotAcceptable("SRTP is required here, and its keys are not accepted over plain SIP: use TLS", 302)
        shown, streams = for_worker(description, self.trunk.srtp, self.trunk.codecs)
        if offer:
            check_keys(shown.media[0], offer)
        return self.policy.apply(shown, self.trunk, self.source), streams


class Unacceptable(Exception):
    """A request that is answered with `status`. `cause` says why, in plain words; `headers` belong to the answer."""

    def __init__(self, status: int, rule: str, cause: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(cause)
        self.status = status
        self.rule = rule
        self.cause = cause
        self.headers = dict(headers or {})


def content_type(message: Message) -> str:
    """Type and subtype in lower case; empty if the header is missing."""
    return message.value("content-type").partition(";")[0].strip().lower()


def body_for_worker(
    message: Message, rule: MediaRule, *, in_call: bool = False, offer: bytes = b""
) -> tuple[bytes, Streams | None]:
    """The body for the worker, and the other streams around its stream, for the caller's answer. `in_call`: the call
    has been answered, so its stream may be dropped. `offer`: ours that it answers. Raises Unacceptable: 415 for another
    type of body, 400 or 488 with a Warning if it cannot be read or met, or names an address that we never send to."""
    body = _description(message)
    if not body:
        return b"", None
    try:
        description = parse_sdp(body)
        if in_call and (held := put_away(description)) is not None:
            return write_sdp(held[0]), held[1]
        shown, streams = rule.shown(description, offer)
        return write_sdp(shown), streams
    except SdpError as error:
        text = str(error)
        raise Unacceptable(error.sip_status, "sdp", text, {"Warning": warning_header(error.warning, text)}) from error


def _description(message: Message) -> bytes:
    body = message.body
    if not body.strip():
        return b""
    encoding = message.value("content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Unacceptable(
            415, "body", f"content encoding {encoding[:40]} is not supported", {"Accept-Encoding": "identity"}
        )
    kind = content_type(message)
    if kind == _SDP or (not kind and body.startswith(b"v=0")):
        return body
    if kind in _MULTIPART:
        part = _sdp_part(message.value("content-type"), body)
        if part is not None:
            return part
    if _OPTIONAL.search(message.value("content-disposition")):
        return b""  # RFC 3261 section 20.11
    raise Unacceptable(415, "body", f"content type {kind[:60] or 'unknown'} is not supported", {"Accept": _ACCEPT})


def _sdp_part(value: str, body: bytes) -> bytes | None:
    """The session description among the parts (RFC 5621); None if none can be read."""
    match = _BOUNDARY.search(value)
    if match is None:
        return None
    delimiter = b"\r\n--" + (match[1] or match[2]).encode("utf-8", "replace")
    for part in (b"\r\n" + body).split(delimiter, _MOST_PARTS)[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            continue
        for line in head.decode("latin-1").split("\r\n"):
            name, _, kind = line.partition(":")
            if name.strip().lower() in ("content-type", "c") and kind.partition(";")[0].strip().lower() == _SDP:
                return content
    return None
