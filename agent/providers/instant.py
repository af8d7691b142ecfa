"""Providers that respond instantly: for measuring the gateway itself.

STT returns a fixed sentence when flushed, or (`instant/turns`, which needs no VAD) after half a second of silence
following sound; the LLM a fixed answer; TTS 5 s of a 440 Hz tone in one piece.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Sequence
from functools import cache

from agent.providers.base import ChatMessage, Expectations, LLMEvent, SpokenAudio, TextDelta, ToolSpec, Transcript
from agent.turns.signals import EndOfTurn, Signal, SpeechStarted
from telephony.media.frames import FRAME_MS, SAMPLE_RATE, AudioFrame
from telephony.media.level import dbfs

__all__ = ["InstantLLM", "InstantSTT", "InstantTTS", "InstantTurnsSTT", "tone"]

_SENTENCE = "This is what the caller said."
_ANSWER = "This is what the agent answers."
_TONE_HZ = 440
_TONE_SECONDS = 5
_AMPLITUDE = 8000
_LOUD_DBFS = -45.0
_LOUD_FRAMES = 4  # this many consecutive ones are speech
_END_SILENCE_S = 0.5


@cache
def tone() -> SpokenAudio:
    """The tone, made once per process (or by a parent that forks, for its children)."""
    step = 2 * math.pi * _TONE_HZ / SAMPLE_RATE
    samples = array("h", (round(_AMPLITUDE * math.sin(step * n)) for n in range(SAMPLE_RATE * _TONE_SECONDS)))
    return SpokenAudio(samples.tobytes())


class _InstantStream:
    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._transcripts: asyncio.Queue[Transcript | Signal | None] = asyncio.Queue()

    def push(self, frame: AudioFrame) -> None:
        """The audio is ignored."""

    def flush(self) -> None:
        self._transcripts.put_nowait(Transcript(self._sentence, final=True))

    def expect(self, expectations: Expectations) -> None:
        """It always recognises its sentence."""

    async def __aiter__(self) -> AsyncIterator[Transcript | Signal]:
        while (transcript := await self._transcripts.get()) is not None:
            yield transcript

    async def aclose(self) -> None:
        self._transcripts.put_nowait(None)


class InstantSTT:
    name = "instant"

    def __init__(self, sentence: str = _SENTENCE) -> None:
        self._sentence = sentence

    def stream(self, *, language: str, expectations: Expectations) -> _InstantStream:
        return _InstantStream(self._sentence)

    async def warm(self) -> None:
        """Nothing to load."""


class _TurnsStream(_InstantStream):
    """Goes by the level alone."""

    turns = True

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self._loud = 0  # frames in a row
        self._loud_at = 0.0
        self._speaking = False

    def push(self, frame: AudioFrame) -> None:
        self._loud = self._loud + 1 if dbfs(frame.pcm) >= _LOUD_DBFS else 0
        put = self._transcripts.put_nowait
        if self._loud:
            self._loud_at = frame.at
        if not self._speaking and self._loud >= _LOUD_FRAMES:
            self._speaking = True
            put(SpeechStarted(frame.at - self._loud * FRAME_MS / 1000, frame.at))
        elif self._speaking and frame.at - self._loud_at >= _END_SILENCE_S:
            self._speaking = False
            put(Transcript(self._sentence, final=True))
            put(EndOfTurn(1.0, frame.at, speech_ended_at=self._loud_at))

    def flush(self) -> None:
        self._speaking = False
        super().flush()


class InstantTurnsSTT(InstantSTT):
    name = "instant/turns"
    turns = True

    def stream(self, *, language: str, expectations: Expectations) -> _TurnsStream:
        return _TurnsStream(self._sentence)


class InstantLLM:
    name = "instant"

    def __init__(self, answer: str = _ANSWER) -> None:
        self._answer = answer

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        yield TextDelta(self._answer)

    async def warm(self) -> None:
        """Nothing to load."""


class InstantTTS:
    name = "instant"

    async def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        yield tone()

    async def warm(self) -> None:
        tone()
