"""Offline text to speech with espeak-ng: 2 ms to the first audio, with a mark for each word."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from agent.providers import _espeak_engine as engine
from agent.providers.base import Offload, ProviderBadRequest, ProviderUnavailable, SpokenAudio, WordMark
from agent.words import base_language
from telephony.media.frames import SAMPLE_RATE

__all__ = ["EspeakTTS", "find_voice", "spell_numbers"]

_NAME = "espeak"
_FIRST_BYTES = 2 * SAMPLE_RATE * 40 // 1000  # the first piece is short, so that speech starts early
_PIECE_BYTES = 2 * SAMPLE_RATE * 100 // 1000
_FIRST_MODELLED_MS = 5.0  # latency on a virtual clock until the first audio
_PIECE_MODELLED_MS = 0.0
_WORDS_PER_MINUTE = 165

# A telephone number, or a run too long to be an amount: spoken digit by digit.
_DIGIT_RUN = re.compile(
    r"(?<![\w.,])(?:\+\d[\d ()-]{5,}\d|\(?\d{3}\)?[ -]\d{3}-\d{4}|\d{3}-\d{4}|\d{6,})(?![\w]|[.,]\d)"
)


def spell_numbers(text: str) -> tuple[str, list[int]]:
    """Put spaces between the digits of telephone numbers and long runs. Returns the text to speak and, for each
    of its characters, the offset of that character in `text`."""
    spoken: list[str] = []
    offsets: list[int] = []
    at = 0
    for match in _DIGIT_RUN.finditer(text):
        spoken.append(text[at : match.start()])
        offsets.extend(range(at, match.start()))
        for offset, character in enumerate(match.group(), match.start()):
            if character.isdigit():
                piece = character + " "
            elif character == "+":
                piece = "plus "
            elif character in " -)" and spoken and spoken[-1] != ", ":
                piece = ", "  # the pause between groups
            else:
                continue
            spoken.append(piece)
            offsets.extend([offset] * len(piece))
        at = match.end()
    spoken.append(text[at:])
    offsets.extend(range(at, len(text)))
    return "".join(spoken), offsets


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


class _Job:
    """One text passing through the engine: resampled to 8 kHz and cut into pieces on the engine's thread."""

    def __init__(self, text: str, voice: str, words_per_minute: int) -> None:
        spoken, self._offsets = spell_numbers(text)
        self._pieces: queue.SimpleQueue[SpokenAudio | _End] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._resampler = soxr.ResampleStream(engine.SAMPLE_RATE, SAMPLE_RATE, 1, dtype="float32")
        self._pcm = bytearray()
        self._marks: list[WordMark] = []
        self._last_mark = -1
        self._wanted = _FIRST_BYTES
        engine.speak(engine.Speech(spoken, voice, words_per_minute, self._on_audio), self._on_done)

    def _on_audio(self, pcm: bytes, marks: list[tuple[int, float]]) -> bool:
        for offset, at_ms in marks:
            if 0 <= offset < len(self._offsets) and self._offsets[offset] > self._last_mark:
                # An amount like 29340 has a mark for each of its spoken words, some pointing back: one is enough.
                self._last_mark = self._offsets[offset]
                self._marks.append(WordMark(self._last_mark, at_ms))
        self._resample(np.frombuffer(pcm, np.int16).astype(np.float32))
        if len(self._pcm) >= self._wanted:
            self._emit()
        return not self._cancelled.is_set()

    def _resample(self, samples: npt.NDArray[np.float32], *, last: bool = False) -> None:
        # As floats: for integers soxr adds random dither, and the same text would not sound the same twice.
        out = self._resampler.resample_chunk(samples, last=last)
        self._pcm += np.clip(np.rint(out), -32768, 32767).astype(np.int16).tobytes()

    def _emit(self) -> None:
        marks, self._marks = tuple(self._marks), []
        self._pieces.put(SpokenAudio(bytes(self._pcm), marks))
        self._pcm.clear()
        self._wanted = _PIECE_BYTES

    def _on_done(self, error: BaseException | None) -> None:
        if error is None and not self._cancelled.is_set():
            self._resample(np.empty(0, np.float32), last=True)
            if self._pcm or self._marks:
                self._emit()
        self._pieces.put(_End(error))

    def next(self) -> SpokenAudio | _End:
        """Blocking; the engine is hundreds of times faster than real time."""
        return self._pieces.get()

    def cancel(self) -> None:
        self._cancelled.set()


def find_voice(voice: str, language: str, default: str) -> str:
    """espeak-ng's identifier for a voice; `voice` empty: `default` if it speaks the language, or no language is given,
    else the language's own voice. Raises ProviderBadRequest."""
    if voice:
        candidates = [voice]
    elif language and base_language(language) != base_language(default):
        candidates = [language, base_language(language)]
    elif language and language != base_language(language):
        candidates = [language, default]  # a region, as in "en-gb"
    else:
        candidates = [default]
    for candidate in candidates:
        try:
            return engine.find_voice(candidate)
        except engine.UnknownVoice:
            continue
    raise ProviderBadRequest(
        _NAME, f"no voice {candidates[0]!r}; `espeak-ng --voices` lists them, as in 'en-us' or 'en-us+f3'"
    )


class EspeakTTS:
    """`voice` of a persona is a language tag ("en-us"), a name or an identifier of espeak-ng, with an optional
    variant ("en-us+f3"); empty: `default_voice` if that speaks the language, or no language is given, else the
    language's own voice."""

    name = _NAME

    def __init__(
        self, offload: Offload, *, default_voice: str = "en-us", words_per_minute: int = _WORDS_PER_MINUTE
    ) -> None:
        self._offload = offload
        self._default_voice = default_voice
        self._words_per_minute = words_per_minute

    def _find(self, voice: str, language: str) -> str:
        return find_voice(voice, language, self._default_voice)

    async def warm(self) -> None:
        await self._offload(lambda: self._find(self._default_voice, ""), modelled_ms=0.0)

    async def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        if not text.strip():
            return
        job = await self._offload(
            lambda: _Job(text, self._find(voice, language), self._words_per_minute), modelled_ms=_FIRST_MODELLED_MS
        )
        try:
            while True:
                piece = await self._offload(job.next, modelled_ms=_PIECE_MODELLED_MS)
                if isinstance(piece, _End):
                    if piece.error is not None:
                        raise ProviderUnavailable(_NAME, str(piece.error)) from piece.error
                    return
                yield piece
        finally:
            job.cancel()
