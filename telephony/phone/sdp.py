"""The phone's session descriptions (RFC 8866, RFC 3264): one audio stream, one or more codecs, telephone-event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from telephony.media.g711 import ALAW_SILENCE, ULAW_SILENCE, decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.phone.errors import BadPeerMessage
from telephony.sip.sdp import SdpError, parse_sdp

__all__ = ["CODECS", "Codec", "CodecName", "MediaDirection", "RemoteMedia", "describe", "understand"]

CodecName = Literal["PCMU", "PCMA"]
MediaDirection = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: dict[str, MediaDirection] = {d: d for d in ("sendonly", "recvonly", "inactive", "sendrecv")}
_EVENT_PAYLOAD_TYPE = 101


@dataclass(frozen=True, slots=True)
class Codec:
    name: CodecName
    payload_type: int  # RFC 3551 table 4
    silence: int  # the byte that encodes silence
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


CODECS: dict[CodecName, Codec] = {
    "PCMU": Codec("PCMU", 0, ULAW_SILENCE, encode_ulaw, decode_ulaw),
    "PCMA": Codec("PCMA", 8, ALAW_SILENCE, encode_alaw, decode_alaw),
}


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """What the peer wants to receive, and where."""

    host: str
    port: int
    codec: Codec
    event_payload_type: int | None  # None: it does not accept RFC 4733 events
    direction: MediaDirection


def describe(
    host: str,
    port: int,
    codecs: Sequence[CodecName],
    *,
    version: int = 1,
    direction: MediaDirection = "sendrecv",
    event_payload_type: int = _EVENT_PAYLOAD_TYPE,
) -> bytes:
    """An offer or answer. `version` increases with each change (RFC 3264 section 8)."""
    family = "IP6" if ":" in host else "IP4"
    types = [CODECS[name].payload_type for name in codecs]
    lines = [
        "v=0",
        f"o=- {port} {version} IN {family} {host}",
        "s=trunkline phone",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {' '.join(map(str, types))} {event_payload_type}",
        *(f"a=rtpmap:{CODECS[name].payload_type} {name}/8000" for name in codecs),
        f"a=rtpmap:{event_payload_type} telephone-event/8000",
        f"a=fmtp:{event_payload_type} 0-15",
        "a=ptime:20",
        f"a={direction}",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def understand(body: str, ours: Sequence[CodecName]) -> RemoteMedia:
    """Parse the peer's SDP. Raises BadPeerMessage if it cannot be used or has no codec in common."""
    try:
        audio = parse_sdp(body.encode("utf-8", "replace")).audio
    except SdpError as error:
        raise BadPeerMessage(f"invalid SDP: {error}") from error
    if audio is None or audio.rtp_address is None:
        raise BadPeerMessage("the SDP has no audio stream")
    address, port = audio.rtp_address
    events = [codec.payload_type for codec in audio.codecs if codec.key == ("TELEPHONE-EVENT", 8000, 1)]
    for codec in audio.codecs:
        for name in ours:
            if codec.key == (name, 8000, 1):
                direction = _DIRECTIONS[audio.direction]
                return RemoteMedia(str(address), port, CODECS[name], events[0] if events else None, direction)
    raise BadPeerMessage(f"the SDP offers none of {', '.join(ours)}")
