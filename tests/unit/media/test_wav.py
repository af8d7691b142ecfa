"""WAV files, good and broken."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from telephony.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.media.tones import tone
from telephony.media.wav import BadWavFile, read_channels, read_wav, wav_bytes, write_wav

AUDIO = tone(440, 100)


def wav(tag: int, bits: int, body: bytes, *, rate: int = 8000, channels: int = 1, extra: bytes = b"") -> bytes:
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits) + extra
    chunks = struct.pack("<4sI", b"LIST", 3) + b"abc\0" + struct.pack("<4sI", b"fmt ", len(form)) + form
    chunks += struct.pack("<4sI", b"data", len(body)) + body
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def stored(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    return path


def test_pcm_ulaw_alaw_and_extensible_are_read(tmp_path: Path) -> None:
    assert read_wav(stored(tmp_path, wav(1, 16, AUDIO))) == AUDIO
    ulaw, alaw = encode_ulaw(AUDIO), encode_alaw(AUDIO)
    assert read_wav(stored(tmp_path, wav(7, 8, ulaw))) == decode_ulaw(ulaw)
    assert read_wav(stored(tmp_path, wav(6, 8, alaw))) == decode_alaw(alaw)
    extra = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    assert read_wav(stored(tmp_path, wav(0xFFFE, 16, AUDIO, extra=extra))) == AUDIO


def test_an_open_ended_file_is_read_to_its_end(tmp_path: Path) -> None:
    data = bytearray(wav_bytes([AUDIO]))
    data[40:44] = b"\xff" * 4
    assert read_wav(stored(tmp_path, bytes(data) + b"\x01")) == AUDIO


def test_stereo_there_and_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "s.wav", AUDIO, AUDIO[:320])
    assert read_channels(tmp_path / "s.wav") == [AUDIO, AUDIO[:320].ljust(len(AUDIO), b"\0")]
    with pytest.raises(BadWavFile, match="2 channels"):
        read_wav(tmp_path / "s.wav")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "not a WAV file"),
        (wav(1, 16, AUDIO, rate=16000), "16000 Hz; expected 8000 Hz"),
        (wav(1, 24, AUDIO), "format 1 with 24 bits"),
        (wav(0x55, 16, AUDIO), "format 85"),
        (wav(1, 16, b"", channels=0), "no channels"),
        (wav(1, 16, AUDIO)[:60], "no audio"),
        (struct.pack("<4sI4s4sI", b"RIFF", 0, b"WAVE", b"data", 0), "no usable format chunk"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, data: bytes, message: str) -> None:
    truncated = data[: data.index(b"data")] if message == "no audio" and b"data" in data else data
    with pytest.raises(BadWavFile, match=message):
        read_wav(stored(tmp_path, truncated))
