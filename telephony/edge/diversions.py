"""Numbers that a call was forwarded from: Diversion (RFC 5806), else History-Info (RFC 7044). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote

from telephony.call import Diversion
from telephony.sip.headers import split_commas
from telephony.sip.parse import Request
from telephony.sip.uri import NameAddr, Uri, parse_name_addr, phone_user, split_params, try_uri

__all__ = ["diversions_of"]

_MOST = 5
_MOST_READ = 20
_REASONS = {"302": "unconditional", "486": "user-busy", "408": "no-answer", "480": "deflection", "503": "unavailable"}


def diversions_of(request: Request) -> tuple[Diversion, ...]:
    """The latest first. Malformed and private entries are left out."""
    found = list(_diversions(request)) or list(_history(request))
    return tuple(found[:_MOST])


def _diversions(request: Request) -> Iterator[Diversion]:
    for address in _addresses(request, "diversion"):
        uri = try_uri(address.uri)
        if uri is None or address.params.get("privacy", "off").strip('"').lower() not in ("off", "no"):
            continue
        if user := phone_user(uri):
            yield Diversion(user, _word(address.params.get("reason", "")))


def _history(request: Request) -> Iterator[Diversion]:
    """Each entry but the last was a target before (RFC 7044 section 5): the one after it says why (RFC 4458)."""
    entries = [(address, uri) for address in _addresses(request, "history-info") if (uri := try_uri(address.uri))]
    for (address, uri), (_, next_uri) in reversed(list(pairwise(entries))):
        if "privacy" in _embedded(address.uri) or not (user := phone_user(uri)):
            continue
        if user == phone_user(next_uri):
            continue  # the same user at another host: nobody forwarded it
        yield Diversion(user, _cause(address, next_uri))


def _cause(address: NameAddr, next_uri: Uri) -> str:
    cause = split_params(next_uri.params).get("cause", "")
    if not cause:
        reason = _embedded(address.uri).get("reason", "")
        cause = split_params(reason.partition(";")[2]).get("cause", "")
    return _REASONS.get(cause, _word(cause))


def _embedded(uri: str) -> dict[str, str]:
    """Headers in the URI."""
    pairs = (part.partition("=") for part in uri.partition("?")[2].split("&"))
    return {name.lower(): unquote(value) for name, _, value in pairs}


def _addresses(request: Request, name: str) -> Iterator[NameAddr]:
    read = 0
    for value in request.headers.get(name):
        for part in split_commas(value):
            read += 1
            if read > _MOST_READ:
                return
            try:
                yield parse_name_addr(part)
            except ValueError:
                continue


def _word(text: str) -> str:
    return "".join(character for character in text.strip('"').lower() if character.isalnum() or character == "-")[:40]
