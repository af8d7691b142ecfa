"""The part of an offer or answer that a call worker is shown: a single audio stream, codecs that it has, keys that it
can use.

PJSIP finds no audio stream that follows another, so it sees only that one; the rest of the offer is kept here and put
around its answer (RFC 3264 section 6: an answer has as many streams as its offer, in the same places).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from telephony.sip.codec_order import in_order
from telephony.sip.sdp import Codec, Crypto, Direction, Media, SdpError, SdpNotAcceptable, SessionDescription
from telephony.sip.srtp import Srtp

__all__ = ["ALONE", "Streams", "for_worker", "put_away"]

_VOICE = {("PCMU", 8000, 1): 0, ("PCMA", 8000, 1): 8, ("G722", 8000, 1): 9}
_BESIDE = {("TELEPHONE-EVENT", 8000, 1): None, ("CN", 8000, 1): 13}
_KNOWN = {**_VOICE, **_BESIDE}
_NAMES = {"TELEPHONE-EVENT": "telephone-event"}
_FIRST_DYNAMIC = 96  # RFC 3551 section 3: below, a number means one codec, whatever a=rtpmap says
_PLAIN = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE = frozenset({"RTP/SAVP", "RTP/SAVPF"})
_KEY_BYTES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AES_256_CM_HMAC_SHA1_80": 46,
    "AES_256_CM_HMAC_SHA1_32": 46,
}  # master key and salt, RFC 4568 section 6.2 and RFC 6188
_MOST_KEYS = 4
_DISCARD = 9  # a port to which nothing is sent
_EVENTS = re.compile(r"\d{1,3}(?:-\d{1,3})?(?:,\d{1,3}(?:-\d{1,3})?)*\Z", re.ASCII)
_SHORTEST_MS, _USUAL_MS, _LONGEST_MS = 10, 20, 180  # PJSIP sends nothing at all in packets of 200 ms


@dataclass(frozen=True, slots=True)
class Streams:
    """The m= lines around the worker's one, as refused towards the caller."""

    before: bytes = b""
    after: bytes = b""
    put_away: bytes = b""  # the worker's stream as well, as disabled by the peer
    fast_events: int | None = None  # payload type of telephone-event/16000, which the worker is shown as /8000

    def around(self, body: bytes) -> bytes:
        """A worker's description, with its single stream, and the others in their places. Any other body is left as it
        is."""
        at = body.find(b"\nm=") + 1
        if not at or self == ALONE:
            return body
        if self.fast_events is not None:
            line = b"a=rtpmap:%d telephone-event/" % self.fast_events
            body = body.replace(line + b"8000\r\n", line + b"16000\r\n")
        if self.put_away:
            return body[:at] + self.put_away
        return body[:at] + self.before + body[at:].rstrip(b"\r\n") + b"\r\n" + self.after


ALONE = Streams()


def for_worker(
    description: SessionDescription, srtp: Srtp = Srtp.OFFERED, codecs: Sequence[str] = ()
) -> tuple[SessionDescription, Streams]:
    """The first audio stream that a worker can take, and the others. `codecs`: the trunk's, in its order; none: all.
    Raises SdpNotAcceptable if there is no such stream, naming the problem with the first."""
    wrong: SdpError | None = None
    streams = description.media
    for index, media in enumerate(streams):
        if media.kind == "audio" and media.port:
            try:
                shown = SessionDescription(description.origin, (_audio(media, srtp, codecs),))
            except SdpNotAcceptable as error:
                wrong = wrong or error
            else:
                others = _others(streams[:index], streams[index + 1 :])
                return shown, replace(others, fast_events=_fast_events(media.codecs))
    raise wrong or SdpNotAcceptable("no audio stream is offered", 304)


def put_away(description: SessionDescription) -> tuple[SessionDescription, Streams] | None:
    """What a worker is shown if the peer disables all streams during a call (port 0, RFC 3264 sections 6 and 8.2):
    PJSIP would end the call, so it is shown a hold. None if a stream is left, or the peer names no audio, such as a
    fax."""
    streams = description.media
    if not any(media.kind == "audio" for media in streams) or any(media.port for media in streams):
        return None
    codecs = tuple(Codec(payload_type, *key) for key, payload_type in _VOICE.items())
    formats = tuple(str(codec.payload_type) for codec in codecs)
    held = Media("audio", _DISCARD, "RTP/AVP", formats, IPv4Address(0), codecs, Direction.INACTIVE)
    return SessionDescription(description.origin, (held,)), Streams(put_away=_refused(streams))


def _others(before: tuple[Media, ...], after: tuple[Media, ...]) -> Streams:
    return Streams(_refused(before), _refused(after)) if before or after else ALONE


def _refused(streams: tuple[Media, ...]) -> bytes:
    """Port 0, and the offer's kind, protocol and a format: each has matched its pattern."""
    return "".join(f"m={media.kind} 0 {media.protocol} {media.formats[0]}\r\n" for media in streams).encode("ascii")


def _audio(media: Media, srtp: Srtp, wanted: Sequence[str]) -> Media:
    if media.protocol not in _PLAIN | _SECURE:
        raise SdpNotAcceptable(f"{media.protocol} is not supported", 302)
    if srtp is Srtp.REQUIRED and media.protocol not in _SECURE:
        raise SdpNotAcceptable("only encrypted audio is accepted here: SRTP is required (RTP/SAVP)", 302)
    if srtp is Srtp.OFF and media.protocol in _SECURE:
        raise SdpNotAcceptable("encrypted audio is not accepted here: SRTP is off (RTP/AVP)", 302)
    if not isinstance(media.address, IPv4Address):
        raise SdpNotAcceptable("media over IPv6 is not supported", 300)
    codecs = _codecs(media.codecs)
    if not any(codec.key in _VOICE for codec in codecs):
        raise SdpNotAcceptable("no codec in common: PCMU, PCMA and G722 are supported", 305)
    codecs = in_order(codecs, wanted)
    crypto = () if srtp is Srtp.OFF else tuple(line for line in media.crypto if _usable(line))[:_MOST_KEYS]
    if media.protocol in _SECURE and not crypto:
        raise SdpNotAcceptable("no usable SRTP key is offered (SDES with AES-CM)", 302)
    return replace(
        media,
        formats=tuple(str(codec.payload_type) for codec in codecs),
        codecs=codecs,
        crypto=crypto,
        ptime_ms=_wanted_packets(media),
        maxptime_ms=_packet_time(media.maxptime_ms),
        rtcp_mux=False,  # not supported, so not offered
    )


def _fast_events(offered: tuple[Codec, ...]) -> int | None:
    """Of a peer whose only telephone-event has a clock of 16 kHz: events are told apart by their timestamps, whatever
    the clock is, and PJSIP knows only that of its audio."""
    rates = {codec.rate: codec.payload_type for codec in reversed(offered) if codec.key[0] == "TELEPHONE-EVENT"}
    return rates.get(16_000) if 8_000 not in rates else None


def _codecs(offered: tuple[Codec, ...]) -> tuple[Codec, ...]:
    found: dict[tuple[str, int, int], Codec] = {}
    fast = _fast_events(offered)
    for codec in offered:
        if codec.payload_type == fast:
            codec = replace(codec, rate=8_000)
        key = codec.key
        if key not in _KNOWN or (codec.payload_type < _FIRST_DYNAMIC and codec.payload_type != _KNOWN[key]):
            continue
        events = key[0] == "TELEPHONE-EVENT" and _EVENTS.match(codec.fmtp)
        if key not in found:
            name = _NAMES.get(key[0], key[0])
            found[key] = Codec(codec.payload_type, name, codec.rate, 1, codec.fmtp if events else "")
    return tuple(found.values())


def _usable(line: Crypto) -> bool:
    try:
        return len(base64.b64decode(line.key, validate=True)) == _KEY_BYTES.get(line.suite, -1)
    except binascii.Error:
        return False


def _packet_time(milliseconds: int | None) -> int | None:
    """Rounded down to 10 ms; implausible values are not passed on."""
    if milliseconds is None or not _SHORTEST_MS <= milliseconds <= _LONGEST_MS:
        return None
    return milliseconds - milliseconds % 10


def _wanted_packets(media: Media) -> int | None:
    """The packet time for a worker: PJSIP obeys a=ptime and ignores a=maxptime."""
    ptime, most = _packet_time(media.ptime_ms), _packet_time(media.maxptime_ms)
    return ptime if most is None or (ptime or _USUAL_MS) <= most else most
