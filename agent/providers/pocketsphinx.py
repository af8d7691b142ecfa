"""Offline speech to text with PocketSphinx: it recognises what the persona expects and rejects other speech. English
only. 8 kHz audio is decoded in worker threads while the caller speaks, so that little is left at the flush.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from agent.providers import _sphinx
from agent.providers._transcripts import Transcripts
from agent.providers.base import (
    Expectations,
    Offload,
    ProviderBadRequest,
    Transcript,
)
from agent.providers.phrases import PhraseError
from telephony.media.frames import AudioFrame

__all__ = ["Mode", "PocketSphinxSTT", "PocketSphinxStream"]

Mode = Literal["auto", "grammar", "dictation"]

_NAME = "pocketsphinx"
_BATCH_FRAMES = 5  # decoded at a time: 100 ms of audio
_FINAL_MODELLED_MS = 30.0  # latency on a virtual clock between flush and final text
_LEAST_CONFIDENCE = 0.5


class PocketSphinxSTT:
    """`mode` "auto": a grammar if phrases are expected, else dictation. `least_confidence`: anything below becomes an
    empty transcript, as speech outside the grammar."""

    name = _NAME
    whole_turns = True  # a grammar fits whole sentences, not the pieces that pauses make of them

    def __init__(self, offload: Offload, *, mode: Mode = "auto", least_confidence: float = _LEAST_CONFIDENCE) -> None:
        self._offload = offload
        self._mode = mode
        self._least_confidence = least_confidence

    def stream(self, *, language: str, expectations: Expectations) -> PocketSphinxStream:
        if language and language.partition("-")[0].lower() != "en":
            raise ProviderBadRequest(_NAME, f"it understands English only, not {language!r}")
        return PocketSphinxStream(self._offload, self._mode, self._least_confidence, expectations)

    async def warm(self) -> None:
        if _sphinx.pooled() == 0:
            dictation = self._mode == "dictation"
            await self._offload(lambda: _sphinx.prepare(1, dictation=dictation), modelled_ms=0.0)


class _Flush:
    """Marks the end of an utterance in the queue."""


class PocketSphinxStream:
    """One call's recogniser. It holds a decoder only while an utterance is being decoded."""

    def __init__(self, offload: Offload, mode: Mode, least_confidence: float, expectations: Expectations) -> None:
        self._offload = offload
        self._mode = mode
        self._least_confidence = least_confidence
        self._expectations = expectations
        self._next = expectations
        self._waiting: deque[bytes | _Flush | Expectations] = deque()
        self._arrived = asyncio.Event()
        self._transcripts = Transcripts(_NAME)
        self._recogniser: _sphinx.Recogniser | None = None
        self._cmn = ""  # learned from the call so far
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="pocketsphinx")

    @property
    def backlog(self) -> int:
        """How many frames and commands wait to be decoded."""
        return len(self._waiting)

    def push(self, frame: AudioFrame) -> None:
        self._put(frame.pcm)

    def flush(self) -> None:
        self._put(_Flush())

    def expect(self, expectations: Expectations) -> None:
        self._put(expectations)

    def _put(self, item: bytes | _Flush | Expectations) -> None:
        self._waiting.append(item)
        # Frames are decoded in batches: a thread hop for each would cost more than its decoding.
        if not isinstance(item, bytes) or len(self._waiting) >= _BATCH_FRAMES:
            self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return aiter(self._transcripts)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._arrived.set()
        await self._task  # a decoder in a thread cannot be left behind; a batch takes milliseconds
        self._transcripts.end()

    async def _run(self) -> None:
        try:
            with self._transcripts.telling_failures():
                while not self._closed:
                    await self._arrived.wait()
                    self._arrived.clear()
                    while self._waiting and not self._closed:
                        await self._step()
        finally:
            if self._recogniser is not None and self._closed:
                recogniser, self._recogniser = self._recogniser, None
                await self._offload(recogniser.abandon, modelled_ms=0.0)  # of dictation it takes up to a second
                _sphinx.give_back(recogniser)

    async def _step(self) -> None:
        """Decode a batch, or process the next item: a flush, a change of expectations."""
        frames: list[bytes] = []
        while self._waiting and isinstance(self._waiting[0], bytes) and len(frames) < _BATCH_FRAMES:
            frame = self._waiting.popleft()
            assert isinstance(frame, bytes)
            frames.append(frame)
        if frames:
            await self._offload(lambda: self._decode(frames), modelled_ms=0.0)
            return
        item = self._waiting.popleft()
        if isinstance(item, Expectations):
            if self._recogniser is None:
                self._expectations = item
            self._next = item
        elif isinstance(item, _Flush):
            heard = await self._offload(self._finish, modelled_ms=_FINAL_MODELLED_MS)
            self._transcripts.put(self._transcript(heard))
            self._expectations = self._next

    @property
    def _dictating(self) -> bool:
        return self._mode == "dictation" or (self._mode == "auto" and not self._expectations.phrases)

    def _decode(self, frames: Sequence[bytes]) -> None:
        if self._recogniser is None:
            if not self._dictating and not self._expectations.phrases:
                return  # nothing is expected, so nothing can be heard
            recogniser = _sphinx.borrow()
            try:
                recogniser.start(None if self._dictating else self._expectations, self._cmn)
            except PhraseError as error:
                _sphinx.give_back(recogniser)
                raise ProviderBadRequest(_NAME, str(error)) from error
            self._recogniser = recogniser
        for frame in frames:
            self._recogniser.feed(frame)

    def _finish(self) -> _sphinx.Heard:
        recogniser, self._recogniser = self._recogniser, None
        if recogniser is None:
            return _sphinx.Heard("", 0.0)
        heard, self._cmn = recogniser.finish()
        _sphinx.give_back(recogniser)
        return heard

    def _transcript(self, heard: _sphinx.Heard) -> Transcript:
        text = heard.text if heard.confidence >= self._least_confidence or self._dictating else ""
        return Transcript(text, final=True, confidence=heard.confidence, language="en")
