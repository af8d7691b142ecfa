"""Reads and writes WAV files: 8 kHz mono in, as 16-bit PCM, mu-law or A-law (RIFF format tags 1, 7, 6)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from telephony.media.frames import SAMPLE_RATE
from telephony.media.g711 import decode_alaw, decode_ulaw

__all__ = ["BadWavFile", "read_channels", "read_channels_at", "read_wav", "wav_bytes", "write_wav"]

_EXTENSIBLE = 0xFFFE  # the real tag is in the extension


class BadWavFile(ValueError):
    """A file is not WAV, or of an unsupported kind. The message says what it is and what is expected."""


def _same(data: bytes) -> bytes:
    return data


_DECODERS: dict[int, tuple[str, int, Callable[[bytes], bytes]]] = {
    1: ("16-bit PCM", 16, _same),
    6: ("A-law", 8, decode_alaw),
    7: ("mu-law", 8, decode_ulaw),
}


def read_wav(path: Path | str) -> bytes:
    """The audio of an 8 kHz mono file as 16-bit PCM. Raises OSError or BadWavFile."""
    channels = read_channels(path)
    if len(channels) != 1:
        raise BadWavFile(f"{path}: has {len(channels)} channels; expected 8 kHz mono")
    return channels[0]


def read_channels(path: Path | str) -> list[bytes]:
    """The audio of an 8 kHz file, each channel as 16-bit PCM. Raises OSError or BadWavFile."""
    rate, channels = read_channels_at(path)
    if rate != SAMPLE_RATE:
        raise BadWavFile(f"{path}: {rate} Hz; expected {SAMPLE_RATE} Hz")
    return channels


def read_channels_at(path: Path | str) -> tuple[int, list[bytes]]:
    """Samples per second, and each channel as 16-bit PCM. Raises OSError or BadWavFile."""
    data = Path(path).read_bytes()
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise BadWavFile(f"{path}: not a WAV file")
    form: bytes | None = None
    offset = 12
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        body = data[offset + 8 : offset + 8 + size]  # an open-ended chunk runs to the end of the file
        if name == b"fmt ":
            form = body
        elif name == b"data":
            return _decode(path, form, body)
        offset += 8 + size + size % 2
    raise BadWavFile(f"{path}: has no audio (no data chunk)")


def _decode(path: Path | str, form: bytes | None, body: bytes) -> tuple[int, list[bytes]]:
    if form is None or len(form) < 16:
        raise BadWavFile(f"{path}: has no usable format chunk before its audio")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if tag == _EXTENSIBLE and len(form) >= 26:
        tag = struct.unpack_from("<H", form, 24)[0]
    if tag not in _DECODERS or _DECODERS[tag][1] != bits:
        raise BadWavFile(f"{path}: format {tag} with {bits} bits; expected 16-bit PCM, mu-law or A-law")
    if channels < 1 or not 1000 <= rate <= 384_000:
        raise BadWavFile(f"{path}: has no channels" if channels < 1 else f"{path}: {rate} samples per second")
    block = channels * bits // 8
    pcm = _DECODERS[tag][2](body[: len(body) - len(body) % block])
    if channels == 1:
        return rate, [pcm]
    samples = np.frombuffer(pcm, dtype="<i2").reshape(-1, channels)
    return rate, [samples[:, index].tobytes() for index in range(channels)]


def wav_bytes(channels: Sequence[bytes]) -> bytes:
    """A WAV file of 8 kHz 16-bit channels; shorter ones are padded with silence."""
    longest = max((len(channel) for channel in channels), default=0)
    padded = [np.frombuffer(channel.ljust(longest, b"\0"), dtype="<i2") for channel in channels]
    audio = np.column_stack(padded).tobytes() if padded else b""
    block = 2 * len(channels)
    form = struct.pack("<HHIIHH", 1, len(channels), SAMPLE_RATE, SAMPLE_RATE * block, block, 16)
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", len(audio)) + audio
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def write_wav(path: Path | str, *channels: bytes) -> None:
    """Write 8 kHz 16-bit audio, one argument per channel. Raises OSError."""
    Path(path).write_bytes(wav_bytes(channels))
