"""What goes wrong with LiveKit SIP itself, as types whose messages say what to do. A phone that is busy is no error."""

from __future__ import annotations

from telephony.livekit.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable

__all__ = ["CarrierUnreachable", "SipCredentialsWrong", "SipDown", "SipNotSetUp", "SipObjectRefused", "SipTrunkMissing"]


class SipDown(LiveKitUnreachable):
    """LiveKit server answers, but no LiveKit SIP takes its requests."""


class SipNotSetUp(LiveKitRefused):
    """LiveKit server runs without what LiveKit SIP needs."""


class SipTrunkMissing(LiveKitRefused):
    """LiveKit has no outbound trunk of that name."""


class SipCredentialsWrong(LiveKitRefused):
    """The carrier asks for a user and password, and ours are missing or not accepted."""


class CarrierUnreachable(LiveKitUnreachable):
    """The carrier's address cannot be resolved or does not answer."""


class SipObjectRefused(LiveKitError):
    """LiveKit does not take a trunk or rule; the message has LiveKit's reason."""

    sip_status = 500
