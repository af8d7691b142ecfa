"""Scripted providers for tests: they record their input; output, delays and failures are scripted.

Delays are in loop time, so on a virtual clock they cost nothing.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from agent.providers.base import (
    ChatMessage,
    Expectations,
    LLMEvent,
    SpokenAudio,
    TextDelta,
    ToolCall,
    ToolSpec,
    Transcript,
    WordMark,
)
from agent.providers.fake_flux import FakeFlux
from telephony.media.frames import SAMPLE_RATE, AudioFrame

__all__ = [
    "FakeFlux",
    "FakeLLM",
    "FakeOffload",
    "FakeSTT",
    "FakeTTS",
    "FakeVAD",
    "Heard",
    "ModelTurn",
    "loud",
]

T = TypeVar("T")
_LOUD = 1000  # samples of at least this size are speech to the fake VAD


def loud(ms: float, amplitude: int = 8000) -> bytes:
    """Audio that the fake VAD takes for speech."""
    count = round(ms * SAMPLE_RATE / 1000)
    return array("h", (amplitude if n % 2 else -amplitude for n in range(count))).tobytes()


# --- voice activity ---------------------------------------------------------------------------------------------


class _FakeVADStream:
    window_samples = 256

    def __init__(self, vad: FakeVAD) -> None:
        self._vad = vad
        self._samples = array("h")
        self._lagging: deque[float] = deque([0.0] * vad.lag_windows)

    def push(self, frame: AudioFrame) -> Sequence[tuple[float, float]]:
        if self._vad.errors:
            raise self._vad.errors.popleft()
        self._samples.frombytes(frame.pcm)
        windows: list[tuple[float, float]] = []
        while len(self._samples) >= self.window_samples:
            window = self._samples[: self.window_samples]
            del self._samples[: self.window_samples]
            loud_share = sum(abs(sample) >= _LOUD for sample in window) / self.window_samples
            self._lagging.append(0.95 if loud_share >= 0.5 else 0.05)
            windows.append((self._lagging.popleft(), frame.at - len(self._samples) / SAMPLE_RATE))
        return windows

    def close(self) -> None:
        self._vad.closed += 1


class FakeVAD:
    """Loud audio is speech. `lag_windows`: how late its probability follows, as with real VADs."""

    def __init__(self, *, lag_windows: int = 0, errors: Iterable[Exception] = ()) -> None:
        self.lag_windows = lag_windows
        self.errors = deque(errors)
        self.closed = 0

    def stream(self) -> _FakeVADStream:
        return _FakeVADStream(self)


# --- speech to text ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """The result of one flush. `error`: the stream fails instead. `never`: no result. `interim`: texts during speech,
    with the milliseconds of speech after which they arrive."""

    text: str = ""
    after_ms: float = 0.0
    confidence: float = 1.0
    error: Exception | None = None
    never: bool = False
    interim: tuple[tuple[float, str], ...] = ()


class _FakeSpeechStream:
    def __init__(self, stt: FakeSTT) -> None:
        self._stt = stt
        self._queue: asyncio.Queue[Transcript | Exception | None] = asyncio.Queue()
        self._frames = 0

    def push(self, frame: AudioFrame) -> None:
        self._stt.frames.append(frame)
        self._frames += 1
        if self._stt.script:
            for ms, text in self._stt.script[0].interim:
                if self._frames * 20 == ms:
                    self._queue.put_nowait(Transcript(text, final=False))

    def flush(self) -> None:
        self._stt.flushed_at.append(asyncio.get_running_loop().time())
        self._frames = 0
        heard = self._stt.script.popleft() if self._stt.script else Heard(self._stt.default)
        if heard.never:
            return
        item = heard.error or Transcript(heard.text, final=True, confidence=heard.confidence)
        asyncio.get_running_loop().call_later(heard.after_ms / 1000, self._queue.put_nowait, item)

    def expect(self, expectations: Expectations) -> None:
        self._stt.expectations.append(expectations)

    def want_interims(self, wanted: bool) -> None:
        self._stt.interims_wanted.append(wanted)

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def aclose(self) -> None:
        await asyncio.sleep(self._stt.closing_s)
        self._stt.closed += 1
        self._queue.put_nowait(None)


class FakeSTT:
    """Each flush takes the next of `script`, then `default` forever. `closing_s`: how long a stream takes to close."""

    name = "fake-stt"

    def __init__(
        self, *script: Heard | str, default: str = "hello", whole_turns: bool = False, closing_s: float = 0.0
    ) -> None:
        self.script = deque(Heard(item) if isinstance(item, str) else item for item in script)
        self.default = default
        self.whole_turns = whole_turns
        self.frames: list[AudioFrame] = []
        self.flushed_at: list[float] = []
        self.expectations: list[Expectations] = []
        self.interims_wanted: list[bool] = []  # as its streams were told; scripted ones come all the same
        self.closing_s = closing_s
        self.streams = 0
        self.closed = 0

    def stream(self, *, language: str, expectations: Expectations) -> _FakeSpeechStream:
        self.streams += 1
        self.expectations.append(expectations)
        return _FakeSpeechStream(self)

    async def warm(self) -> None:
        """Nothing to load."""


# --- language model ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """One answer: `parts` are said (str) or called (ToolCall) in order, `first_ms` late and `between_ms` apart. `error`
    is raised after the parts; `hang`: nothing follows them."""

    parts: tuple[str | ToolCall, ...] = ()
    first_ms: float = 0.0
    between_ms: float = 0.0
    error: Exception | None = None
    hang: bool = False


@dataclass(frozen=True, slots=True)
class _Request:
    messages: tuple[ChatMessage, ...]
    tools: tuple[str, ...]
    at: float


class FakeLLM:
    """Each request takes the next of `script` (text alone is a turn of that text), then echoes the last message."""

    name = "fake-llm"

    def __init__(self, *script: ModelTurn | str) -> None:
        self.script = deque(ModelTurn((item,)) if isinstance(item, str) else item for item in script)
        self.requests: list[_Request] = []
        self.finished_at: list[float] = []
        self.cancelled = 0

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        loop = asyncio.get_running_loop()
        self.requests.append(_Request(tuple(messages), tuple(tool.name for tool in tools), loop.time()))
        turn = self.script.popleft() if self.script else ModelTurn((f"You said {messages[-1].text}.",))
        try:
            await asyncio.sleep(turn.first_ms / 1000)
            for index, part in enumerate(turn.parts):
                if index:
                    await asyncio.sleep(turn.between_ms / 1000)
                yield TextDelta(part) if isinstance(part, str) else part
            if turn.error is not None:
                raise turn.error
            if turn.hang:
                await asyncio.get_running_loop().create_future()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        self.finished_at.append(loop.time())

    async def warm(self) -> None:
        """Nothing to load."""


# --- text to speech ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class FakeTTS:
    """Speaks each word in `word_ms` of loud audio with a mark at its beginning.

    `faults`: for a text that contains the key, what to raise (an exception), or "hang", or "nothing"; the items of a
    list are used one after the other.
    """

    word_ms: float = 200.0
    first_ms: float = 0.0
    marks: bool = True
    chunk_ms: float = 100.0
    faults: dict[str, list[Exception | str]] = field(default_factory=dict)
    name: str = "fake-tts"
    spoken: list[str] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)

    async def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        self.spoken.append(text)
        self.asked_at.append(asyncio.get_running_loop().time())
        for key, faults in self.faults.items():
            if key in text and faults:
                fault = faults.pop(0)
                if isinstance(fault, Exception):
                    raise fault
                if fault == "hang":
                    await asyncio.get_running_loop().create_future()
                return
        await asyncio.sleep(self.first_ms / 1000)
        words = [match.start() for match in re.finditer(r"\S+", text)]
        marks = tuple(WordMark(offset, index * self.word_ms) for index, offset in enumerate(words))
        pcm = loud(len(words) * self.word_ms, 500)
        step = round(self.chunk_ms * SAMPLE_RATE / 1000) * 2
        for offset in range(0, len(pcm), step):
            yield SpokenAudio(pcm[offset : offset + step], marks if self.marks and offset == 0 else ())

    async def warm(self) -> None:
        """Nothing to load."""


class FakeOffload:
    """Runs work at once; `modelled` records the requests."""

    def __init__(self) -> None:
        self.modelled: list[float] = []

    async def __call__(self, work: Callable[[], T], *, modelled_ms: float) -> T:
        self.modelled.append(modelled_ms)
        await asyncio.sleep(modelled_ms / 1000)
        return work()
