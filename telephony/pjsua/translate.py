"""Translates PJSIP's errors into ours."""

from __future__ import annotations

from types import TracebackType

from telephony.errors import CallLimitReached, MediaPortsExhausted, PjsipError, PortTaken, TelephonyError
from telephony.pjsua._api import Error

__all__ = ["pjsip_operation", "translated"]

_TOO_MANY = 70010  # PJ_ETOOMANY
_ADDRESS_IN_USE = 120098  # PJ_STATUS_FROM_OS(EADDRINUSE) on Linux


def translated(operation: str, status: int, text: str) -> TelephonyError:
    """The error for a pj_status_t. An `operation` that starts with "bind" names the socket after it."""
    if status == _TOO_MANY and operation in ("answer", "dial", "take call"):
        return CallLimitReached(f"{operation}: {text}")
    if status == _ADDRESS_IN_USE:
        if operation.startswith("bind "):
            return PortTaken(operation.removeprefix("bind "))
        return MediaPortsExhausted(f"{operation}: {text}")
    return PjsipError(operation, status, text)


class pjsip_operation:
    """Turn pjsua2's Error into ours. It is not chained, and its traceback is dropped: that holds frames with PJSIP's
    objects, which must be freed on PJSIP's thread at once, not by a later garbage collection on another thread. (Not a
    generator: Python 3.12's generator frames and the error would reference each other. `OwnerThread` strips what
    Python chains by itself.)"""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Error):
            error.__traceback__ = None
            raise translated(self._operation, error.status, error.reason or error.title) from None
