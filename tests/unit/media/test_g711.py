"""G.711 against the values of ITU-T G.711, tables 1 and 2, and there and back."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from telephony.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype("<i2")


def linear(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def pcm(*samples: int) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


def test_ulaw_values() -> None:
    # 14-bit decision outputs of table 2 times four
    assert linear(decode_ulaw(bytes([0x80, 0x00, 0x8F, 0x9F, 0xAF, 0xFE, 0xFF, 0x7F]))) == [
        8031 * 4, -8031 * 4, 4191 * 4, 2079 * 4, 1023 * 4, 2 * 4, 0, 0,
    ]  # fmt: skip
    assert encode_ulaw(pcm(0, 32767, -32768, 8, -8, 4092)) == bytes([0xFF, 0x80, 0x00, 0xFE, 0x7E, 0xAF])


def test_alaw_values() -> None:
    # 13-bit outputs of table 1 times eight (its magnitudes are of 12 bits: 1, 3, ... 4032)
    assert linear(decode_alaw(bytes([0xD5, 0x55, 0xD4, 0xAA, 0x2A]))) == [8, -8, 24, 4032 * 8, -4032 * 8]
    assert encode_alaw(pcm(0, -1, 16, 32767, -32768)) == bytes([0xD5, 0x55, 0xD4, 0xAA, 0x2A])


@pytest.mark.parametrize(("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)])
def test_every_code_there_and_back(encode, decode) -> None:  # type: ignore[no-untyped-def]
    again = encode(decode(EVERY_CODE))
    differing = [code for code in range(256) if again[code] != code]
    assert differing in ([], [0x7F])  # mu-law's minus zero is sent as plus zero
    assert decode(again) == decode(EVERY_CODE)


@pytest.mark.parametrize(("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)])
def test_every_sample_comes_back_within_half_a_step(encode, decode) -> None:  # type: ignore[no-untyped-def]
    back = np.frombuffer(decode(encode(EVERY_SAMPLE.tobytes())), dtype="<i2").astype(int)
    magnitude = np.abs(EVERY_SAMPLE.astype(int))
    half_step = (np.maximum(magnitude, 124) + 132) / 32  # a segment has 16 steps and begins at a power of two
    assert (np.abs(EVERY_SAMPLE.astype(int) - back) <= half_step + 4).all()  # decisions are made at 13 or 14 bits
    assert (np.diff(back) >= 0).all()
