"""What our ears make of a call: the VAD's probabilities, and the recogniser's texts when a session would get them.

The session's own ears (`agent.pipeline.ears`) listen on a virtual clock: pieces of speech are flushed after 160 ms of
silence, turns end after 550 ms, and a text comes as late as its provider says it does. It costs up to a second of CPU
a call, so what was heard is kept on disk.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.ears_alone import EarsAlone
from agent.pipeline.recognizer import RecognizerLimits
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import STT, VAD, ProviderError, VADStream
from agent.providers.registry import ProviderSettings, build_stt, build_vad
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from gateway.bench.answering.cases import AnsweredCall
from gateway.bench.answering.keeping import digest, keep, versions
from gateway.bench.answering.script import ScriptSTT
from telephony.media.frames import FRAME_BYTES, FRAME_MS, AudioFrame

__all__ = ["Heard", "Hearing", "recogniser_for"]

_OPTIONS = SessionOptions()
_LATEST_S = 5.0  # after the last audio, for a text that is still awaited
_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Heard:
    """Seconds after the answer. `voice`: (probability, at) of each window; `words`: (text, at, final)."""

    voice: tuple[tuple[float, float], ...]
    words: tuple[tuple[str, float, bool], ...]


def recogniser_for(call: AnsweredCall, wanted: str) -> str:
    """`wanted` "auto": Moonshine for English, Whisper for people who speak another language, and the script for
    voices that speak it, of which Whisper understands a fifth; "whisper": Whisper for these too; "moonshine": English
    only; "none": nobody."""
    if wanted == "none":
        return ""
    if call.language == "en":
        return "moonshine"
    if wanted == "auto":
        return "whisper" if call.voice.startswith("people") else "script"
    return "whisper" if wanted == "whisper" else ""


class Hearing:
    def __init__(self, kept: Path, recogniser: str) -> None:
        """`kept`: the folder of what was heard. `recogniser`: see `recogniser_for`."""
        self._kept = kept
        self._recogniser = recogniser

    def of(self, call: AnsweredCall) -> Heard:
        """Blocking."""
        spec = recogniser_for(call, self._recogniser)
        script = repr(call.spoken) if spec == "script" else ""
        name = digest(call.pcm, spec, call.language if spec else "", versions(), _FORMAT, *([script] if script else ()))
        path = self._kept / f"{name}.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            heard = listen(call, spec)
            keep(path, json.dumps([heard.voice, heard.words]).encode())
            return heard
        return Heard(tuple((p, at) for p, at in found[0]), tuple((text, at, final) for text, at, final in found[1]))


def listen(call: AnsweredCall, spec: str) -> Heard:
    """`spec`: a recogniser's name; empty: none."""
    stt: STT | None = None
    if spec == "script":
        stt = ScriptSTT(call.spoken)
    elif spec:
        stt = build_stt(spec, ProviderSettings(), VirtualOffload())
    return run_virtual(_listen(call.pcm, call.language, build_vad("silero"), stt), start=0.0)


async def _listen(pcm: bytes, language: str, vad: VAD, stt: STT | None) -> Heard:
    session = _Session(language, vad, stt)
    loop = asyncio.get_running_loop()
    for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        await asyncio.sleep(FRAME_MS / 1000)
        session.frame(AudioFrame(pcm[at : at + FRAME_BYTES], loop.time()))
    session.end(loop.time())
    await asyncio.sleep(_LATEST_S)
    heard = session.heard
    await session.close()
    return heard


@dataclass(slots=True)
class _Noted:
    """A VAD that notes what it says."""

    vad: VAD
    windows: list[tuple[float, float]] = field(default_factory=list)

    def stream(self) -> VADStream:
        return _NotedStream(self.vad.stream(), self.windows)


class _NotedStream:
    def __init__(self, stream: VADStream, windows: list[tuple[float, float]]) -> None:
        self._stream = stream
        self._windows = windows
        self.window_samples = stream.window_samples

    def push(self, frame: AudioFrame) -> Sequence[tuple[float, float]]:
        windows = self._stream.push(frame)
        self._windows.extend((round(probability, 4), round(at, 4)) for probability, at in windows)
        return windows

    def close(self) -> None:
        self._stream.close()


class _Session:
    """Of a session, as much as hears: turns that begin, are flushed and end with silence."""

    def __init__(self, language: str, vad: VAD, stt: STT | None) -> None:
        self._noted = _Noted(vad)
        self._words: list[tuple[str, float, bool]] = []
        self._tasks = SessionTasks(asyncio.get_running_loop())
        agent = Agent()
        agent.language = language
        limits = RecognizerLimits(final_ms=10_000, retries=0, backoff_ms=100)
        self._ears = EarsAlone(
            agent, _OPTIONS, limits, self._tasks, vad=self._noted, stt=stt, words=self._note, failed=self._failed
        )  # fmt: skip

    @property
    def heard(self) -> Heard:
        return Heard(tuple(self._noted.windows), tuple(self._words))

    def frame(self, frame: AudioFrame) -> None:
        self._ears.frame(frame)

    def end(self, at: float) -> None:
        self._ears.cut(at)

    async def close(self) -> None:
        self._ears.close()
        await self._tasks.all_let_go()
        await self._tasks.cancel()

    def _note(self, text: str, at: float, *, final: bool) -> None:
        self._words.append((text, round(at, 4), final))

    def _failed(self, part: str, error: ProviderError, action: str) -> None:
        if part == "stt" and action != "ignored":
            raise error
