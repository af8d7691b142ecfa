"""Line noise that is the same each time for the same seed."""

from __future__ import annotations

import numpy as np

from telephony.media.frames import SAMPLE_RATE

__all__ = ["line_noise"]


def line_noise(ms: float, level_dbfs: float = -60.0, seed: int = 0) -> bytes:
    """Noise with the tilt of a phone line (stronger at low frequencies, band-limited to 300-3400 Hz), as PCM."""
    count = round(ms * SAMPLE_RATE / 1000)
    if count == 0:
        return b""
    white = np.random.Generator(np.random.PCG64(seed)).standard_normal(count)
    spectrum = np.fft.rfft(white)
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    tilt = np.sqrt(300 / np.maximum(frequencies, 300))
    spectrum *= np.where((frequencies >= 300) & (frequencies <= 3400), tilt, 0.0)
    noise = np.fft.irfft(spectrum, count)
    rms = float(np.sqrt(np.mean(noise**2)))
    if rms == 0:
        return bytes(2 * count)
    noise *= 32768 * 10 ** (level_dbfs / 20) / rms
    return np.clip(np.rint(noise), -32768, 32767).astype("<i2").tobytes()
