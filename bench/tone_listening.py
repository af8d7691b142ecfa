"""What `ToneListener` costs, and what it hears in recordings that hold no tones.

    python -m bench.tone_listening [FOLDER...]

FOLDER: 8 kHz WAV files, e.g. those of Debian's `asterisk-core-sounds-en-wav` (beeps and sound effects are left out).
Prints microseconds a frame of 20 ms (20 us are 0.1 % of a core) and findings by kind.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from telephony.media.answering.findings import Finding
from telephony.media.answering.tones import ToneListener
from telephony.media.g711 import decode_ulaw, encode_ulaw
from telephony.media.tones import network, silence, tone
from telephony.media.wav import read_wav

_NO_SPEECH = ("beep", "ascending", "descending", "silence", "monkeys")


def _heard(pcm: bytes) -> tuple[list[Finding], float]:
    """What is found, and seconds of CPU."""
    listener, found = ToneListener(), list[Finding]()
    frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 319, 320)]
    began = time.process_time()
    for k, frame in enumerate(frames):
        found += listener.hear(frame, (k + 1) * 0.02)
    return found, time.process_time() - began


def _costs() -> None:
    noise = np.random.default_rng(1).normal(0, 2000, 8000 * 20).astype("<i2").tobytes()
    for name, pcm in (
        ("silence", silence(20_000)),
        ("noise", noise),
        ("one tone", tone(1000, 20_000)),
        ("busy tone", network("us", "busy", 20)),
    ):
        best = min(_heard(pcm)[1] for _ in range(5))
        print(f"{name}: {best / (len(pcm) // 320) * 1e6:.1f} us a frame")


def _false_alarms(folder: Path) -> None:
    kinds, seconds, cpu = Counter[str](), 0.0, 0.0
    for path in sorted(folder.rglob("*.wav")):
        if any(word in str(path) for word in _NO_SPEECH):
            continue
        pcm = decode_ulaw(encode_ulaw(silence(200) + read_wav(path) + silence(200)))
        found, cost = _heard(pcm)
        kinds.update(each.what for each in found)
        seconds, cpu = seconds + len(pcm) / 16000, cpu + cost
    print(f"{folder.name}: {seconds / 3600:.2f} h, {cpu / max(1, seconds * 50) * 1e6:.1f} us a frame, {dict(kinds)}")


if __name__ == "__main__":
    _costs()
    for each in sys.argv[1:]:
        _false_alarms(Path(each))
