"""Session descriptions (RFC 8866): read into values, and written only from these values.

The output never contains copied bytes: numbers are written from numbers, addresses from IP addresses (host names are
refused, nothing is looked up), names and keys from text that matched a pattern. Everything has a limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from telephony.sip.description import (
    Codec,
    Crypto,
    Direction,
    IpAddress,
    Media,
    Origin,
    Rtcp,
    SdpError,
    SdpNotAcceptable,
    SessionDescription,
)

__all__ = [
    "Codec",
    "Crypto",
    "Direction",
    "IpAddress",
    "Media",
    "Origin",
    "Rtcp",
    "SdpError",
    "SdpNotAcceptable",
    "SessionDescription",
    "parse_sdp",
    "write_sdp",
]

MOST_BYTES = 16_384
MOST_LINES = 512
MOST_MEDIA = 16
MOST_FORMATS = 64  # of one stream
MOST_CRYPTO = 16  # of one stream

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]{1,32}\Z")  # RFC 8866 section 9
_PROTOCOL = re.compile(r"[A-Za-z0-9\-]{1,16}(?:/[A-Za-z0-9\-]{1,16}){0,4}\Z")
_CRYPTO = re.compile(
    r"(\d{1,9}) ([A-Za-z0-9_]{1,40}) inline:([A-Za-z0-9+/]{16,128}={0,2})((?:\|[^ |;]{1,32}){0,2})((?: .*)?)\Z",
    re.ASCII,
)
_RTPMAP = re.compile(r"(\d{1,3}) +([^/ ]{1,32})/(\d{1,6})(?:/(\d{1,2}))?\s*\Z", re.ASCII)
_FMTP = re.compile(r"(\d{1,3}) +([\x20-\x7e]{1,256})\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# RFC 3551 table 4, the types that are offered without a=rtpmap.
_STATIC = {
    0: ("PCMU", 8000), 3: ("GSM", 8000), 4: ("G723", 8000), 5: ("DVI4", 8000), 6: ("DVI4", 16000), 7: ("LPC", 8000),
    8: ("PCMA", 8000), 9: ("G722", 8000), 10: ("L16", 44100), 11: ("L16", 44100), 12: ("QCELP", 8000), 13: ("CN", 8000),
    15: ("G728", 8000), 18: ("G729", 8000),
}  # fmt: skip


@lru_cache(maxsize=4096)
def ip_literal(family: str, text: str) -> IpAddress | None:
    """None for a host name, or anything else that is not an address of its family."""
    try:
        return IPv4Address(text) if family == "IP4" else IPv6Address(text) if family == "IP6" else None
    except ValueError:
        return None


def parse_sdp(body: bytes) -> SessionDescription:
    """Raises SdpError for an invalid session description, SdpNotAcceptable for one with host names. No other errors."""
    if len(body) > MOST_BYTES:
        raise SdpNotAcceptable("the session description is too large")
    text = body.decode("utf-8", "replace").replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise SdpError("a control character in the session description")
    lines = text.rstrip("\n").split("\n")
    if len(lines) > MOST_LINES:
        raise SdpNotAcceptable("the session description has too many lines")
    if lines[0].rstrip() != "v=0":
        raise SdpError("the session description does not begin with v=0")
    return _read(lines)


@dataclass(slots=True)
class _Section:
    """The relevant lines of the session or of one stream."""

    first: str = ""  # the value of m=
    connection: str = ""
    attributes: list[str] = field(default_factory=list)


def _read(lines: list[str]) -> SessionDescription:
    origin: str | None = None
    section = session = _Section()
    streams: list[_Section] = []
    for line in lines:
        kind, value = line[:2], line[2:]
        if kind == "a=":
            section.attributes.append(value)
        elif kind == "m=":
            section = _Section(value)
            streams.append(section)
        elif kind == "c=":
            section.connection = section.connection or value
        elif kind == "o=":
            origin = value
        elif line and (len(kind) < 2 or kind[1] != "=" or not kind[0].isalpha()):
            raise SdpError("a line of the session description has no type")
    if origin is None:
        raise SdpError("the session description has no o= line")
    if len(streams) > MOST_MEDIA:
        raise SdpNotAcceptable("the session description has too many streams")
    way = _direction(session.attributes, Direction.SENDRECV)
    return SessionDescription(_origin(origin), tuple(_media(stream, session.connection, way) for stream in streams))


def _origin(value: str) -> Origin:
    """Only the two numbers are used; phones write anything around them."""
    parts = value.split()
    if len(parts) != 6:
        raise SdpError("the o= line does not have six parts")
    return Origin(_big_number(parts[1]), _big_number(parts[2]))


def _big_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0


def _number(text: str, most: int) -> int | None:
    """A decimal number of 0 to `most`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        return None
    number = int(text)
    return number if number <= most else None


def _direction(attributes: list[str], default: Direction) -> Direction:
    for attribute in attributes:
        if (found := _DIRECTIONS.get(attribute.rstrip())) is not None:
            return found
    return default


_DIRECTIONS = {str(direction): direction for direction in Direction}


def _address(value: str) -> IpAddress:
    parts = value.split()
    if len(parts) != 3 or parts[0] != "IN":
        raise SdpError("a c= line cannot be read")
    literal, _, _ = parts[2].partition("/")  # of multicast: the time to live
    address = ip_literal(parts[1], literal)
    if address is None:
        raise SdpNotAcceptable("a c= line does not name an IP address", 301)
    return address


def _media(section: _Section, connection: str, way: Direction) -> Media:
    kind, port, protocol, formats = _stream(section.first)
    attributes = section.attributes
    if not port:
        return Media(kind, 0, protocol, formats)
    if not (value := section.connection or connection):
        raise SdpError("a stream has no c= line")
    details = _details(attributes, formats if "RTP/" in protocol else ())
    return Media(kind, port, protocol, formats, _address(value), direction=_direction(attributes, way), **details)


def _stream(value: str) -> tuple[str, int, str, tuple[str, ...]]:
    parts = value.split()
    if len(parts) < 4:
        raise SdpError("an m= line has too few parts")
    kind, *rest = parts
    port = _number(rest[0].partition("/")[0], 65535)
    if port is None or not _TOKEN.match(kind) or not _PROTOCOL.match(rest[1]):
        raise SdpError("an m= line cannot be read")
    formats = tuple(rest[2:])
    if len(formats) > MOST_FORMATS:
        raise SdpNotAcceptable("a stream has too many formats")
    if not all(_TOKEN.match(name) for name in formats):
        raise SdpError("a format of an m= line cannot be read")
    return kind, port, rest[1], formats


def _details(attributes: list[str], formats: tuple[str, ...]) -> dict[str, Any]:
    """The values of the attributes. A malformed one is ignored (RFC 8866 section 5.13)."""
    found: dict[str, Any] = {}
    maps: dict[int, tuple[str, int, int]] = {}
    parameters: dict[int, str] = {}
    crypto: list[Crypto] = []
    for attribute in attributes:
        name, _, value = attribute.partition(":")
        if name == "rtpmap":
            if (match := _RTPMAP.match(value)) is not None:
                maps.setdefault(int(match[1]), (match[2], int(match[3]), int(match[4] or 1)))
        elif name == "fmtp":
            if (match := _FMTP.match(value)) is not None:
                parameters.setdefault(int(match[1]), match[2].strip())
        elif name == "crypto":
            if (line := _crypto(value)) is not None and len(crypto) < MOST_CRYPTO:
                crypto.append(line)
        elif (reader := _READERS.get(name)) is not None:
            key, read = reader
            if (said := read(value.strip())) is not None:
                found.setdefault(key, said)
    if codecs := _codecs(formats, maps, parameters):
        found["codecs"] = codecs
    if crypto:
        found["crypto"] = tuple(crypto)
    return found


def _codecs(
    formats: tuple[str, ...], maps: dict[int, tuple[str, int, int]], parameters: dict[int, str]
) -> tuple[Codec, ...]:
    """In the order of the m= line, each payload type once; unnamed ones are left out."""
    codecs: dict[int, Codec] = {}
    for text in formats:
        payload_type = _number(text, 127)
        if payload_type is None:
            raise SdpError("a payload type is not a number below 128")
        named = maps.get(payload_type)
        if named is None and payload_type in _STATIC:
            named = (*_STATIC[payload_type], 1)
        if named is not None and named[1] and named[2] and _TOKEN.match(named[0]):
            codecs.setdefault(payload_type, Codec(payload_type, *named, parameters.get(payload_type, "")))
    return tuple(codecs.values())


def _crypto(value: str) -> Crypto | None:
    match = _CRYPTO.match(" ".join(value.split()))
    if match is None:
        return None
    if ":" in match[4] or any(not part.startswith("-") for part in match[5].split()):
        return None  # a master key index; parameters that may not be ignored (RFC 4568 section 6.3)
    return Crypto(int(match[1]), match[2], match[3])


def _packet_time(value: str) -> int | None:
    """Milliseconds, rounded down."""
    return _number(value.partition(".")[0], 10_000) or None


def _rtcp(value: str) -> Rtcp | None:
    port, *rest = value.split() or [""]
    number = _number(port, 65535)
    if not number:
        return None
    if not rest:
        return Rtcp(number)
    if len(rest) != 3 or rest[0] != "IN":
        return None
    address = ip_literal(rest[1], rest[2])
    if address is None:
        raise SdpNotAcceptable("an a=rtcp line does not name an IP address", 301)
    return Rtcp(number, address)


def _silence(value: str) -> bool | None:
    word = value.partition(" ")[0].lower()
    return True if word == "on" else False if word == "off" else None


_READERS = {
    "ptime": ("ptime_ms", _packet_time),
    "maxptime": ("maxptime_ms", _packet_time),
    "rtcp": ("rtcp", _rtcp),
    "rtcp-mux": ("rtcp_mux", lambda _: True),
    "silenceSupp": ("silence_suppression", _silence),
}


def write_sdp(description: SessionDescription) -> bytes:
    """The description in one fixed form: the same values give the same bytes."""
    common = next((media.address for media in description.media if media.address is not None), None)
    common = common or IPv4Address(0)
    where = _connection(common)
    origin = description.origin
    lines = ["v=0", f"o=- {origin.session_id} {origin.version} {where}", "s=-", f"c={where}", "t=0 0"]
    for media in description.media:
        lines.append(f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}")
        if media.port:
            lines += _attributes(media, common)
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _connection(address: IpAddress) -> str:
    return f"IN IP{address.version} {address}"


def _attributes(media: Media, common: IpAddress) -> list[str]:
    lines: list[str] = []
    if media.address is not None and media.address != common:
        lines.append(f"c={_connection(media.address)}")
    for codec in media.codecs:
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.rate}{channels}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    if media.ptime_ms is not None:
        lines.append(f"a=ptime:{media.ptime_ms}")
    if media.maxptime_ms is not None:
        lines.append(f"a=maxptime:{media.maxptime_ms}")
    if media.rtcp is not None:
        where = f" {_connection(media.rtcp.address)}" if media.rtcp.address is not None else ""
        lines.append(f"a=rtcp:{media.rtcp.port}{where}")
    if media.rtcp_mux:
        lines.append("a=rtcp-mux")
    if media.silence_suppression is not None:
        lines.append(f"a=silenceSupp:{'on' if media.silence_suppression else 'off'} - - - -")
    lines += [f"a=crypto:{line.tag} {line.suite} inline:{line.key}" for line in media.crypto]
    lines.append(f"a={media.direction}")
    return lines
