"""What is done in SIP here, and therefore all that is ever promised to a peer."""

from __future__ import annotations

__all__ = ["ALLOW", "EXTENSIONS", "SUPPORTED"]

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE"
EXTENSIONS = frozenset({"timer", "100rel"})  # what a worker's PJSIP does
SUPPORTED = "timer, 100rel"
