"""The SIP features we support and announce to peers."""

from __future__ import annotations

__all__ = ["ALLOW", "EXTENSIONS", "SUPPORTED"]

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, PRACK, UPDATE"
EXTENSIONS = frozenset({"timer", "100rel"})  # supported by a worker's PJSIP
SUPPORTED = "timer, 100rel"
