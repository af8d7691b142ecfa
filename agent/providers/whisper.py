"""Offline speech to text with Whisper base: many languages, and strings of digits. It takes a second per utterance,
whatever its length, so there are no partial texts.

`whisper/auto` detects the caller's language from the first utterance in which it is sure, and keeps it for the
rest of the call; `Transcript.language` names it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import soxr

from agent.providers import _whisper
from agent.providers._transcripts import Transcripts
from agent.providers.base import (
    Expectations,
    Offload,
    ProviderBadRequest,
    Transcript,
)
from telephony.media.frames import SAMPLE_RATE, AudioFrame

__all__ = ["WhisperSTT", "WhisperStream"]

_NAME = _whisper.NAME
_MODELLED_MS = 900.0  # latency of an utterance on a virtual clock
_LONGEST = 1_450  # frames, 29 s: its window is 30 s; only the end of a longer utterance is heard
_SURE_OF_LANGUAGE = 0.6
_LEAST_CONFIDENCE = 0.35
_LEAST_SAMPLES = SAMPLE_RATE // 5
_HINTS = 12  # names and products: more would slow it down and mislead it
# What Whisper hears in silence and noise.
_OF_NOISE = frozenset({"", "you", "thank you", "thank you for watching", "thanks for watching", "bye", "so"})
_SURE_OF_NOISE = 0.75
_NO_LETTERS = re.compile(r"[^\w' ]+")


class WhisperSTT:
    name = _NAME
    whole_turns = True
    final_s = 4.0  # the longest time for a text: several callers at once wait for each other

    def __init__(
        self,
        offload: Offload,
        *,
        identify: bool = False,
        load: Callable[[], _whisper.Listens] = _whisper.load,
    ) -> None:
        """`identify`: detect the language from the audio. `load`: returns the process's model."""
        self._offload = offload
        self._identify = identify
        self._load = load

    def stream(self, *, language: str, expectations: Expectations) -> WhisperStream:
        base = language.partition("-")[0].lower()
        if base and base not in _whisper.LANGUAGES:
            raise ProviderBadRequest(_NAME, f"it does not understand {language!r}")
        return WhisperStream(self._offload, self._load, "" if self._identify else base or "en", expectations)

    async def warm(self) -> None:
        await self._offload(self._load, modelled_ms=0.0)


class WhisperStream:
    """One call's recogniser."""

    def __init__(
        self, offload: Offload, load: Callable[[], _whisper.Listens], language: str, expectations: Expectations
    ) -> None:
        self._offload = offload
        self._load = load
        self._language = language
        self._expectations = expectations
        self._frames: list[bytes] = []
        self._work: asyncio.Queue[tuple[list[bytes], Expectations]] = asyncio.Queue()
        self._transcripts = Transcripts(_NAME)
        self._closed = False
        self._task = asyncio.create_task(self._run(), name=_NAME)

    def push(self, frame: AudioFrame) -> None:
        self._frames.append(frame.pcm)

    def flush(self) -> None:
        frames, self._frames = self._frames, []
        self._work.put_nowait((frames[-_LONGEST:], self._expectations))

    def expect(self, expectations: Expectations) -> None:
        self._expectations = expectations

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return aiter(self._transcripts)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._transcripts.end()

    async def _run(self) -> None:
        with self._transcripts.telling_failures():
            while True:
                frames, expectations = await self._work.get()
                self._transcripts.put(await self._final(frames, expectations))

    async def _final(self, frames: list[bytes], expectations: Expectations) -> Transcript:
        samples = _wide(frames)
        if len(samples) < _LEAST_SAMPLES * 2:
            return Transcript("", True, 0.0, self._language)
        hint, language = _hint(expectations), self._language
        heard = await self._offload(lambda: self._load().hear(samples, language, hint), modelled_ms=_MODELLED_MS)
        if not _means_words(heard):
            return Transcript("", True, heard.confidence, language)
        if not language and heard.language_sure >= _SURE_OF_LANGUAGE:
            self._language = heard.language
        return Transcript(heard.text, True, heard.confidence, heard.language)


def _means_words(heard: _whisper.Heard) -> bool:
    bare = _NO_LETTERS.sub("", heard.text.lower()).strip()
    if not bare or heard.confidence < _LEAST_CONFIDENCE:
        return False
    return bare not in _OF_NOISE or heard.confidence >= _SURE_OF_NOISE


def _hint(expectations: Expectations) -> str:
    """The names of slots' values, which it could not guess."""
    values = dict.fromkeys(value for values in expectations.slots.values() for value in values)
    return ", ".join(list(values)[:_HINTS])


def _wide(frames: list[bytes]) -> npt.NDArray[np.float32]:
    narrow = np.frombuffer(b"".join(frames), "<i2").astype(np.float32) / 32768.0
    if not len(narrow):
        return narrow
    return np.asarray(soxr.resample(narrow, SAMPLE_RATE, _whisper.SAMPLE_RATE, quality="HQ"), np.float32)
