"""In-band DTMF (ITU-T Q.23): the tones of keys. Pure."""

from __future__ import annotations

from telephony.media.key_string import read_keys
from telephony.media.tones import silence, tone

__all__ = ["COLUMNS", "DIGITS", "KEYS", "ROWS", "dtmf"]

ROWS = (697.0, 770.0, 852.0, 941.0)
COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
KEYS = ("123A", "456B", "789C", "*0#D")
DIGITS = "0123456789*#ABCD"
_PAIRS = {key: (ROWS[r], COLUMNS[c]) for r, row in enumerate(KEYS) for c, key in enumerate(row)}


def dtmf(digits: str, *, on_ms: int = 100, off_ms: int = 80, level_dbfs: float = -10.0) -> bytes:
    """Digits as 8 kHz PCM; `w` is a pause of 500 ms, `W` one of 1 s. Raises TelephonyMisuse for other characters."""
    pieces: list[bytes] = []
    for key in read_keys(digits):
        if isinstance(key, float):
            pieces.append(silence(round(key * 1000)))
        else:
            pieces.append(tone(_PAIRS[key], on_ms, level_dbfs) + silence(off_ms))
    return b"".join(pieces)
