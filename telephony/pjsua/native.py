"""What pjsua2 does not offer to Python: a few functions of the C library inside it, and its vectors' memory.

The wheel's extension module exports PJSIP's C symbols. They are looked up on first use, never at import.
"""

from __future__ import annotations

import ctypes
from functools import cache

from telephony.errors import PjsipError
from telephony.pjsua._api import EXTENSION_FILE, ByteVector

__all__ = [
    "calls_in_use",
    "check_vector_layout",
    "compiled_call_limit",
    "packets_reordered",
    "set_g722_level",
    "silence_log",
    "vector_address",
]

_MAX_CALLS_READ = 256
_STREAM_STAT_BYTES = 8192  # pjsua_stream_stat is smaller than 1 KiB
_READ_APART = 50  # packets that may come between two readings
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


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(EXTENSION_FILE)  # already loaded by Python: this gives the same one
    for name in ("pj_log_set_level", "pjsua_call_get_max_count", "pjsua_enum_calls", "pjsua_call_get_stream_stat"):
        if not hasattr(library, name):
            raise PjsipError("load", 0, f"this build of pjsua2 hides the C function {name}")
    return library


def silence_log() -> None:
    """Until libInit has set the log writer, PJLIB prints to stdout; this keeps it quiet."""
    _library().pj_log_set_level(0)


def set_g722_level() -> None:
    """Meet other G.722 speakers at the same level: PJSIP by default scales 16-bit samples to 14 bits, which is 6 dB off
    from what SpanDSP does, and with it baresip, Asterisk and FreeSWITCH. Holds for streams made from now on."""
    _library().pjmedia_codec_g722_set_pcm_shift(1)


def compiled_call_limit() -> int:
    """How many calls this build can hold (PJSUA_MAX_CALLS), if libInit was asked for at least as many."""
    return int(_library().pjsua_call_get_max_count())


def calls_in_use() -> frozenset[int]:
    """Call slots that PJSIP has not freed yet: a slot whose BYE waits for its answer is still in use."""
    ids = (ctypes.c_int * _MAX_CALLS_READ)()
    count = ctypes.c_uint(_MAX_CALLS_READ)
    status = _library().pjsua_enum_calls(ids, ctypes.byref(count))
    if status:
        raise PjsipError("enumerate calls", status, "pjsua_enum_calls failed")
    return frozenset(ids[: count.value])


def packets_reordered(slot: int, index: int, received: int, duplicated: int) -> int:
    """Packets that came out of order. pjsua2 2.15.1 reports the loss in their place (RtcpStreamStat::fromPj).

    `slot` must hold a live stream `index`. The other arguments are what pjsua2 says of it: 0 is returned when this
    build's structures do not agree with them.
    """
    buffer = ctypes.create_string_buffer(_STREAM_STAT_BYTES)
    if _library().pjsua_call_get_stream_stat(slot, index, buffer):
        return 0
    stat = _RtcpStat.from_buffer(buffer).received
    agreed = 0 <= stat.packets - received <= _READ_APART and 0 <= stat.dup - duplicated <= _READ_APART
    return int(stat.reorder) if agreed else 0


def vector_address(vector: ByteVector) -> int:
    """Address of a std::vector's bytes: its first member in libstdc++, libc++ and MSVC alike. 0 when empty.

    Reading a frame through it costs 1 µs; through pjsua2's sequence protocol, 80-110 µs.
    """
    return _pointer_at(int(vector.this)).value or 0


def check_vector_layout() -> None:
    """Raise PjsipError unless `vector_address` tells the truth on this build."""
    vector = ByteVector(4)
    for index in range(4):
        vector[index] = index + 1
    address = vector_address(vector)
    if not address or ctypes.string_at(address, 4) != b"\x01\x02\x03\x04":
        raise PjsipError("check", 0, "this build of pjsua2 lays out its vectors in an unknown way")
