"""The peer's message behind a change of a call's state, if there was one."""

from __future__ import annotations

from telephony.pjsua._api import PJSIP_EVENT_RX_MSG, PJSIP_EVENT_TSX_STATE, OnCallStateParam
from telephony.pjsua.request import PeerReason, reason_of
from telephony.sip.causes import OWN_ANSWER

__all__ = ["from_edge", "message_behind", "peer_reason"]


def message_behind(prm: OnCallStateParam) -> str:
    """The message that changed the state; empty when none did."""
    if prm.e.type != PJSIP_EVENT_TSX_STATE or prm.e.body.tsxState.type != PJSIP_EVENT_RX_MSG:
        return ""
    return prm.e.body.tsxState.src.rdata.wholeMsg


def peer_reason(prm: OnCallStateParam) -> PeerReason:
    """What its Reason headers say."""
    return reason_of(message_behind(prm))


def from_edge(message: str) -> bool:
    """Whether the edge wrote the message itself, in the peer's stead: nobody outside has ended the call."""
    return any(f"\n{name}: {OWN_ANSWER}" in message for name in ("Server", "User-Agent"))
