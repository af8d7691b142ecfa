"""PJSIP's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from telephony.errors import CallLimitReached, MediaPortsExhausted, PjsipError, PortTaken, TelephonyError
from telephony.pjsua._api import Error

__all__ = ["pjsip_operation", "translated"]

_TOO_MANY = 70010  # PJ_ETOOMANY
_ADDRESS_IN_USE = 120098  # PJ_STATUS_FROM_OS(EADDRINUSE) on Linux


def translated(operation: str, status: int, text: str) -> TelephonyError:
    """The error class for a pj_status_t. `operation` that starts with "bind" names the socket after it."""
    if status == _TOO_MANY and operation in ("answer", "take call"):
        return CallLimitReached(f"{operation}: {text}")
    if status == _ADDRESS_IN_USE:
        if operation.startswith("bind "):
            return PortTaken(operation.removeprefix("bind "))
        return MediaPortsExhausted(f"{operation}: {text}")
    return PjsipError(operation, status, text)


@contextmanager
def pjsip_operation(operation: str) -> Iterator[None]:
    """Turn pjsua2's Error into ours. Not chained: tracebacks hold PJSIP's objects, which must not leave its thread
    (`OwnerThread` strips what Python chains by itself)."""
    try:
        yield
    except Error as error:
        raise translated(operation, error.status, error.reason or error.title) from None
