"""A string of keys to send: 0-9 * # A-D, and the pauses that diallers use. Pure."""

from __future__ import annotations

from telephony.errors import TelephonyMisuse
from telephony.media.telephone_events import KEYS

__all__ = ["PAUSES", "read_keys"]

PAUSES = {"w": 0.5, "W": 1.0}  # seconds, as Twilio's and Plivo's dial strings have them


def read_keys(digits: str) -> tuple[str | float, ...]:
    """Keys in upper case, and pauses in seconds. Raises TelephonyMisuse for any other character."""
    return tuple(_read(character) for character in digits)


def _read(character: str) -> str | float:
    if character in PAUSES:
        return PAUSES[character]
    if character.upper() in KEYS:
        return character.upper()
    raise TelephonyMisuse(f"cannot send {character!r} as DTMF: use 0-9 * # A-D, and w and W for pauses of 0.5 and 1 s")
