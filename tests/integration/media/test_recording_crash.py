"""A process that is killed leaves a recording that plays."""

from __future__ import annotations

import subprocess
import sys
import time
import wave
from pathlib import Path

from telephony.media.recording import repair

CHILD = """
import asyncio, sys, time
from telephony.media.recording import WavRecorder
from telephony.media.tones import tone

async def main():
    recorder = WavRecorder(sys.argv[1])
    frame = tone(440, 20)
    while True:
        recorder.write(frame, frame)
        await asyncio.sleep(0.02)
        if recorder.duration_ms == 1200:
            print("now", flush=True)

asyncio.run(main())
"""

FULL = """
import asyncio, resource, signal, sys
from telephony.media.recording import WavRecorder

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    recorder = WavRecorder(sys.argv[1])
    for _ in range(100):
        recorder.write(bytes(320), bytes(320))
    await recorder.close()
    print(recorder.error, recorder.duration_ms)

asyncio.run(main())
"""


def test_killed_without_warning(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "now\n"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    with wave.open(str(path)) as file:  # as it lies there
        frames = file.getnframes()
    assert 400 <= frames / 8 <= 1300  # up to its last half second, on a busy machine
    assert repair(path) * 8 >= frames
    with wave.open(str(path)) as file:
        assert file.getnframes() * 4 == path.stat().st_size - 44


def test_a_file_that_may_not_grow_ends_the_recording_not_the_process(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    started = time.monotonic()
    child = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=20, check=True
    )
    assert time.monotonic() - started < 20
    assert "File too large" in child.stdout and child.stdout.split()[-1] == "300"
    with wave.open(str(path)) as file:
        assert file.getnframes() == (10_000 - 44) // 4
