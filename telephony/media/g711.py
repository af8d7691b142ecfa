"""G.711 mu-law and A-law (ITU-T G.711), both ways, by tables built from the formulas of the recommendation.

PCM is 16-bit signed little-endian; one G.711 byte per sample. A mu-law word is 14 bits and an A-law word 13 bits wide,
kept in the upper bits of the 16.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ALAW_SILENCE", "ULAW_SILENCE", "decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw"]

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5

_ULAW_BIAS = 33 << 2  # table 2a: decision values are biased by 33 in 14 bits
_ULAW_CLIP = 32635


def _ulaw_to_linear() -> npt.NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF  # all bits are sent inverted
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 3) + _ULAW_BIAS) << segment) - _ULAW_BIAS
    table: npt.NDArray[np.int16] = np.where(code & 0x80, -magnitude, magnitude).astype("<i2")
    return table


def _linear_to_ulaw() -> npt.NDArray[np.uint8]:
    linear = np.arange(65536, dtype=np.int32).astype(np.uint16).astype(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(linear), _ULAW_CLIP) + _ULAW_BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    step = (magnitude >> (segment + 3)) & 15
    code = np.where(linear < 0, 0x80, 0) | segment << 4 | step
    table: npt.NDArray[np.uint8] = (~code & 0xFF).astype(np.uint8)
    return table


def _alaw_to_linear() -> npt.NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ 0x55  # even bits are sent inverted
    segment, step = (code >> 4) & 7, code & 15
    low = (step << 4) + 8
    magnitude = np.where(segment == 0, low, (low + 0x100) << np.maximum(segment - 1, 0))
    table: npt.NDArray[np.int16] = np.where(code & 0x80, magnitude, -magnitude).astype("<i2")
    return table


def _linear_to_alaw() -> npt.NDArray[np.uint8]:
    linear = np.arange(65536, dtype=np.int32).astype(np.uint16).astype(np.int16).astype(np.int32)
    magnitude = np.where(linear < 0, -linear - 1, linear) >> 4  # 12 bits and sign
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 3, 0)
    segment = np.where(magnitude < 16, 0, segment)
    step = (magnitude >> np.maximum(segment - 1, 0)) & 15
    code = np.where(linear < 0, 0, 0x80) | segment << 4 | step
    table: npt.NDArray[np.uint8] = (code ^ 0x55).astype(np.uint8)
    return table


_FROM_ULAW = _ulaw_to_linear()
_TO_ULAW = _linear_to_ulaw()
_FROM_ALAW = _alaw_to_linear()
_TO_ALAW = _linear_to_alaw()


def decode_ulaw(payload: bytes) -> bytes:
    """mu-law to PCM."""
    return _FROM_ULAW.take(np.frombuffer(payload, dtype=np.uint8)).tobytes()


def encode_ulaw(pcm: bytes) -> bytes:
    """PCM to mu-law."""
    return _TO_ULAW.take(np.frombuffer(pcm, dtype="<u2")).tobytes()


def decode_alaw(payload: bytes) -> bytes:
    """A-law to PCM."""
    return _FROM_ALAW.take(np.frombuffer(payload, dtype=np.uint8)).tobytes()


def encode_alaw(pcm: bytes) -> bytes:
    """PCM to A-law."""
    return _TO_ALAW.take(np.frombuffer(pcm, dtype="<u2")).tobytes()
