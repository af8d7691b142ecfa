"""Writes the clips of recorded calls: 8 kHz mono mu-law in WAV, one byte per sample, as received from the phone."""

from __future__ import annotations

import struct
from pathlib import Path

from telephony.media.frames import SAMPLE_RATE
from telephony.media.g711 import encode_ulaw

__all__ = ["ulaw_wav_bytes", "write_ulaw_wav"]

_ULAW = 7  # RIFF format tag


def ulaw_wav_bytes(pcm: bytes) -> bytes:
    """A complete mu-law WAV file for 8 kHz 16-bit audio: unlike PCM, with extension size and fact chunk."""
    data = encode_ulaw(pcm)
    form = struct.pack("<HHIIHHH", _ULAW, 1, SAMPLE_RATE, SAMPLE_RATE, 1, 8, 0)
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form
    chunks += struct.pack("<4sII", b"fact", 4, len(data))
    chunks += struct.pack("<4sI", b"data", len(data)) + data + b"\0" * (len(data) % 2)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def write_ulaw_wav(path: Path | str, pcm: bytes) -> None:
    """Raises OSError."""
    Path(path).write_bytes(ulaw_wav_bytes(pcm))
