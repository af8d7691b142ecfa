"""Timing the other side from packets made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from telephony.media.frames import FRAME_BYTES, duration_ms
from telephony.media.g711 import encode_alaw, encode_ulaw
from telephony.media.level import dbfs
from telephony.media.tones import silence, tone
from telephony.media.wav import read_channels
from telephony.phone.analysis import (
    Spacing,
    digits_heard,
    levels,
    loud_spans,
    on_time_axis,
    onset_after,
    packet_counts,
    sent_packets,
    silent_after,
    spacing,
    to_stereo_wav,
)
from telephony.phone.rtp import ReceivedPackets, RtpPacket, RtpSender


def stream(pcm: bytes, start: float = 10.0, *, alaw: bool = False) -> ReceivedPackets:
    received = ReceivedPackets()
    for number, offset in enumerate(range(0, len(pcm), FRAME_BYTES)):
        frame = pcm[offset : offset + FRAME_BYTES]
        payload = encode_alaw(frame) if alaw else encode_ulaw(frame)
        packet_type = 8 if alaw else 0
        received.append(RtpPacket(start + number * 0.02, number, number * 160, number == 0, packet_type, payload))
    return received


SPEECH = silence(200) + tone(440, 400) + silence(100) + tone(440, 200) + silence(400)


@pytest.mark.parametrize("alaw", [False, True])
def test_onset_and_silence(alaw: bool) -> None:
    heard = stream(SPEECH, alaw=alaw)
    assert onset_after(heard, 10.0) == pytest.approx(10.2)
    assert onset_after(heard, 10.65) == pytest.approx(10.7)
    assert onset_after(heard, 11.0) is None
    assert silent_after(heard, 10.3) == pytest.approx(10.9)  # the gap of 100 ms is no end
    assert silent_after(heard, 10.3, min_silence_ms=80) == pytest.approx(10.6)
    assert silent_after(heard, 11.0) == 11.0
    assert silent_after(heard, 11.2) is None  # not seen for long enough
    assert loud_spans(heard) == [pytest.approx((10.2, 10.9))]
    assert loud_spans(heard, min_silence_ms=80) == [pytest.approx((10.2, 10.6)), pytest.approx((10.7, 10.9))]


def test_silence_before_the_first_word_counts() -> None:
    assert silent_after(stream(silence(500) + tone(440, 100)), 10.0) == 10.0


def test_nothing_heard() -> None:
    nothing = ReceivedPackets()
    assert onset_after(nothing, 0) is None
    assert silent_after(nothing, 0) is None
    assert loud_spans(nothing) == []
    assert packet_counts(nothing).received == 0
    assert spacing(nothing.at) is None
    assert on_time_axis(nothing, 0) == b""


def test_levels_leave_events_out() -> None:
    packets = [*stream(tone(440, 20, -20)), RtpPacket(11.0, 9, 9, True, 101, b"\1\12\0\240")]
    times, loudness = levels(packets)
    assert times.tolist() == [10.0]
    assert loudness[0] == pytest.approx(-20, abs=1.5)


def test_lost_late_and_double_packets_across_the_wrap() -> None:
    received = ReceivedPackets()
    for number in (65534, 65535, 1, 0, 0, 4):
        received.append(RtpPacket(0.0, number, 0, False, 0, b""))
    counts = packet_counts(received)
    assert (counts.received, counts.lost, counts.late, counts.double) == (6, 2, 1, 1)


def test_a_late_packet_before_the_first_is_no_loss() -> None:
    received = ReceivedPackets()
    for number in (5, 4, 6):
        received.append(RtpPacket(0.0, number, 0, False, 0, b""))
    assert packet_counts(received).lost == 0


def test_spacing() -> None:
    assert spacing([0.0, 0.02, 0.04, 0.09]) == Spacing(pytest.approx(20), pytest.approx(49.4), pytest.approx(50))


def test_keys_are_heard_once_each() -> None:
    def event(at: float, timestamp: int, key: int, samples: int) -> RtpPacket:
        return RtpPacket(at, 0, timestamp, False, 101, struct.pack("!BBH", key, 10, samples))

    packets = [event(1.0, 160, 5, 160), event(1.02, 160, 5, 320), event(1.04, 160, 5, 320), event(2.0, 960, 5, 800)]
    heard = digits_heard([*packets, event(3.0, 0, 200, 1)])
    assert [(key.digit, key.at, key.duration_ms) for key in heard] == [("5", 1.0, 40), ("5", 2.0, 100)]


def test_the_time_axis_is_that_of_arrival_and_steady_audio_stays_whole() -> None:
    packets = list(stream(tone(440, 200), 1.0))
    shaken = [RtpPacket(p.at + 0.004 * (p.sequence % 3), p.sequence, p.timestamp, False, 0, p.payload) for p in packets]
    later = [RtpPacket(2.0, 50, 0, False, 0, packets[3].payload)]
    pcm = on_time_axis(shaken + later, 0.5, 2.5)
    assert duration_ms(pcm) == 2000
    whole = on_time_axis(packets, 1.0)
    assert pcm[8000 : 8000 + len(whole)] == whole
    assert dbfs(pcm[8000 + len(whole) : 24000]) == -96
    assert pcm[24000:24320] == whole[960:1280]
    assert on_time_axis(packets, 1.1)[:320] == whole[1600:1920]  # what came before the start is cut off


def test_stereo_of_both_sides(tmp_path: Path) -> None:
    source = RtpSender(0, encode_ulaw(silence(20)), 1, 1, 1)
    sent = [packet for packet, _ in (source.next_packet() for _ in range(5)) if packet]
    ours = sent_packets(sent, [10.0 + 0.02 * n for n in range(5)])
    assert [packet.sequence for packet in ours] == [1, 2, 3, 4, 5]
    to_stereo_wav(tmp_path / "call.wav", ours, stream(SPEECH), 10.0)
    left, right = read_channels(tmp_path / "call.wav")
    assert len(left) == len(right) == len(SPEECH)
    assert dbfs(left) == -96 and dbfs(right[3200:9600]) == pytest.approx(-13, abs=0.5)
