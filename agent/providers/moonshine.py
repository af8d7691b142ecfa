"""Offline speech to text with Moonshine: dictation of English sentences, without a grammar.

A caller's utterance is kept and heard anew as it grows, for partial texts, and once more at the flush. Strings of
digits are its weakness: where the persona expects some, another recogniser listens beside it (PocketSphinx with the
persona's grammar, or Whisper), and is believed where Moonshine did not hear as many as are expected.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import numpy.typing as npt
import soxr

from agent.providers import _moonshine
from agent.providers._corrections import alternatives, corrected
from agent.providers._rules_hearing import compared
from agent.providers._transcripts import Transcripts
from agent.providers.base import (
    STT,
    Expectations,
    Offload,
    ProviderBadRequest,
    SpeechStream,
    Transcript,
)
from agent.providers.phrases import spoken_digits
from telephony.media.frames import FRAME_BYTES, FRAME_MS, SAMPLE_RATE, AudioFrame

__all__ = ["MoonshineSTT", "MoonshineStream"]

_NAME = _moonshine.NAME
_FINAL_MODELLED_MS = 60.0  # what a virtual clock counts between flush and final
_PARTIAL_MODELLED_MS = 60.0
_PARTIAL_EVERY = 800 // FRAME_MS  # frames of new speech for another partial text,
_PARTIAL_SHARE = 0.6  # or this share of what was heard: the work for each grows with it
_LONGEST = 12_000 // FRAME_MS  # frames that are heard at once; of a longer utterance the beginning is done with
_CUT_WITHIN = 4_000 // FRAME_MS  # before that, at the quietest frame
_LEAST_CONFIDENCE = 0.45
_LEAST_DIGITS_CONFIDENCE = 0.5
_FEW_WORDS = 5
_LEAST_OF_FEW = 0.3  # confidence of the least sure one: noise and breath give few words, one of them by chance
_LEAST_OF_ONE = 0.37  # of a single word
# What the model makes of silence, music, breath and crackle, and how sure it must be of it to have heard it.
_OF_NOISE = {
    "you": 0.93, "so": 0.93, "oh": 0.93, "the": 0.93, "thank you for watching": 0.93, "thanks for watching": 0.93,
    "mm": 0.7, "mmhmm": 0.6, "hmm": 0.7, "bye": 0.4, "thank you": 0.36,
}  # fmt: skip
_LEVEL = 0.1  # of speech, as a root mean square of 1: the model was not trained on quiet lines


class MoonshineSTT:
    """`least_confidence`: what is heard with less becomes an empty transcript (noise, a cough, a foreign language)."""

    name = _NAME
    whole_turns = True  # it hears sentences, not the pieces that pauses make of them
    final_s = 3.0  # on a busy machine it is slow; asking a second recogniser then would make that worse

    def __init__(
        self, offload: Offload, *, digits: STT | None = None, least_confidence: float = _LEAST_CONFIDENCE
    ) -> None:
        """`digits`: who listens beside it where digits are expected."""
        self._offload = offload
        self._digits = digits
        self._least_confidence = least_confidence

    def stream(self, *, language: str, expectations: Expectations) -> MoonshineStream:
        if language and language.partition("-")[0].lower() != "en":
            raise ProviderBadRequest(_NAME, f"it understands English only, not {language!r}")
        return MoonshineStream(self._offload, self._digits, language, self._least_confidence, expectations)

    async def warm(self) -> None:
        await self._offload(_moonshine.load, modelled_ms=0.0)


class MoonshineStream:
    """One call's recogniser. The model runs in threads, for one utterance at a time."""

    def __init__(
        self,
        offload: Offload,
        digits: STT | None,
        language: str,
        least_confidence: float,
        expectations: Expectations,
    ) -> None:
        self._offload = offload
        self._digits_stt = digits
        self._language = language
        self._least_confidence = least_confidence
        self._expectations = self._next = expectations
        self._frames: list[bytes] = []
        self._done: list[str] = []  # texts of the beginning of a long utterance
        self._guess: tuple[int, ...] = ()  # what was heard last,
        self._guess_of: bytes | None = None  # in speech that began with this frame
        self._heard_to = 0  # frames that the last partial text was made of
        self._digits: SpeechStream | None = None
        self._transcripts = Transcripts(_NAME)
        self._work: asyncio.Queue[list[bytes] | None] = asyncio.Queue()
        self._busy = False
        self._interims = True  # wanted
        self._closed = False
        self._task = asyncio.create_task(self._run(), name=_NAME)

    def push(self, frame: AudioFrame) -> None:
        if not self._frames:
            self._begin_digits()
        self._frames.append(frame.pcm)
        if self._digits is not None:
            self._digits.push(frame)
        fresh = len(self._frames) - self._heard_to
        due = fresh >= max(_PARTIAL_EVERY, self._heard_to * _PARTIAL_SHARE)
        if due and self._interims and not self._busy:
            self._heard_to = len(self._frames)
            self._busy = True
            self._work.put_nowait(list(self._frames))

    def flush(self) -> None:
        frames, self._frames, self._heard_to = self._frames, [], 0
        if self._digits is not None:
            self._digits.flush()
        self._work.put_nowait(None)
        self._work.put_nowait(frames)

    def expect(self, expectations: Expectations) -> None:
        self._next = expectations
        if not self._frames:
            self._expectations = expectations

    def want_interims(self, wanted: bool) -> None:
        self._interims = wanted

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return aiter(self._transcripts)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._digits is not None:
            await self._digits.aclose()
        self._transcripts.end()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _begin_digits(self) -> None:
        self._expectations = self._next
        wanted = self._digits_stt if self._expectations.digits and self._expectations.phrases else None
        if wanted is not None and self._digits is None:
            self._digits = wanted.stream(language=self._language, expectations=self._expectations)
        elif self._digits is not None:
            self._digits.expect(self._expectations)

    async def _run(self) -> None:
        """In order: partial texts, and for each flush (None, then its frames) one final text."""
        with self._transcripts.telling_failures():
            while True:
                frames = await self._work.get()
                if frames is None:
                    final = await self._work.get()
                    assert final is not None
                    self._transcripts.put(await self._final(final))
                else:
                    await self._partial(frames)
                    self._busy = False

    async def _partial(self, frames: list[bytes]) -> None:
        if self._work.qsize():
            return  # the final text is wanted already
        heard = await self._hear(frames[-_LONGEST:], None, _PARTIAL_MODELLED_MS)
        if self._means_words(heard):
            self._transcripts.put(Transcript(_plain(heard.text), False, heard.confidence, "en"))

    async def _hear(self, frames: list[bytes], expected: Expectations | None, modelled_ms: float) -> _moonshine.Heard:
        """What is heard in the beginning of an utterance, or of a turn that goes on, is likely heard again."""
        first = frames[0] if frames else None
        guess = self._guess if first is self._guess_of else ()
        heard = await self._offload(lambda: _hear(frames, expected, guess), modelled_ms=modelled_ms)
        self._guess, self._guess_of = heard.tokens, first
        return heard

    async def _final(self, frames: list[bytes]) -> Transcript:
        texts: list[str] = []
        sure: list[float] = []
        for piece in _pieces(frames):
            heard = await self._hear(piece, self._expectations, _FINAL_MODELLED_MS)
            if self._means_words(heard):
                texts.append(corrected(heard.words, self._expectations))
                sure.append(heard.confidence)
        text = _plain(" ".join(texts))
        digits = await self._heard_digits()
        if digits is not None and not self._is_number(text):
            return digits
        return Transcript(text, True, min(sure, default=0.0), "en")

    def _is_number(self, text: str) -> bool:
        """Whether it has as many digits as are expected: then it is likelier right than what a grammar made of it."""
        runs = spoken_digits(compared(text))
        return any(low <= len(run) <= high for run in runs for low, high in self._expectations.digits.values())

    async def _heard_digits(self) -> Transcript | None:
        """What PocketSphinx made of the utterance, where the persona expects digits and it heard some."""
        if self._digits is None:
            return None
        heard: object = None
        while not (isinstance(heard, Transcript) and heard.final):
            heard = await anext(aiter(self._digits))
        spoken = sum(word in _DIGIT_WORDS for word in heard.text.split())
        least = min(low for low, _ in self._expectations.digits.values()) if self._expectations.digits else 1
        return heard if heard.confidence >= _LEAST_DIGITS_CONFIDENCE and spoken >= least else None

    def _means_words(self, heard: _moonshine.Heard) -> bool:
        return means_words(heard, self._least_confidence)


def means_words(heard: _moonshine.Heard, least_confidence: float = _LEAST_CONFIDENCE) -> bool:
    """Whether somebody spoke: noise and breath give words too, of which the model is not sure."""
    bare = _NO_LETTERS.sub("", heard.text.lower()).strip()
    if not bare or heard.confidence < least_confidence:
        return False
    least = min(word.confidence for word in heard.words)
    if len(heard.words) > _FEW_WORDS:
        return True
    return least >= _OF_NOISE.get(bare, _LEAST_OF_ONE if len(heard.words) == 1 else _LEAST_OF_FEW)


_NO_LETTERS = re.compile(r"[^a-z0-9' ]+")
_DIGIT_WORDS = frozenset(
    ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double", "triple")
)
_SPELLINGS = {"to-morrow": "tomorrow", "to-day": "today", "to-night": "tonight", "good-bye": "goodbye"}


def _plain(text: str) -> str:
    """Some words as they are written today."""
    for old, new in _SPELLINGS.items():
        text = text.replace(old, new).replace(old.capitalize(), new.capitalize())
    return text


def _pieces(frames: list[bytes]) -> list[list[bytes]]:
    """An utterance of more than 12 s in pieces, cut where it is quietest."""
    pieces: list[list[bytes]] = []
    while len(frames) > _LONGEST:
        window = range(_LONGEST - _CUT_WITHIN, _LONGEST)
        at = min(window, key=lambda index: _loudness(frames[index]))
        pieces.append(frames[:at])
        frames = frames[at:]
    return [*pieces, frames]


def _loudness(pcm: bytes) -> float:
    return float(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).mean())


def _hear(frames: list[bytes], expectations: Expectations | None, guess: Sequence[int] = ()) -> _moonshine.Heard:
    """Blocking. `expectations` None: for a partial text. `guess`: the tokens that it may begin with."""
    model = _moonshine.load()
    narrow = np.frombuffer(b"".join(frames), "<i2").astype(np.float32) / 32768.0
    if len(narrow) * 2 < FRAME_BYTES:
        return _moonshine.Heard((), 1.0)
    wide: npt.NDArray[np.float32] = soxr.resample(narrow, SAMPLE_RATE, _moonshine.SAMPLE_RATE, quality="HQ")
    level = float(np.sqrt((wide**2).mean()))
    expected = partial(alternatives, expectations=expectations) if expectations and expectations.phrases else None
    loud = wide * min(8.0, _LEVEL / level) if level > 1e-4 else wide
    return model.hear(loud, expected, final=expectations is not None, guess=guess)
