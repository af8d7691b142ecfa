"""Replaces (RFC 3891), and the Refer-To of a REFER (RFC 3515) that may name it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from telephony.sip.uri import parse_name_addr, parse_uri, split_params

__all__ = ["ReferTo", "Replaces", "read_refer_to", "read_replaces"]

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,256}\Z")
_CALL_ID = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]{1,512}\Z")  # of one that a header can carry: no " , ;


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog as the one knows it who is to replace it: `to_tag` is that side's own."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"

    @property
    def in_uri(self) -> str:
        """As a header in a URI (RFC 3261 section 19.1.1)."""
        return f"Replaces={quote(str(self), safe='')}"


@dataclass(frozen=True, slots=True)
class ReferTo:
    """`uri`: without headers. `required`: the call to it is to have Require: replaces."""

    uri: str
    replaces: Replaces | None = None
    required: bool = False


def read_replaces(value: str) -> Replaces:
    """Raises ValueError."""
    call_id, *parts = (part.strip() for part in value.split(";"))
    names = [part.partition("=")[0].strip().lower() for part in parts]
    params = split_params(";".join(parts))
    to_tag, from_tag = params.get("to-tag", ""), params.get("from-tag", "")
    if not _CALL_ID.match(call_id) or names.count("to-tag") != 1 or names.count("from-tag") != 1:
        raise ValueError("Replaces needs a Call-ID, one to-tag and one from-tag")
    if not (_TOKEN.match(to_tag) and _TOKEN.match(from_tag)):
        raise ValueError("a tag in Replaces is not a token")
    return Replaces(call_id, to_tag, from_tag, "early-only" in params)


def read_refer_to(value: str) -> ReferTo:
    """Only Replaces and Require count of the URI's headers. Raises ValueError; LookupError if another method than
    INVITE is asked for."""
    address = parse_name_addr(value)
    uri, _, headers = address.uri.partition("?")
    parsed = parse_uri(uri)
    params = split_params(parsed.params)
    if params.get("method", address.params.get("method", "INVITE")).upper() != "INVITE":
        raise LookupError("only calls can be asked for by REFER")
    if not uri.isprintable() or " " in uri or not uri.isascii():
        raise ValueError("Refer-To names no URI")
    wanted = [header.partition("=") for header in headers.split("&") if header]
    found = [unquote(text, errors="replace") for name, _, text in wanted if name.lower() == "replaces"]
    if len(found) > 1:
        raise ValueError("Refer-To names more than one Replaces")
    required = any(name.lower() == "require" and "replaces" in unquote(text).lower() for name, _, text in wanted)
    return ReferTo(_without_method(uri), read_replaces(found[0]) if found else None, required)


def _without_method(uri: str) -> str:
    start, *params = uri.split(";")
    return ";".join([start, *(each for each in params if not each.lower().startswith("method="))])
