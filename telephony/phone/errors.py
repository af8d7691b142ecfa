"""Errors of a phone's calls."""

from __future__ import annotations

from telephony.errors import PeerError, TelephonyError

__all__ = ["BadPeerMessage", "CallFailed"]


class CallFailed(TelephonyError):
    """A call was not answered. `status` is the final SIP status (408 when no response came at all), `reason` its
    phrase, `reason_header` the Reason header (RFC 3326) if there was one, `retry_after` the seconds the peer gave,
    if any."""

    def __init__(self, status: int, reason: str, reason_header: str = "", retry_after: int | None = None) -> None:
        super().__init__(f"{status} {reason}" + (f" ({reason_header})" if reason_header else ""))
        self.status = status
        self.reason = reason
        self.reason_header = reason_header
        self.retry_after = retry_after
        self.sip_status = status
        self.retryable = status in (408, 480, 500, 503, 504)


class BadPeerMessage(PeerError):
    """The gateway sent SIP or SDP that cannot be used; the message says what is wrong."""
