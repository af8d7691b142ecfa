"""Parses a string of digits to send as DTMF. Pure. (For received digits, see `telephony.media.telephone_events`.)"""

from __future__ import annotations

from telephony.errors import TelephonyMisuse
from telephony.media.telephone_events import KEYS

__all__ = ["PAUSE_S", "dial_plan"]

PAUSE_S = 0.5  # a `w`


def dial_plan(digits: str) -> list[str | None]:
    """Keys in upper case, None for each pause. Raises TelephonyMisuse for any other character."""
    plan: list[str | None] = []
    for character in digits:
        if character in "wW":
            plan.append(None)
        elif character.upper() in KEYS:
            plan.append(character.upper())
        else:
            raise TelephonyMisuse(f"cannot send {character!r} as DTMF: use 0-9 * # A-D, and w for a pause")
    return plan
