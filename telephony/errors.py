"""Telephony errors. Our misuse and the peer's misbehaviour are separate classes."""

from __future__ import annotations

__all__ = [
    "CallLimitReached",
    "DialRefused",
    "DigitsNotSent",
    "LegEndedError",
    "MediaPortsExhausted",
    "PeerError",
    "PjsipError",
    "PortTaken",
    "TelephonyError",
    "TelephonyMisuse",
]


class TelephonyError(Exception):
    """Base of all telephony errors. `sip_status` is the status to answer a caller with (0: none)."""

    retryable = False
    sip_status = 500


class TelephonyMisuse(TelephonyError):
    """Our own code used a leg, room or endpoint in a way its state does not allow."""


class PeerError(TelephonyError):
    """The peer sent something that cannot be used."""

    sip_status = 400


class PjsipError(TelephonyError):
    """A PJSIP call failed. `status` is PJSIP's pj_status_t, `operation` what was being done."""

    def __init__(self, operation: str, status: int, text: str) -> None:
        super().__init__(f"{operation}: {text} ({status})")
        self.operation = operation
        self.status = status


class CallLimitReached(TelephonyError):
    """The endpoint has no free call slot."""

    retryable = True
    sip_status = 503


class DialRefused(TelephonyError):
    """A leg was not dialled: nothing has rung. `kind`, for programs: no_trunk, closed_destination, no_slot, draining,
    no_room, unknown_call, failed."""

    sip_status = 503

    def __init__(self, kind: str, text: str, *, retryable: bool = False) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.retryable = retryable


class DigitsNotSent(TelephonyError):
    """Keys were not sent, or not all of them. `kind`, for programs: no_events (RFC 4733 was not agreed on), refused
    (the peer refuses INFO: `sip_status` is its answer), no_answer (to the INFO), unknown_leg, not_possible (this kind
    of leg has no such way), failed."""

    def __init__(self, kind: str, text: str, *, sip_status: int = 0) -> None:
        super().__init__(text)
        self.kind = kind
        self.sip_status = sip_status


class MediaPortsExhausted(TelephonyError):
    """No free port pair is left in the configured RTP range."""

    retryable = True
    sip_status = 503


class PortTaken(TelephonyError):
    """A configured socket address is in use. `where` names it, as in `udp://127.0.0.1:5060`."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} is already in use by another program")
        self.where = where


class LegEndedError(TelephonyError):
    """A method was called on a leg that has ended."""
