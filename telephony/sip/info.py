"""Keys in INFO bodies: application/dtmf-relay (`Signal=5`, `Duration=160`) and application/dtmf (`5`). No RFC specifies
them, so phones differ in line ends, white space, case, and omissions."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DTMF_TYPES", "InfoKey", "key_body", "read_key"]

DTMF_TYPES = ("application/dtmf-relay", "application/dtmf")
_MOST_BYTES = 1024
_MOST_MS = 60_000
_SIGNAL = re.compile(r"(?:^|[\r\n;, \t])signal[ \t]*=[ \t]*([^\s;,]{1,8})", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(?:^|[\r\n;, \t])duration[ \t]*=[ \t]*(\d{1,6})", re.IGNORECASE | re.ASCII)
_KEYS = frozenset("0123456789*#ABCD")
_EVENTS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}  # RFC 4733 table 3
_FLASH = frozenset({"16", "!", "F", "HF", "FLASH"})


@dataclass(frozen=True, slots=True)
class InfoKey:
    """`digit` is empty for a hook flash."""

    digit: str
    duration_ms: int = 0  # 0: not given


def read_key(content_type: str, body: bytes) -> InfoKey | None:
    """None if the body names no key."""
    text = body[:_MOST_BYTES].decode("latin-1").strip()
    signal = _SIGNAL.search(text)
    if signal is not None:
        word = signal[1]
    elif "=" not in text or content_type == "application/dtmf":
        word = text
    else:
        return None
    word = word.strip("\"'").upper()
    duration = _DURATION.search(text)
    milliseconds = min(int(duration[1]), _MOST_MS) if duration is not None else 0
    if word in _FLASH:
        return InfoKey("", milliseconds)
    word = _EVENTS.get(word, word)
    return InfoKey(word, milliseconds) if word in _KEYS else None


def key_body(key: str, duration_ms: int) -> bytes:
    """The body of application/dtmf-relay for one key."""
    return f"Signal={key}\r\nDuration={duration_ms}\r\n".encode("ascii")
