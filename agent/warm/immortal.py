"""Objects whose references nobody counts any more, so that the pages they lie in stay shared after a fork.

Every use of a Python object writes its reference count, and the page of 4 KiB in which that lies is then the fork's
own copy. CPython 3.12 knows immortal objects (PEP 683), which are never written; it makes None, small integers and
static types so. Here that is done to all that a warm parent has loaded: 26 of 214 MiB of a gateway with four LiveKit
calls. CPython 3.11 has none, and keeps counting.
"""

from __future__ import annotations

import ctypes
import gc
import struct
import sys
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

__all__ = ["make_immortal"]

_IMMORTAL = 0xFFFF_FFFF  # _Py_IMMORTAL_REFCNT of CPython 3.12, 64 bits: Include/object.h
_IMMORTAL_FROM = 0x8000_0000  # the sign of its lower half says so
_RUNNING = (FrameType, GeneratorType, CoroutineType, AsyncGeneratorType)
# What a code object holds; it is no container to the garbage collector, which therefore doesn't show them.
_OF_CODE = ("co_consts", "co_names", "co_linetable", "co_exceptiontable", "co_filename", "co_name", "co_qualname")


def _possible() -> bool:
    """Whether this interpreter has immortal objects that look as we know them."""
    return (
        sys.implementation.name == "cpython"
        and sys.version_info[:2] == (3, 12)
        and struct.calcsize("P") == 8
        and sys.byteorder == "little"
        and sys.getrefcount(None) == _IMMORTAL
    )


def make_immortal() -> int:
    """All objects there are, but what is running. To be called by a process of one thread that has loaded everything,
    before it forks: what is immortal is never freed, whoever lets go of it. Some 0.4 s for 220,000 objects, and
    little more when most are so already. Returns how many were made so: 0 where it isn't possible."""
    if not _possible():
        return 0
    found: dict[int, Any] = {}
    new: dict[int, Any] = {}
    reached: list[Any] = gc.get_objects()
    ours = set(map(id, (found, new, reached)))  # which are to go
    while reached:
        new = {id(each): each for each in reached if sys.getrefcount(each) < _IMMORTAL_FROM}
        new = {key: each for key, each in new.items() if key not in found and key not in ours}
        new = {key: each for key, each in new.items() if not isinstance(each, _RUNNING)}
        found.update(new)
        reached = gc.get_referents(*new.values())
        reached.extend(getattr(each, name) for each in new.values() if type(each) is CodeType for name in _OF_CODE)
    for address in found:
        ctypes.c_uint32.from_address(address).value = _IMMORTAL  # the lower half of ob_refcnt
    return len(found)
