"""Voice codecs of a trunk, in its order: in our offers, and in what its peers offer and answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from telephony.sip.description import Codec, SdpNotAcceptable

__all__ = ["VOICE", "in_order", "offer_in_order"]

VOICE = {"pcmu": 0, "pcma": 8, "g722": 9}  # RFC 3551 section 6: static payload types, which workers use
_AUDIO = re.compile(rb"(?m)^(m=audio \d{1,5} [A-Z/]{1,20})((?: \d{1,3})+)\r?$")
_OF_VOICE = {name.upper() for name in VOICE}


def in_order(codecs: Sequence[Codec], wanted: Sequence[str]) -> tuple[Codec, ...]:
    """A peer's codecs for a worker, which takes the first that it has: those that are `wanted`, in that order, then
    what goes beside voice (key presses, comfort noise). Nothing `wanted`: as they are. Raises SdpNotAcceptable."""
    if not wanted:
        return tuple(codecs)
    by_name = {codec.key[0]: codec for codec in codecs if codec.key[0] in _OF_VOICE}
    voice = [by_name[name.upper()] for name in wanted if name.upper() in by_name]
    if not voice:
        raise SdpNotAcceptable(f"no codec in common: {', '.join(wanted).upper()} here", 305)
    return (*voice, *(codec for codec in codecs if codec.key[0] not in _OF_VOICE))


def offer_in_order(body: bytes, wanted: Sequence[str]) -> bytes:
    """A worker's offer with the voice codecs that are `wanted`, in that order. One that has none of them stays as it
    is: its codec has been agreed on."""
    found = _AUDIO.search(body) if wanted else None
    if found is None:
        return body
    offered = found[2].split()
    kept = [number for name in wanted if (number := b"%d" % VOICE[name]) in offered]
    voice = {b"%d" % number for number in VOICE.values()}
    if not kept:
        return body
    gone = voice.intersection(offered) - set(kept)
    beside = [number for number in offered if number not in voice]
    body = body[: found.start(2)] + b"".join(b" " + number for number in (*kept, *beside)) + body[found.end(2) :]
    for number in gone:
        body = re.sub(rb"(?m)^a=(?:rtpmap|fmtp):%s [^\n]*\n" % number, b"", body)
    return body
