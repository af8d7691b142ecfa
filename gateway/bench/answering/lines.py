"""What telephone networks do to it: level, noise, lost packets, companding."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from gateway.bench.answering.cases import Line
from gateway.bench.answering.scenes import SPEECH_DB
from telephony.media.frames import FRAME_BYTES
from telephony.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.media.noise import line_noise

__all__ = ["draw_line", "through"]

Floats = npt.NDArray[np.float64]
_FLOOR_DB = -68.0  # what every line has


def draw_line(draw: random.Random) -> Line:
    return Line(
        law=draw.choice(("mu-law", "A-law")),
        level_db=draw.choice((-10.0, -15.0, -18.0, -20.0, -20.0, -22.0, -25.0, -30.0, -35.0)),
        snr_db=draw.choice((None, None, None, 30.0, 20.0, 20.0, 10.0)),
        noise=draw.choice(("line", "line", "room")),
        lost=draw.choice((0.0, 0.0, 0.0, 0.01, 0.02, 0.03)),
    )


def through(audio: Floats, room: Floats, line: Line, draw: random.Random) -> bytes:
    """`audio` with speech at -20 dBFS; `room`: what else is heard there, at the level of speech."""
    heard = audio * 10 ** ((line.level_db - SPEECH_DB) / 20)
    ms, seed = len(audio) / 8, draw.randrange(1 << 30)
    if line.snr_db is not None and line.noise == "room" and len(room):
        heard = heard + np.resize(room, len(heard)) * 10 ** ((line.level_db - SPEECH_DB - line.snr_db) / 20)
    elif line.snr_db is not None:
        heard = heard + _noise(ms, line.level_db - line.snr_db, seed, len(heard))
    heard = heard + _noise(ms, _FLOOR_DB, seed + 1, len(heard))
    pcm = np.clip(np.rint(heard), -32768, 32767).astype("<i2").tobytes()
    pcm = _lossy(pcm[: len(pcm) - len(pcm) % FRAME_BYTES], line.lost, draw)
    return decode_ulaw(encode_ulaw(pcm)) if line.law == "mu-law" else decode_alaw(encode_alaw(pcm))


def _noise(ms: float, level_db: float, seed: int, samples: int) -> Floats:
    return np.resize(np.frombuffer(line_noise(ms, level_db, seed), "<i2").astype(np.float64), samples)


def _lossy(pcm: bytes, rate: float, draw: random.Random) -> bytes:
    """A lost packet is concealed by the one before it at half of its level, a second one in a row by silence."""
    if not rate:
        return pcm
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]
    lost_before = False
    for index in range(1, len(frames)):
        lost = draw.random() < rate
        if lost and lost_before:
            frames[index] = bytes(FRAME_BYTES)
        elif lost:
            before = np.frombuffer(frames[index - 1], "<i2")
            frames[index] = (before // 2).astype("<i2").tobytes()
        lost_before = lost
    return b"".join(frames)
