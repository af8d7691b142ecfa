"""SIP and tel URIs and name-addrs (RFC 3261 sections 19.1, 20.10, 25; RFC 3966).

A user part may contain `;` and `?` (RFC 4475 section 3.1.1.2), a quoted display name `<`, so neither is split at the
first one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote

__all__ = [
    "NameAddr",
    "Uri",
    "as_ip",
    "bracketed",
    "contact_uri",
    "parse_name_addr",
    "parse_uri",
    "phone_user",
    "route_uri",
    "same_uri",
    "split_params",
    "try_uri",
]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._\-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])\Z")
_SEPARATORS = str.maketrans("", "", "-.() ")
_PHONE = re.compile(r"\+?[0-9*#][0-9A-D*#]*\Z")  # without visual separators
_GLOBAL = re.compile(r"\+[0-9]{1,15}\Z")


@dataclass(frozen=True, slots=True)
class Uri:
    """`user` is escaped as received; `host` of an IPv6 address keeps its brackets; a tel: URI has no host."""

    scheme: str
    user: str
    host: str
    port: int | None
    params: str  # everything after the first `;` after the host, unparsed


@dataclass(frozen=True, slots=True)
class NameAddr:
    uri: str
    params: dict[str, str]  # names in lower case; a parameter without value maps to ""


def parse_uri(text: str) -> Uri:
    """Raises ValueError if it is not a URI. For an unknown scheme, only `scheme` is parsed."""
    match = _SCHEME.match(text)
    if match is None:
        raise ValueError("URI without scheme")
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme == "tel":
        number, _, params = rest.partition(";")
        return Uri(scheme, number, "", None, params)
    if scheme not in ("sip", "sips"):
        return Uri(scheme, "", "", None, "")
    userinfo, at, hostpart = rest.partition("@")
    if not at:
        userinfo, hostpart = "", rest
    hostport, _, params = hostpart.partition("?")[0].partition(";")
    host, port = split_host_port(hostport)
    return Uri(scheme, userinfo.partition(":")[0], host, port, params)


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port` or `[v6]:port`. Raises ValueError."""
    text = text.strip()
    if text.startswith("["):
        host, bracket, port = text.partition("]")
        host, port = host + bracket, port.strip().removeprefix(":")
    else:
        host, _, port = text.partition(":")
    host, port = host.strip(), port.strip()
    if len(host) > 255 or not _HOST.match(host):
        raise ValueError("bad host")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError("bad port")
    return host, int(port)


def try_uri(text: str) -> Uri | None:
    """None if it is not a URI."""
    try:
        return parse_uri(text)
    except ValueError:
        return None


def split_params(text: str) -> dict[str, str]:
    """`;a=1;b` keeping quoted values whole."""
    params: dict[str, str] = {}
    parts = _split_unquoted(text, ";") if '"' in text else text.split(";")
    for part in parts:
        name, _, value = part.partition("=")
        if name := name.strip().lower():
            params.setdefault(name, value.strip())
    return params


def parse_name_addr(value: str) -> NameAddr:
    """A From, To, Contact, Route or P-Asserted-Identity value. Raises ValueError."""
    value = value.strip()
    rest = value
    if value.startswith('"'):
        rest = value[_closing_quote(value) + 1 :].lstrip()
        if not rest.startswith("<"):
            raise ValueError("no <URI> after the display name")
    display, bracket, tail = rest.partition("<")
    if not bracket:
        uri, _, params = rest.partition(";")
        return NameAddr(uri.strip(), split_params(params))
    if '"' in display:
        raise ValueError("unbalanced quotes")
    uri, bracket, params = tail.partition(">")
    if not bracket:
        raise ValueError("< without >")
    return NameAddr(uri, split_params(params))


def contact_uri(value: str) -> str:
    """The URI of a Contact or Route value; empty if there is no usable one."""
    if not value:
        return ""
    try:
        uri = parse_name_addr(value).uri
        parse_uri(uri)
    except ValueError:
        return ""
    return uri if uri.isprintable() and " " not in uri else ""  # it goes into a request line


def route_uri(value: str) -> Uri | None:
    """The parsed URI of a Route or Record-Route value; None if it is unreadable."""
    try:
        return parse_uri(parse_name_addr(value).uri)
    except ValueError:
        return None


_DECIDING = frozenset({"transport", "user", "ttl", "method", "maddr"})


def same_uri(one: str, other: str) -> bool:
    """RFC 3261 section 19.1.4, without header fields: a parameter counts if both have it, and those that decide where
    a request goes must be in both."""
    if one == other:
        return True
    first, second = try_uri(one), try_uri(other)
    if first is None or second is None or (first.scheme, first.port) != (second.scheme, second.port):
        return False
    if unquote(first.user) != unquote(second.user) or first.host.lower() != second.host.lower():
        return False
    these, those = split_params(first.params.lower()), split_params(second.params.lower())
    names = (these.keys() & those.keys()) | ((these.keys() | those.keys()) & _DECIDING)
    return all(these.get(name) == those.get(name) for name in names)


def _closing_quote(value: str) -> int:
    at = 1
    while at < len(value):
        if value[at] == "\\":
            at += 1
        elif value[at] == '"':
            return at
        at += 1
    raise ValueError("unbalanced quotes")


def _split_unquoted(text: str, separator: str) -> list[str]:
    parts, start, quoted, at = [], 0, False, 0
    while at < len(text):
        char = text[at]
        if quoted and char == "\\":
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def phone_user(uri: Uri) -> str:
    """The user part for people and dialplans: unescaped, and of a telephone-subscriber (RFC 3261 section 19.1.6, RFC
    3966) only the number, without visual separators and parameters (isub, ext, rn, npdi and others).

    A local number with a context keeps it: `8631234;phone-context=+1914`. Contexts that are domains say nothing about
    digits and are removed.
    """
    text, _, subscriber = uri.user.partition(";")
    number = unquote(text, errors="replace").translate(_SEPARATORS)
    if not _PHONE.match(number):  # escaped characters may include a line break
        user = text if is_phone(uri) else uri.user
        return "".join(char for char in unquote(user, errors="replace") if char.isprintable())
    if number.startswith("+"):
        return number
    params = uri.params if uri.scheme == "tel" or (is_phone(uri) and "phone-context" not in subscriber) else subscriber
    context = unquote(split_params(params).get("phone-context", "")).translate(_SEPARATORS)
    return f"{number};phone-context={context}" if _GLOBAL.match(context) else number


def is_phone(uri: Uri) -> bool:
    """`user=phone`: the user part is a telephone-subscriber, whatever it looks like."""
    return "user=phone" in uri.params.lower().split(";")


@lru_cache(maxsize=4096)
def as_ip(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address in a host part, or None for a name."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def bracketed(host: str) -> str:
    """IPv6 addresses are in brackets in URIs and Via."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
