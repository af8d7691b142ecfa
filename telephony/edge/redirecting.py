"""Where a 3xx may send our call: only to hosts of its own trunk, and only for the called number or another one allowed
on the trunk. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from telephony.sip.parse import Response
from telephony.sip.resolving import Place
from telephony.sip.uri import Uri, as_ip, parse_name_addr, parse_uri, phone_user, split_params

__all__ = ["Moved", "NotFollowed", "redirection"]

_MOST_CONTACTS = 8


@dataclass(frozen=True, slots=True)
class Moved:
    """Send the INVITE there, with this Request-URI."""

    place: Place
    uri: str


@dataclass(frozen=True, slots=True)
class NotFollowed:
    why: str


def redirection(
    response: Response, places: Iterable[Place], called: str, may_dial: Callable[[str], bool]
) -> Moved | NotFollowed:
    """The best Contact (RFC 3261 section 8.1.3.4) that may be followed. `places`: the trunk's; `called`: the called
    URI; `may_dial`: whether another number may be called over the trunk."""
    known, original = tuple(places), parse_uri(called)
    number = phone_user(original)
    why = "it names no address"
    for text, uri in _by_preference(response.headers.get("contact")[:_MOST_CONTACTS]):
        place = _place(uri, known)
        other = phone_user(uri)
        if place is None:
            why = f"{uri.host or uri.user} is not a host of the trunk"
        elif original.scheme == "sips" and uri.scheme != "sips":
            why = f"{uri.host} is not to be reached securely, as this call is"
        elif other != number and not may_dial(other):
            why = f"{other or 'nobody'} is not a number that may be called over the trunk"
        else:
            return Moved(place, text)
    return NotFollowed(f"redirected by {response.status}, which is not followed: {why}")


def _by_preference(values: Iterable[str]) -> list[tuple[str, Uri]]:
    """By q, the highest first; those without q count as 1."""
    found: list[tuple[float, str, Uri]] = []
    for value in values:
        try:
            contact = parse_name_addr(value)
            uri = parse_uri(contact.uri)
            q = float(contact.params.get("q", "1") or 1)
        except ValueError:
            continue
        if contact.uri.isprintable() and " " not in contact.uri:
            found.append((-q, contact.uri.partition("?")[0], uri))
    return [(text, uri) for _, text, uri in sorted(found, key=lambda each: each[0])]


def _place(uri: Uri, places: Iterable[Place]) -> Place | None:
    """The trunk's place that the URI names by address or host name, with the URI's port and transport."""
    if uri.scheme not in ("sip", "sips"):
        return None
    address = as_ip(uri.host)
    host = str(address) if address is not None else uri.host.lower().rstrip(".")
    transport = split_params(uri.params).get("transport", "").lower()
    for place in places:
        if host not in (place.ip, place.name.lower()) or (transport and transport != place.transport):
            continue
        if uri.scheme == "sips" and place.transport != "tls":
            continue
        return replace(place, port=uri.port) if uri.port and address is not None else place
    return None
