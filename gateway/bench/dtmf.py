"""`trunkline bench dtmf`: keys in band by the limits of ITU-T Q.24 and Mitel's CM7291, keys as RTP events (RFC 4733)
over lines that lose packets, and how many keys are heard in speech, where there is none (talk-off)."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telephony.media.dtmf import COLUMNS, DIGITS, KEYS, ROWS
from telephony.media.dtmf_detector import DtmfDetector
from telephony.media.frames import SAMPLE_RATE
from telephony.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.media.rtp import RtpHeader
from telephony.media.telephone_events import TelephoneEvents
from telephony.media.wav import read_wav

__all__ = ["LIMITS", "DtmfFigures", "Limit", "dtmf_table", "in_band", "lossy_events", "measure", "talk_off"]

Array = npt.NDArray[np.float64]
_PAIRS = {key: (ROWS[r], COLUMNS[c]) for r, row in enumerate(KEYS) for c, key in enumerate(row)}
_LAWS: dict[str, Callable[[bytes], bytes]] = {
    "mu-law": lambda pcm: decode_ulaw(encode_ulaw(pcm)),
    "A-law": lambda pcm: decode_alaw(encode_alaw(pcm)),
}
# Voices of espeak-ng: languages by variants of pitch and sex.
_LANGUAGES = ("en-us", "en-gb", "de", "fr", "es", "it", "pt-br", "nl", "pl", "ru", "sv", "tr")
_VARIANTS = ("", "+f2", "+f5", "+m3", "+m7", "+croak", "+whisper")


@dataclass(frozen=True, slots=True)
class Limit:
    """Presses as somebody may send them. Levels in dBm0, deviations of frequency as shares."""

    name: str
    on_ms: float = 40
    off_ms: float = 50
    low: float = -10
    high: float = -10
    low_off: float = 0
    high_off: float = 0
    snr_db: float | None = None  # against the weaker tone
    dial_tone: float | None = None
    lost_ms: int = 0  # a hole in the middle
    wanted: bool = True


LIMITS = (
    Limit("40 ms on, 50 ms off"),
    Limit("the same, -25 dBm0", low=-25, high=-25),
    Limit("the same, -3 dBm0", low=-3, high=-3),
    Limit("frequencies +1.5 %", low_off=0.015, high_off=0.015),
    Limit("frequencies -1.5 %", low_off=-0.015, high_off=-0.015),
    Limit("low +1.5 %, high -1.5 %", low_off=0.015, high_off=-0.015),
    Limit("low group 8 dB above", high=-18),
    Limit("high group 4 dB above", low=-14),
    Limit("noise 15 dB below", low=-15, high=-15, snr_db=15),
    Limit("all of it: 8 dB, 1.5 %, noise", low=-17, high=-25, low_off=0.015, high_off=-0.015, snr_db=15),
    Limit("beside a dial tone of -15 dBm0", on_ms=60, dial_tone=-15),
    Limit("160 ms with 20 ms lost", on_ms=160, off_ms=100, lost_ms=20),
    Limit("160 ms with 40 ms lost", on_ms=160, off_ms=100, lost_ms=40),
    Limit("23 ms on", on_ms=23, off_ms=60, wanted=False),
    Limit("low +3.5 %", on_ms=60, low_off=0.035, wanted=False),
    Limit("low -3.5 %", on_ms=60, low_off=-0.035, wanted=False),
    Limit("high +3.5 %", on_ms=60, high_off=0.035, wanted=False),
    Limit("high -3.5 %", on_ms=60, high_off=-0.035, wanted=False),
    Limit("-40 dBm0", on_ms=60, low=-40, high=-40, wanted=False),
)
LOSSES = (("1 %", 0.01, 1.0), ("5 %", 0.05, 1.0), ("20 %", 0.2, 1.0), ("5 %, bursts of 3", 0.05, 3.0))


@dataclass(frozen=True, slots=True)
class DtmfFigures:
    limits: dict[str, tuple[int, int, int]]  # by name: presses, heard, heard twice
    events: dict[str, tuple[int, int, int]]
    hours: float
    false_keys: dict[str, int]  # by law

    @property
    def false_per_hour(self) -> float:
        return sum(self.false_keys.values()) / max(1e-9, len(self.false_keys) * self.hours)

    @property
    def good(self) -> bool:
        """All presses within the limits are heard once, others never, and speech at most once an hour."""
        pairs = zip(LIMITS, self.limits.values(), strict=True)
        in_band = all(
            heard == (presses if limit.wanted else 0) and not twice for limit, (presses, heard, twice) in pairs
        )
        return in_band and self.false_per_hour <= 1

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "false_per_hour": self.false_per_hour}


def in_band(limit: Limit, times: int, seed: int = 1) -> tuple[int, int, int]:
    """Presses, how many were heard, how many were heard twice or wrong."""
    draw = np.random.default_rng(seed)
    presses = heard = more = 0
    for key in DIGITS:
        got = _heard(_line(limit, key, times, draw))
        presses += times
        heard += min(times, got.count(key))
        more += max(0, got.count(key) - times) + len(got) - got.count(key)
    return presses, heard, more


def _line(limit: Limit, key: str, times: int, draw: np.random.Generator) -> bytes:
    pieces = [np.zeros((8000 if limit.dial_tone is not None else 400) + int(draw.integers(320)))]
    for _ in range(times):
        pieces += [_press(limit, key, draw), np.zeros(round(limit.off_ms * 8))]
    audio = np.concatenate([*pieces, np.zeros(1600)])
    if limit.snr_db is not None:
        audio = audio + draw.normal(0, _amplitude(min(limit.low, limit.high) - limit.snr_db) / 2**0.5, len(audio))
    if limit.dial_tone is not None:
        t = np.arange(len(audio)) / SAMPLE_RATE
        audio = audio + _amplitude(limit.dial_tone) * (np.sin(2 * np.pi * 350 * t) + np.sin(2 * np.pi * 440 * t))
    return _pcm(audio)


def _press(limit: Limit, key: str, draw: np.random.Generator) -> Array:
    t = np.arange(round(limit.on_ms * 8)) / SAMPLE_RATE
    low, high = _PAIRS[key]
    phases = draw.uniform(0, 2 * np.pi, 2)
    tones: Array = _amplitude(limit.low) * np.sin(2 * np.pi * low * (1 + limit.low_off) * t + phases[0])
    tones = tones + _amplitude(limit.high) * np.sin(2 * np.pi * high * (1 + limit.high_off) * t + phases[1])
    if limit.lost_ms:
        at = int(draw.integers(240, len(t) - 240 - limit.lost_ms * 8))
        tones[at : at + limit.lost_ms * 8] = 0
    return tones


def _amplitude(dbm0: float) -> float:
    """0 dBm0 is 3.14 dB below a sine of full scale (ITU-T G.711)."""
    return float(32768 * 10 ** ((dbm0 - 3.14) / 20))


def _pcm(audio: Array) -> bytes:
    return np.clip(np.rint(audio), -32768, 32767).astype("<i2").tobytes()


def _heard(pcm: bytes, law: str = "mu-law") -> str:
    detector, pcm = DtmfDetector(), _LAWS[law](pcm)
    return "".join(hit.digit for at in range(0, len(pcm), 320) for hit in detector.push(pcm[at : at + 320]))


def lossy_events(rate: float, burst: float, presses: int = 1000, seed: int = 1) -> tuple[int, int, int]:
    """Presses of 100 ms and more, 20 ms a packet and three ends, over a line that loses `rate` of its packets, `burst`
    in a row on average (a Gilbert line)."""
    draw = random.Random(seed)  # noqa: S311 - the same in each run
    decoder, heard, twice, lost, sequence, at = TelephoneEvents(), 0, 0, False, 0, 0.0
    for _ in range(presses):
        got, timestamp, code = "", int(at * SAMPLE_RATE), draw.randrange(16)
        length = draw.randrange(5, 13)
        for step in range(1, length + 3):
            lost = draw.random() < ((1 - 1 / burst) if lost and burst > 1 else rate / burst if burst > 1 else rate)
            flags = 0x80 if step >= length else 0
            payload = struct.pack("!BBH", code, flags | 10, 160 * min(step, length))
            packet = RtpHeader(101, step == 1, sequence % 65536, timestamp, 7, payload)
            if not lost:
                got += decoder.packet(packet, at)
            sequence, at = sequence + 1, at + 0.02
        at += draw.uniform(0.05, 0.4)
        heard += bool(got)
        twice += len(got) > 1
    return presses, heard, twice


async def talk_off(hours: float, folder: Path | None) -> tuple[float, dict[str, int]]:
    """Speech and its false keys: files (8 kHz WAV) of `folder`, and espeak-ng's voices for the rest of the time."""
    draw = np.random.default_rng(1)
    samples, found = 0, dict.fromkeys(_LAWS, 0)
    async for pcm in _speech(folder):
        noisy = _pcm(np.frombuffer(pcm, "<i2") + draw.normal(0, draw.choice((0, 30, 150)), len(pcm) // 2))
        samples += len(noisy) // 2
        for law in found:
            found[law] += len(_heard(noisy, law))
        if samples >= hours * 3600 * SAMPLE_RATE:
            break
    return samples / SAMPLE_RATE / 3600, found


async def _speech(folder: Path | None) -> AsyncIterator[bytes]:
    if folder is not None:
        for path in sorted(folder.rglob("*.wav")):  # noqa: ASYNC240 - nothing else is running
            yield read_wav(path)
    before = b""
    async for spoken in _synthesised():
        yield spoken
        if before:  # two who talk at once
            both = min(len(before), len(spoken))
            yield _pcm(np.frombuffer(before[:both], "<i2") * 0.7 + np.frombuffer(spoken[:both], "<i2") * 0.7)
        before = spoken


async def _synthesised() -> AsyncIterator[bytes]:
    from agent.clock import ThreadOffload
    from agent.providers.espeak import EspeakTTS

    tts = EspeakTTS(ThreadOffload())
    await tts.warm()
    for voice, text in zip(_voices(), _numbers(), strict=False):
        stream = tts.synthesize(text, voice=voice, language=voice.partition("+")[0][:2])
        yield b"".join([audio.pcm async for audio in stream])


def _voices() -> Iterator[str]:
    return itertools.cycle(language + variant for variant in _VARIANTS for language in _LANGUAGES)


def _numbers() -> Iterator[str]:
    """Callers who read numbers, digit by digit and in groups."""
    draw = random.Random(1)  # noqa: S311 - the same in each run
    while True:
        groups = [str(draw.randrange(10 ** draw.randrange(1, 5))) for _ in range(12)]
        yield ", ".join(" ".join(group) if draw.random() < 0.6 else group for group in groups) + "."


def dtmf_table(figures: DtmfFigures) -> str:
    lines = ["| in band | presses | heard | twice or wrong |", "| --- | --- | --- | --- |"]
    for limit, (presses, heard, twice) in zip(LIMITS, figures.limits.values(), strict=True):
        lines.append(f"| {limit.name}{'' if limit.wanted else ' (to be refused)'} | {presses} | {heard} | {twice} |")
    lines += ["", "| RTP events, packets lost | presses | heard | twice |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {presses} | {heard} | {twice} |" for name, (presses, heard, twice) in figures.events.items()]
    by_law = ", ".join(f"{law}: {count}" for law, count in figures.false_keys.items())
    lines += ["", f"Talk-off: {figures.false_per_hour:.2f} keys an hour in {figures.hours:.2f} h of speech ({by_law})."]
    return "\n".join(lines)


async def measure(hours: float, folder: Path | None, times: int = 10, limits: Sequence[Limit] = LIMITS) -> DtmfFigures:
    spoken, false_keys = await talk_off(hours, folder)
    return DtmfFigures(
        {limit.name: in_band(limit, times) for limit in limits},
        {name: lossy_events(rate, burst) for name, rate, burst in LOSSES},
        spoken,
        false_keys,
    )
