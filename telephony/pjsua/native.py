"""What pjsua2 does not offer to Python: a few functions of the C library inside it, and its vectors' memory.

The wheel's extension module exports PJSIP's C symbols. They are looked up on first use, never at import.
"""

from __future__ import annotations

import ctypes
from functools import cache

from telephony.errors import PjsipError
from telephony.pjsua._api import EXTENSION_FILE, ByteVector

__all__ = ["calls_in_use", "check_vector_layout", "compiled_call_limit", "silence_log", "vector_address"]

_MAX_CALLS_READ = 256
_pointer_at = ctypes.c_void_p.from_address


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(EXTENSION_FILE)  # already loaded by Python: this gives the same one
    for name in ("pj_log_set_level", "pjsua_call_get_max_count", "pjsua_enum_calls"):
        if not hasattr(library, name):
            raise PjsipError("load", 0, f"this build of pjsua2 hides the C function {name}")
    return library


def silence_log() -> None:
    """Until libInit has set the log writer, PJLIB prints to stdout; this keeps it quiet."""
    _library().pj_log_set_level(0)


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
