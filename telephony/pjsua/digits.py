"""DTMF: what to send, and which of the received packets is a new press. Pure."""

from __future__ import annotations

from telephony.call import DigitSource
from telephony.errors import TelephonyMisuse

__all__ = ["PAUSE_S", "PressFilter", "dial_plan"]

PAUSE_S = 0.5  # a `w`
_KEYS = frozenset("0123456789*#ABCD")


def dial_plan(digits: str) -> list[str | None]:
    """Keys in upper case, None for each pause. Raises TelephonyMisuse for what is neither."""
    plan: list[str | None] = []
    for character in digits:
        if character in "wW":
            plan.append(None)
        elif character.upper() in _KEYS:
            plan.append(character.upper())
        else:
            raise TelephonyMisuse(f"{character!r} cannot be sent as DTMF: use 0-9 * # A-D, and w for a pause")
    return plan


class PressFilter:
    """Tells a new press from further packets of the same one.

    All packets of an RFC 4733 event share an RTP timestamp (section 2.5.1.2), whatever order they come in. PJSIP
    looks at durations instead, and takes an overtaken packet for a second press. An INFO is always a press.
    """

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def accept(self, source: DigitSource, digit: str, timestamp: int) -> str | None:
        """The digit, if this is its first packet."""
        key = digit.upper()
        if key not in _KEYS:
            return None
        if source is DigitSource.RTP:
            if self._last == (key, timestamp):
                return None
            self._last = (key, timestamp)
        return key
