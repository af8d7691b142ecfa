from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.providers import silero
from agent.providers.espeak import EspeakTTS
from agent.providers.silero import SileroVAD, SileroVADStream
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.frames import FRAME_BYTES, SILENCE, AudioFrame


@pytest.fixture(scope="module")
def speech() -> list[bytes]:
    """1 s of silence, speech, 1 s of silence, in frames."""

    async def speak() -> bytes:
        tts = EspeakTTS(VirtualOffload())
        said = tts.synthesize("Hello, I would like to book an appointment.", voice="", language="")
        return b"".join([piece.pcm async for piece in said])

    pcm = run_virtual(speak())
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]
    return [SILENCE] * 50 + frames + [SILENCE] * 50


@pytest.fixture
def stream() -> Iterator[SileroVADStream]:
    stream = SileroVAD().stream()
    yield stream
    stream.close()


def run(stream: SileroVADStream, frames: list[bytes]) -> list[tuple[float, float]]:
    return [window for n, pcm in enumerate(frames, 1) for window in stream.push(AudioFrame(pcm, n * 0.02))]


def test_a_window_each_32_ms_with_the_time_of_its_last_sample(stream: SileroVADStream) -> None:
    windows = run(stream, [SILENCE] * 80)  # 1.6 s
    assert len(windows) == 50
    assert [at for _, at in windows] == pytest.approx([0.032 * n for n in range(1, 51)])


def test_tells_speech_from_silence(stream: SileroVADStream, speech: list[bytes]) -> None:
    windows = run(stream, speech)
    end = len(speech) * 0.02 - 1
    quiet = [p for p, at in windows if at < 0.95 or at > end + 0.4]
    spoken = sorted(p for p, at in windows if 1.2 < at < end - 0.3)
    assert max(quiet) < 0.3
    assert spoken[len(spoken) // 2] > 0.9


def test_a_used_object_comes_back_fresh(speech: list[bytes]) -> None:
    first = SileroVAD().stream()
    result = run(first, speech)
    first.close()
    free = SileroVAD.pooled()
    again = SileroVAD().stream()
    assert SileroVAD.pooled() == free - 1
    assert run(again, speech) == result
    again.close()
    again.close()
    assert SileroVAD.pooled() == free


def test_a_closed_stream_hears_nothing() -> None:
    stream = SileroVAD().stream()
    stream.close()
    assert run(stream, [SILENCE] * 10) == []


def test_an_empty_pool_makes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "_free", [])
    SileroVAD.prepare(1)
    streams = [SileroVAD().stream(), SileroVAD().stream()]
    for stream in streams:
        stream.close()
    assert SileroVAD.pooled() == 2
