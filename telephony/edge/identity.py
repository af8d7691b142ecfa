"""The caller: the asserted identity from a trusted trunk, else From; None if withheld.
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from telephony.sip.headers import split_commas
from telephony.sip.parse import Request
from telephony.sip.uri import NameAddr, Uri, parse_name_addr, parse_uri, phone_user

__all__ = ["caller_of", "user_of"]

_WITHHOLDING = frozenset({"id", "user", "header"})  # RFC 3323 section 4.2, RFC 3325 section 9.3
_MOST = 8  # identities read of one message; RFC 3325 section 9.1 allows two


def caller_of(request: Request, *, trusted: bool) -> str | None:
    """The caller's number or user, as `phone_user` gives it. `trusted`: the trunk's asserted identities count (RFC
    3324, 3325). A request for privacy is honoured from anybody."""
    party = _remote_party(request)
    if _withheld(request, party):
        return None
    if trusted:
        asserted = [user for address in _addresses(request, "p-asserted-identity") if (user := _name(address.uri))]
        if asserted:
            return _best(asserted)
        if party is not None and party.params.get("screen", "").lower() != "no" and (user := _name(party.uri)):
            return user
    return _name(request.sender.uri) or None


def user_of(text: str) -> str:
    """The user part of a URI; nothing when it has none or is unreadable."""
    uri = _uri(text)
    return phone_user(uri) if uri is not None else ""


def _withheld(request: Request, party: NameAddr | None) -> bool:
    asked = ";".join(request.headers.get("privacy")).replace(",", ";")
    if {part.strip().lower() for part in asked.split(";")} & _WITHHOLDING:
        return True
    return party is not None and party.params.get("privacy", "").strip('"').lower() in ("full", "uri")


def _remote_party(request: Request) -> NameAddr | None:
    """The Remote-Party-ID of the caller (draft-ietf-sip-privacy-04): `party` is `calling` unless it says otherwise."""
    for address in _addresses(request, "remote-party-id"):
        if address.params.get("party", "calling").strip('"').lower() == "calling":
            return address
    return None


def _name(uri_text: str) -> str:
    """The user of a named identity; empty for an anonymous one (RFC 3323 section 4.1.1.3)."""
    uri = _uri(uri_text)
    if uri is None or uri.host.lower() == "anonymous.invalid":
        return ""
    user = phone_user(uri)
    return "" if user.lower() == "anonymous" else user


def _best(users: Sequence[str]) -> str:
    """A global number before anything else: there may be a sip and a tel URI of the same caller."""
    return next((user for user in users if user.startswith("+")), users[0])


def _addresses(request: Request, name: str) -> Iterator[NameAddr]:
    """The valid ones: a malformed identity asserts nothing."""
    read = 0
    for value in request.headers.get(name):
        for part in split_commas(value):
            read += 1
            if read > _MOST:
                return
            try:
                yield parse_name_addr(part)
            except ValueError:
                continue


def _uri(text: str) -> Uri | None:
    try:
        return parse_uri(text)
    except ValueError:
        return None
