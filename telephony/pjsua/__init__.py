"""PJSIP as a call worker's SIP and RTP engine. The only importer of pjsua2. See docs/pjsua.md."""

from __future__ import annotations

from telephony.pjsua.endpoint import Endpoint
from telephony.pjsua.leg import IncomingLeg
from telephony.pjsua.outgoing import OutgoingLeg
from telephony.pjsua.request import IncomingRequest
from telephony.pjsua.settings import EndpointSettings, JitterBuffer

__all__ = ["Endpoint", "EndpointSettings", "IncomingLeg", "IncomingRequest", "JitterBuffer", "OutgoingLeg"]
