"""Offline text to speech with hibari: a pleasant American English voice, 10 to 20 ms of work for a sentence.

The package hibari-tts (Apache-2.0) carries the voice "heart". Its other voices are files that it would fetch: that is
refused here, unless they lie in its cache folder already. Speech is the same each time for the same text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from agent.providers._kept_sentences import KeptSentences
from agent.providers._onnx import check_machine, files_of, open_model, worked
from agent.providers._packed import Packed
from agent.providers.base import Offload, ProviderBadRequest, ProviderUnavailable, SpokenAudio
from telephony.media.frames import SAMPLE_RATE

__all__ = ["HibariTTS", "load", "prepare", "speech_of", "voice_problem"]

_NAME = "hibari"
_RATE = 24_000
_VOICE = "heart"
_HASHES = {"hibari.onnx": "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"}  # of hibari-tts 0.2.1
_NEEDS_MIB = 80
_LOUDER = 10 ** (10.5 / 20)  # it speaks at -27 dBFS, telephones want some -16
_LIMIT = 0.97
_FIRST_WORDS = "For tomorrow morning I would like an appointment with Dr. Zwiebelmann, at nine thirty or 10:15."
_turn = Lock()  # calls of a process one after the other: each sentence takes tens of MiB while it is made
_FADE = SAMPLE_RATE * 4 // 1000
_SILENT = 0.003  # -50 dB full scale
_LEAD = SAMPLE_RATE * 30 // 1000
_TAIL = SAMPLE_RATE * 220 // 1000  # the pause between two sentences
_PIECE_BYTES = 2 * SAMPLE_RATE * 100 // 1000
_SENTENCE_MODELLED_MS = 15.0
_kept = KeptSentences(4_000_000, 1_000_000)  # bytes: four minutes for all processes, one for each


@cache
def load(voice: str) -> Any:
    """The process' model of a voice. Raises ProviderUnavailable, ProviderBadRequest."""
    if problem := voice_problem(voice, ""):
        raise ProviderBadRequest(_NAME, problem)
    check_machine(_NAME, _NEEDS_MIB)
    if voice == _VOICE:
        files_of(_NAME, "hibari", "assets", _HASHES, "trunkline[speech]")
    try:
        from hibari import Hibari

        model = Hibari(voice=voice)
        model.sess = open_model(_NAME, Path(model.model_path))  # its own keeps what its longest sentence ever took
        _pack(model.g2p)
        model(_FIRST_WORDS, seed=0)  # what is loaded now, before the fork, is shared
    except Exception as error:  # its errors have no common base
        raise ProviderUnavailable(_NAME, f"the voice {voice} cannot be loaded: {error}") from error
    return model


def _pack(g2p: Any) -> None:
    """Its dictionaries take 65 MiB as they are."""
    lexicon, tagger = g2p.lexicon, g2p.tagger
    for words in (lexicon.golds, lexicon.silvers):
        words.d = Packed(words.d)
    tagger.tagdict, tagger.weights = Packed(tagger.tagdict), Packed(tagger.weights)


def voice_problem(voice: str, language: str) -> str:
    """Why it can't speak with this voice, or in this language; empty: it can."""
    if language and language.partition("-")[0].lower() != "en":
        return f"it speaks English only, not {language!r}"
    if voice in ("", _VOICE) or _is_language(voice):
        return ""
    try:
        from hibari.voices import VOICES, cache_dir
    except ImportError:
        return "the package hibari-tts is not installed: pip install 'trunkline[speech]'"
    if voice not in VOICES:
        return f"no voice {voice!r}; available: {', '.join(VOICES)}"
    path = Path(cache_dir()) / VOICES[voice]["file"]
    if not path.exists():
        return f"the voice {voice!r} is not on this machine, and nothing is fetched while calls run: put it at {path}"
    return ""


def prepare(texts: Iterable[str], voice: str = "") -> None:
    """Speak these once for all calls. For the warm parent, before it forks: 10 to 30 ms each. What finds no room is
    spoken when it is wanted. Raises ProviderUnavailable, ProviderBadRequest."""
    chosen = _chosen(voice)
    for text in texts:
        known = _kept.get(chosen, text) is not None
        if not known and not _kept.keep_for_all(chosen, text, _spoken(text, chosen)):
            return


class HibariTTS:
    """`voice` of a persona: "heart", or another of hibari's whose file is there; a language tag means the default."""

    name = _NAME

    def __init__(self, offload: Offload, *, default_voice: str = _VOICE) -> None:
        self._offload = offload
        self._default_voice = default_voice

    async def warm(self) -> None:
        await self._offload(lambda: load(self._default_voice), modelled_ms=0.0)

    async def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        if not text.strip():
            return
        if problem := voice_problem(voice, language):
            raise ProviderBadRequest(_NAME, problem)
        wanted = _chosen(voice, self._default_voice)
        pcm = await self._offload(lambda: speech_of(text, wanted), modelled_ms=_SENTENCE_MODELLED_MS)
        for at in range(0, len(pcm), _PIECE_BYTES):
            yield SpokenAudio(pcm[at : at + _PIECE_BYTES])


def _is_language(voice: str) -> bool:
    """A tag that says no more than that it is American English."""
    return voice.lower() in ("en", "en-us")


def _chosen(voice: str, default: str = _VOICE) -> str:
    return default if voice == "" or _is_language(voice) else voice


def speech_of(text: str, voice: str) -> bytes:
    """Blocking. 8 kHz, in the telephone's band, without a step at either end. Spoken once, kept for a while."""
    chosen = _chosen(voice)
    pcm = _kept.get(chosen, text)
    if pcm is None:
        pcm = _spoken(text, chosen)
        _kept.keep(chosen, text, pcm)
    return pcm


def _spoken(text: str, voice: str) -> bytes:
    model = load(voice)
    try:
        with _turn:
            wide: npt.NDArray[np.float32] = model(text, seed=0)
            worked()
    except Exception as error:  # as above
        raise ProviderUnavailable(_NAME, f"a sentence could not be spoken: {error}") from error
    narrow = soxr.resample(wide, _RATE, SAMPLE_RATE, quality="HQ")
    loud = np.asarray(narrow, np.float32) * _LOUDER
    loud = np.where(np.abs(loud) > 0.7, np.sign(loud) * _softened(np.abs(loud)), loud)
    loud = _without_silence(loud)
    if len(loud) > 2 * _FADE:
        ramp = np.linspace(0.0, 1.0, _FADE, dtype=np.float32)
        loud[:_FADE] *= ramp
        loud[-_FADE:] *= ramp[::-1]
    return bytes(np.rint(loud * 32767).astype("<i2").tobytes())


def _without_silence(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """It begins with 320 ms of silence, for which a caller would wait, and ends with 460."""
    heard = np.flatnonzero(np.abs(sound) > _SILENT)
    return sound[max(0, heard[0] - _LEAD) : heard[-1] + _TAIL] if len(heard) else sound


def _softened(loudness: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Peaks over 0.7 are rounded towards 0.97 and never cut off."""
    return np.asarray(0.7 + (_LIMIT - 0.7) * np.tanh((loudness - 0.7) / (_LIMIT - 0.7)), np.float32)
