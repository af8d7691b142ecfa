"""Analyses a phone's packets: when the other side spoke and fell silent, how evenly packets arrived. Pure.

All times are seconds of the loop clock. A packet's time is its arrival: there is no jitter buffer in between.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from telephony.media.frames import FRAME_MS, SAMPLE_RATE
from telephony.media.level import frame_levels_dbfs
from telephony.media.wav import write_wav
from telephony.phone.rtp import ReceivedPackets, RtpPacket, parse_rtp
from telephony.phone.sdp import CODECS

__all__ = [
    "DigitHeard",
    "PacketCounts",
    "Spacing",
    "digits_heard",
    "levels",
    "loud_spans",
    "on_time_axis",
    "onset_after",
    "packet_counts",
    "sent_packets",
    "silent_after",
    "spacing",
    "to_stereo_wav",
]

_DECODERS = {codec.payload_type: codec.decode for codec in CODECS.values()}
_EVENTS = "0123456789*#ABCD"
_FRAME_S = FRAME_MS / 1000
_DRIFT_SAMPLES = 40 * SAMPLE_RATE // 1000  # arrival jitter below this does not break up the sound


@dataclass(frozen=True, slots=True)
class PacketCounts:
    """By sequence number. `lost`: never arrived; `late`: arrived after a higher number; `double`: arrived again."""

    received: int
    lost: int
    late: int
    double: int


@dataclass(frozen=True, slots=True)
class Spacing:
    """Milliseconds between consecutive packets received (or sent)."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class DigitHeard:
    """A key that the other side pressed, by RFC 4733. `at`: arrival of its first packet."""

    digit: str
    at: float
    duration_ms: float


def levels(packets: Iterable[RtpPacket]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Arrival time and level in dBFS of each audio packet; other packets are left out."""
    times: list[float] = []
    loudness: list[float] = []
    known: dict[bytes, float] = {}  # silence repeats the same payload
    for packet in packets:
        decode = _DECODERS.get(packet.payload_type)
        if decode is None or not packet.payload:
            continue
        level = known.get(packet.payload)
        if level is None:
            level = float(frame_levels_dbfs(decode(packet.payload), len(packet.payload))[0])
            known[packet.payload] = level
        times.append(packet.at)
        loudness.append(level)
    return np.array(times), np.array(loudness)


def _loud_times(packets: Iterable[RtpPacket], threshold_dbfs: float) -> npt.NDArray[np.float64]:
    times, loudness = levels(packets)
    return times[loudness > threshold_dbfs]


def onset_after(packets: Iterable[RtpPacket], after: float, *, threshold_dbfs: float = -40.0) -> float | None:
    """Arrival of the first loud packet at or after `after`; None if there was none."""
    loud = _loud_times(packets, threshold_dbfs)
    later = loud[loud >= after]
    return float(later[0]) if len(later) else None


def silent_after(
    packets: ReceivedPackets | Sequence[RtpPacket],
    after: float,
    *,
    threshold_dbfs: float = -40.0,
    min_silence_ms: float = 200.0,
) -> float | None:
    """When the other side fell silent, at or after `after`: the end of the last loud packet before a silence of at
    least `min_silence_ms`. `after` itself if it was silent then; None if no silence was long enough."""
    if not len(packets):
        return None
    loud = _loud_times(packets, threshold_dbfs)
    gap = min_silence_ms / 1000
    end_of_view = packets[len(packets) - 1].at + _FRAME_S
    speaking = loud[loud >= after - _FRAME_S]
    quiet_from = after
    for at in speaking:
        if at - quiet_from >= gap:
            return float(quiet_from)
        quiet_from = max(after, float(at) + _FRAME_S)
    return quiet_from if end_of_view - quiet_from >= gap else None


def loud_spans(
    packets: Iterable[RtpPacket], *, threshold_dbfs: float = -40.0, min_silence_ms: float = 200.0
) -> list[tuple[float, float]]:
    """(start, end) of each stretch of sound; stretches less than `min_silence_ms` apart are merged."""
    spans: list[tuple[float, float]] = []
    for at in _loud_times(packets, threshold_dbfs).tolist():
        if spans and at - spans[-1][1] < min_silence_ms / 1000:
            spans[-1] = (spans[-1][0], at + _FRAME_S)
        else:
            spans.append((at, at + _FRAME_S))
    return spans


def packet_counts(packets: ReceivedPackets) -> PacketCounts:
    """Gaps and disorder, sequence numbers unwrapped (RFC 3550 appendix A.1)."""
    if not len(packets):
        return PacketCounts(0, 0, 0, 0)
    highest = first = packets.sequence[0]
    seen: set[int] = set()
    late = double = 0
    for raw in packets.sequence[: len(packets)]:
        number = highest + ((raw - highest + 0x8000) & 0xFFFF) - 0x8000
        if number in seen:
            double += 1
            continue
        seen.add(number)
        if number < highest:
            late += 1
            first = min(first, number)
        highest = max(highest, number)
    return PacketCounts(len(packets), highest - first + 1 - len(seen), late, double)


def spacing(times: Sequence[float]) -> Spacing | None:
    """Gaps in `received.at` or `sent_at`; None for fewer than two packets."""
    if len(times) < 2:
        return None
    gaps = np.diff(np.array(times)) * 1000
    p50, p99 = np.percentile(gaps, (50, 99))
    return Spacing(float(p50), float(p99), float(gaps.max()))


def digits_heard(packets: Iterable[RtpPacket], event_payload_type: int = 101) -> list[DigitHeard]:
    """Keys pressed, each once however many packets carried it (RFC 4733 section 2.5.2.2)."""
    heard: dict[int, DigitHeard] = {}
    for packet in packets:
        if packet.payload_type != event_payload_type or len(packet.payload) < 4 or packet.payload[0] >= len(_EVENTS):
            continue
        samples = struct.unpack_from("!H", packet.payload, 2)[0]
        before = heard.get(packet.timestamp)
        at = before.at if before else packet.at
        duration = max(before.duration_ms if before else 0.0, samples * 1000 / SAMPLE_RATE)
        heard[packet.timestamp] = DigitHeard(_EVENTS[packet.payload[0]], at, duration)
    return list(heard.values())


def sent_packets(sent: Sequence[bytes], sent_at: Sequence[float]) -> list[RtpPacket]:
    """What a call sent, in the same form as what it received."""
    parsed = ((at, parse_rtp(data)) for at, data in zip(sent_at, sent, strict=False))
    return [RtpPacket(at, *fields) for at, fields in parsed if fields is not None]


def on_time_axis(packets: Iterable[RtpPacket], start: float, end: float | None = None) -> bytes:
    """8 kHz PCM from `start` to `end` (the last packet's end): each packet is placed at its arrival, silence elsewhere.
    Jitter of less than 40 ms is smoothed, so that steady audio stays intact."""
    placed: list[tuple[int, bytes]] = []
    cursor = -math.inf
    for packet in packets:
        decode = _DECODERS.get(packet.payload_type)
        if decode is None or not packet.payload:
            continue
        position = round((packet.at - start) * SAMPLE_RATE)
        if abs(position - cursor) < _DRIFT_SAMPLES:
            position = int(cursor)
        placed.append((position, decode(packet.payload)))
        cursor = position + len(packet.payload)
    last = max((position + len(pcm) // 2 for position, pcm in placed), default=0)
    audio = np.zeros(max(0, last if end is None else round((end - start) * SAMPLE_RATE)), dtype="<i2")
    for position, pcm in placed:
        samples = np.frombuffer(pcm, dtype="<i2")[max(0, -position) :]
        room = audio[max(0, position) :][: len(samples)]
        room[:] = samples[: len(room)]
    return audio.tobytes()


def to_stereo_wav(path: Path | str, ours: Iterable[RtpPacket], theirs: Iterable[RtpPacket], start: float) -> None:
    """Both sides on one time axis: the phone's own audio left, what it heard right. Raises OSError."""
    write_wav(path, on_time_axis(ours, start), on_time_axis(theirs, start))
