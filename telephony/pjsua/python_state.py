"""Keeps the interpreter's record of a native thread that calls into Python again and again.

Otherwise each call makes a record and drops it, with a mapping of memory for its frames: a seventh of what PJSIP's
clock thread takes. (C API: PyGILState_Ensure and PyGILState_Release nest, and the record goes with the last one.)
"""

from __future__ import annotations

import ctypes
import threading

__all__ = ["KeptStates"]

_api = ctypes.pythonapi
_api.PyThreadState_Get.restype = ctypes.c_void_p
_api.PyThreadState_Clear.argtypes = _api.PyThreadState_Delete.argtypes = [ctypes.c_void_p]


class KeptStates:
    """Of the threads that have called `keep`. Each record must be let go once its thread has ended."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._kept: list[int] = []

    def keep(self) -> None:
        """On the native thread, in a call into Python."""
        if not hasattr(self._here, "kept"):
            self._here.kept = True
            _api.PyGILState_Ensure()
            self._kept.append(_api.PyThreadState_Get())

    def let_go(self) -> None:
        """The threads have ended."""
        while self._kept:
            state = self._kept.pop()
            _api.PyThreadState_Clear(state)
            _api.PyThreadState_Delete(state)
