"""SRTP with SDES keys (RFC 4568): what a trunk wants of it, in what we write. Pure.

A worker always offers it as an option (RTP/AVP with keys) and answers as it is asked, so that the trunk's policy is
applied here: to what goes out by `for_public`, to what comes in by `offer.for_worker`."""

from __future__ import annotations

import re
from enum import StrEnum

from telephony.sip.description import Media, SdpNotAcceptable

__all__ = ["Srtp", "check_keys", "for_public", "uses_savp"]

_KEYS = re.compile(rb"(?m)^a=crypto:(\d{1,9}) (\S{1,40}) [^\n]*\n?")
_PLAIN_AUDIO = re.compile(rb"(?m)^(m=audio \d{1,5} )RTP/AVP(F?) ")


class Srtp(StrEnum):
    OFF = "off"
    OFFERED = "offered"  # used if both sides can: RTP/AVP with keys, or RTP/SAVP as the peer has it
    REQUIRED = "required"  # RTP/SAVP and nothing else


def for_public(body: bytes, srtp: Srtp, *, secure: bool = False) -> bytes:
    """A worker's description as the trunk wants it. `secure`: it is an offer to a peer that has used RTP/SAVP."""
    if srtp is Srtp.OFF:
        return _KEYS.sub(b"", body) if b"\na=crypto:" in body else body
    if (srtp is Srtp.REQUIRED or secure) and b"\na=crypto:" in body:
        return _PLAIN_AUDIO.sub(rb"\1RTP/SAVP\2 ", body)
    return body


def uses_savp(body: bytes) -> bool:
    return b" RTP/SAVP" in body


def check_keys(answer: Media, offer: bytes) -> None:
    """An answer takes one of the keys offered, by its tag and suite (RFC 4568 section 7.1.2). `offer`: ours. Raises
    SdpNotAcceptable."""
    if not answer.crypto:
        return
    key = answer.crypto[0]
    offered = {(int(tag), suite.decode("latin-1")) for tag, suite in _KEYS.findall(offer)}
    if (key.tag, key.suite) not in offered:
        raise SdpNotAcceptable(f"the answer takes an SRTP key that was not offered: {key.tag} {key.suite}", 302)
