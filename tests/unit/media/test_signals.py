"""Levels, tones, noise and resampling."""

from __future__ import annotations

import numpy as np
import pytest

from telephony.media.frames import duration_ms
from telephony.media.level import FLOOR_DBFS, dbfs, frame_levels_dbfs, gain
from telephony.media.noise import line_noise
from telephony.media.resample import resample
from telephony.media.tones import busy, ringback, silence, special_information, tone


def strongest_hz(pcm: bytes, rate: int = 8000) -> float:
    samples = np.frombuffer(pcm, dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[int(np.argmax(spectrum))])


def test_levels() -> None:
    assert dbfs(b"") == dbfs(bytes(320)) == FLOOR_DBFS
    assert dbfs(np.full(160, -32768, dtype="<i2").tobytes()) == 0
    assert frame_levels_dbfs(tone(440, 40, -20) + bytes(320) + b"\0\0") == pytest.approx(
        [-20, -20, FLOOR_DBFS], abs=0.7
    )
    assert len(frame_levels_dbfs(b"")) == 0
    assert dbfs(gain(tone(440, 500, -20), -10)) == pytest.approx(-30, abs=0.1)
    assert dbfs(gain(tone(440, 500, -20), 60)) == pytest.approx(0, abs=0.2)


def test_tones_have_their_frequency_level_and_length() -> None:
    pcm = tone(440, 1000, -13)
    assert duration_ms(pcm) == 1000
    assert strongest_hz(pcm) == pytest.approx(440, abs=1)
    assert dbfs(pcm) == pytest.approx(-13, abs=0.1)
    assert duration_ms(ringback(2)) == 12_000
    assert duration_ms(busy()) == 1000
    assert duration_ms(special_information()) == pytest.approx(1990, abs=1)
    assert not any(silence(20)) and len(silence(20)) == 320


def test_noise_is_the_same_each_time_and_as_loud_as_asked() -> None:
    assert line_noise(1000, -50, seed=3) == line_noise(1000, -50, seed=3) != line_noise(1000, -50, seed=4)
    assert dbfs(line_noise(2000, -50)) == pytest.approx(-50, abs=0.3)
    spectrum = np.abs(np.fft.rfft(np.frombuffer(line_noise(1000, -30), dtype="<i2").astype(float)))
    assert spectrum[:200].max() < spectrum[400:3000].mean() / 5
    assert line_noise(0) == b""


@pytest.mark.parametrize(("from_rate", "to_rate"), [(16000, 8000), (22050, 8000), (24000, 8000), (8000, 16000)])
def test_resampling_keeps_the_tone(from_rate: int, to_rate: int) -> None:
    t = np.arange(from_rate) / from_rate
    pcm = np.rint(8000 * np.sin(2 * np.pi * 3000 * t)).astype("<i2").tobytes()
    result = resample(pcm, from_rate, to_rate)
    assert abs(len(result) // 2 - to_rate) <= 2
    assert strongest_hz(result, to_rate) == pytest.approx(3000, abs=2)
    assert dbfs(result) == pytest.approx(dbfs(pcm), abs=1.0)


def test_the_same_rate_is_left_alone() -> None:
    pcm = tone(440, 20)
    assert resample(pcm, 8000, 8000) is pcm


def test_what_is_above_half_the_new_rate_does_not_fold_down() -> None:
    t = np.arange(16000) / 16000
    pcm = np.rint(8000 * np.sin(2 * np.pi * 6000 * t)).astype("<i2").tobytes()
    assert dbfs(resample(pcm, 16000, 8000)) < dbfs(pcm) - 40
