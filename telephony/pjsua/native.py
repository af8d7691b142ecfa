"""What pjsua2 does not expose to Python: a few functions of the C library inside it, and its vectors' memory.

The wheel's extension module exports PJSIP's C symbols. They are looked up on first use, never at import.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from telephony.errors import PjsipError
from telephony.pjsua._api import EXTENSION_FILE, ByteVector

__all__ = [
    "MediaSockets",
    "calls_in_use",
    "check_vector_layout",
    "compiled_call_limit",
    "media_sockets",
    "note_received",
    "packets_reordered",
    "pause_sending",
    "resume_sending",
    "set_g722_level",
    "silence_log",
    "vector_address",
]

_MAX_CALLS_READ = 256
_STREAM_STAT_BYTES = 8192  # pjsua_stream_stat is smaller than 1 KiB
_TRANSPORT_INFO_BYTES = 8192  # pjmedia_transport_info is smaller than 2 KiB
_ENCODING = 1  # PJMEDIA_DIR_ENCODING
_SRTP = 2  # PJMEDIA_TRANSPORT_TYPE_SRTP
_REPORTS = (200, 201)  # RTCP: sender report, receiver report
_READ_APART = 50  # packets that may arrive between two readings
_NEEDED = (
    "pj_log_set_level",
    "pjmedia_rtcp_rx_rtcp",
    "pjmedia_rtcp_rx_rtp2",
    "pjmedia_stream_get_rtp_session_info",
    "pjmedia_stream_pause",
    "pjmedia_stream_resume",
    "pjsua_call_get_max_count",
    "pjsua_call_get_med_transport_info",
    "pjsua_call_get_stream_stat",
    "pjsua_enum_calls",
)
_pointer_at = ctypes.c_void_p.from_address


class _MathStat(ctypes.Structure):  # pj_math_stat
    _fields_ = (("figures", ctypes.c_int * 5), ("mean", ctypes.c_float), ("m2", ctypes.c_double))


class _RtcpStreamStat(ctypes.Structure):  # pjmedia_rtcp_stream_stat
    _fields_ = (
        ("update", ctypes.c_long * 2),
        ("update_count", ctypes.c_uint),
        ("packets", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("discard", ctypes.c_uint),
        ("loss", ctypes.c_uint),
        ("reorder", ctypes.c_uint),
        ("dup", ctypes.c_uint),
        ("loss_period", _MathStat),
        ("loss_type", ctypes.c_uint),
        ("jitter", _MathStat),
    )


class _RtcpStat(ctypes.Structure):  # the start of pjmedia_rtcp_stat, which pjsua_stream_stat starts with
    _fields_ = (("start", ctypes.c_long * 2), ("sent", _RtcpStreamStat), ("received", _RtcpStreamStat))


class _Address(ctypes.Structure):  # pj_sockaddr, whose largest member is sockaddr_in6
    _fields_ = (("words", ctypes.c_uint32 * 7),)


class _SpecificInfo(ctypes.Structure):  # pjmedia_transport_specific_info; SRTP's begins with whether it is active
    _fields_ = (
        ("type", ctypes.c_int),
        ("size", ctypes.c_int),
        ("active", ctypes.c_int),
        ("buffer", ctypes.c_char * (50 * ctypes.sizeof(ctypes.c_long) - ctypes.sizeof(ctypes.c_int))),
        ("transport", ctypes.c_void_p),
    )


class _SocketInfo(ctypes.Structure):  # pjmedia_sock_info: a structure of its own, with its own padding at the end
    _fields_ = (
        ("rtp_socket", ctypes.c_long),
        ("rtp_name", _Address),
        ("rtcp_socket", ctypes.c_long),
        ("rtcp_name", _Address),
    )


class _TransportInfo(ctypes.Structure):  # pjmedia_transport_info
    _fields_ = (
        ("sockets", _SocketInfo),
        ("rtp_source", _Address),
        ("rtcp_source", _Address),
        ("specific_count", ctypes.c_uint),
        ("specific", _SpecificInfo * 4),
    )


class _SessionInfo(ctypes.Structure):  # pjmedia_stream_rtp_sess_info
    _fields_ = (("received", ctypes.c_void_p), ("sent", ctypes.c_void_p), ("rtcp", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class MediaSockets:
    """File descriptors of a call's media, PJSIP's own. `secure`: SRTP is in use."""

    rtp: int
    rtcp: int
    secure: bool


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(EXTENSION_FILE)  # already loaded by Python: returns the same library
    for name in _NEEDED:
        if not hasattr(library, name):
            raise PjsipError("load", 0, f"this build of pjsua2 hides the C function {name}")
    return library


def silence_log() -> None:
    """Keep PJLIB from printing to stdout until libInit has set the log writer."""
    _library().pj_log_set_level(0)


def set_g722_level() -> None:
    """Use the same G.722 level as other implementations: by default PJSIP scales 16-bit samples to 14 bits, 6 dB off
    from SpanDSP, and so from baresip, Asterisk and FreeSWITCH. Applies to streams created from now on."""
    _library().pjmedia_codec_g722_set_pcm_shift(1)


def compiled_call_limit() -> int:
    """How many calls this build can hold (PJSUA_MAX_CALLS), if libInit was asked for at least as many."""
    return int(_library().pjsua_call_get_max_count())


def calls_in_use() -> frozenset[int]:
    """Call slots that PJSIP has not freed yet: a slot whose BYE has not been answered is still in use."""
    ids = (ctypes.c_int * _MAX_CALLS_READ)()
    count = ctypes.c_uint(_MAX_CALLS_READ)
    status = _library().pjsua_enum_calls(ids, ctypes.byref(count))
    if status:
        raise PjsipError("enumerate calls", status, "pjsua_enum_calls failed")
    return frozenset(ids[: count.value])


def packets_reordered(slot: int, index: int, received: int, duplicated: int) -> int:
    """Packets that arrived out of order. pjsua2 2.15.1 reports the loss instead (RtcpStreamStat::fromPj).

    `slot` must hold a live stream `index`. The other arguments are pjsua2's figures for it: returns 0 when this
    build's structures do not agree with them.
    """
    buffer = ctypes.create_string_buffer(_STREAM_STAT_BYTES)
    if _library().pjsua_call_get_stream_stat(slot, index, buffer):
        return 0
    stat = _RtcpStat.from_buffer(buffer).received
    agreed = 0 <= stat.packets - received <= _READ_APART and 0 <= stat.dup - duplicated <= _READ_APART
    return int(stat.reorder) if agreed else 0


def media_sockets(slot: int, index: int) -> MediaSockets | None:
    """The sockets of a live call's media `index`; None when it has none."""
    buffer = ctypes.create_string_buffer(_TRANSPORT_INFO_BYTES)
    if _library().pjsua_call_get_med_transport_info(slot, index, buffer):
        return None
    info = _TransportInfo.from_buffer(buffer)
    rtp, rtcp = info.sockets.rtp_socket, info.sockets.rtcp_socket
    if rtp <= 0 or rtcp <= 0:
        return None
    found = info.specific[: min(info.specific_count, 4)]
    return MediaSockets(rtp, rtcp, any(each.type == _SRTP and each.active for each in found))


def note_received(stream: int, rtp: Iterable[tuple[int, int, int]], rtcp: Iterable[bytes]) -> None:
    """Count packets that did not pass through PJSIP's sockets. `stream` is the address of a live pjmedia_stream. RTP
    packets are given as (sequence number, timestamp, bytes of payload)."""
    library, info = _library(), _SessionInfo()
    if library.pjmedia_stream_get_rtp_session_info(ctypes.c_void_p(stream), ctypes.byref(info)) or not info.rtcp:
        return
    session = ctypes.c_void_p(info.rtcp)
    for sequence, timestamp, size in rtp:
        library.pjmedia_rtcp_rx_rtp2(session, ctypes.c_uint(sequence), ctypes.c_uint(timestamp), ctypes.c_uint(size), 0)
    for report in rtcp:
        if report[1] in _REPORTS:  # and nothing after it: the C parser must not see that
            first = report[: 4 * (int.from_bytes(report[2:4], "big") + 1)]
            library.pjmedia_rtcp_rx_rtcp(session, ctypes.create_string_buffer(first), ctypes.c_size_t(len(first)))


def pause_sending(stream: int) -> None:
    """No RTP goes out until `resume_sending`. `stream`: as above."""
    _library().pjmedia_stream_pause(ctypes.c_void_p(stream), _ENCODING)


def resume_sending(stream: int) -> None:
    _library().pjmedia_stream_resume(ctypes.c_void_p(stream), _ENCODING)


def vector_address(vector: ByteVector) -> int:
    """Address of a std::vector's bytes: its first member in libstdc++, libc++ and MSVC alike. 0 when empty.

    Reading a frame through it costs 1 µs; through pjsua2's sequence protocol, 80-110 µs.
    """
    return _pointer_at(int(vector.this)).value or 0


def check_vector_layout() -> None:
    """Raise PjsipError unless `vector_address` works on this build."""
    vector = ByteVector(4)
    for index in range(4):
        vector[index] = index + 1
    address = vector_address(vector)
    if not address or ctypes.string_at(address, 4) != b"\x01\x02\x03\x04":
        raise PjsipError("check", 0, "this build of pjsua2 lays out its vectors in an unknown way")
