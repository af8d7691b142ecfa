"""Errors of LiveKit SIP itself, whose messages say what to do. A busy phone is not an error."""

from __future__ import annotations

from telephony.livekit.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable

__all__ = ["CarrierUnreachable", "SipCredentialsWrong", "SipDown", "SipNotSetUp", "SipObjectRefused", "SipTrunkMissing"]


class SipDown(LiveKitUnreachable):
    """LiveKit server answers, but no LiveKit SIP handles its requests."""


class SipNotSetUp(LiveKitRefused):
    """LiveKit server runs without what LiveKit SIP needs."""


class SipTrunkMissing(LiveKitRefused):
    """LiveKit has no outbound trunk of that name."""


class SipCredentialsWrong(LiveKitRefused):
    """The carrier requires a user and password, and ours are missing or refused."""


class CarrierUnreachable(LiveKitUnreachable):
    """The carrier's address cannot be resolved or does not answer."""


class SipObjectRefused(LiveKitError):
    """LiveKit rejects a trunk or rule; the message has LiveKit's reason."""

    sip_status = 500
