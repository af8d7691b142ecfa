"""Parses RTP and RTCP packets (RFC 3550). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["RtpHeader", "is_rtcp", "read_rtp"]


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """The fields of an RTP header, and where the payload is."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    source: int  # the SSRC
    payload: bytes


def read_rtp(data: bytes) -> RtpHeader | None:
    """None for anything that is not RTP version 2, or is truncated."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    start = 12 + 4 * (data[0] & 15)
    if data[0] & 0x10:  # header extension
        if len(data) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - data[-1] if data[0] & 0x20 else len(data)  # padding
    if start > end:
        return None
    sequence, timestamp, source = struct.unpack_from("!HII", data, 2)
    return RtpHeader(data[1] & 0x7F, bool(data[1] & 0x80), sequence, timestamp, source, data[start:end])


def is_rtcp(data: bytes) -> bool:
    """Whether a packet is a compound RTCP packet: it starts with a sender or receiver report (section 6.1), or with
    one of the packets that reduced-size RTCP allows instead (RFC 5506)."""
    if len(data) < 8 or data[0] >> 6 != 2 or not 200 <= data[1] <= 207:
        return False
    return 4 * (int.from_bytes(data[2:4], "big") + 1) <= len(data)
