"""A scripted SIP phone, precise enough to measure a gateway with: `Phone`, `PhoneCall`, and `analysis`."""

from telephony.phone.audio import PlayHandle
from telephony.phone.call import PhoneCall
from telephony.phone.errors import BadPeerMessage, CallFailed
from telephony.phone.phone import Phone
from telephony.phone.rtp import ReceivedPackets, RtpPacket
from telephony.phone.signaling import CallEnded, InDialogRequest

__all__ = [
    "BadPeerMessage",
    "CallEnded",
    "CallFailed",
    "InDialogRequest",
    "Phone",
    "PhoneCall",
    "PlayHandle",
    "ReceivedPackets",
    "RtpPacket",
]
