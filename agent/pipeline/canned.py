"""Sentences made ahead, for when nothing else works, and a tone for when even they are missing."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache, lru_cache

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.attempts import AttemptLimits, FailureReport, attempts
from agent.providers.base import TTS, ProviderError, SpokenAudio
from agent.speech.stage import spoken_piece
from telephony.media.frames import SAMPLE_RATE

__all__ = [
    "MADE_AHEAD",
    "CannedAudio",
    "apology_tone",
    "in_spoken_form",
    "place_of",
    "speak",
    "speak_canned",
    "speak_filler",
    "waiting_tone",
]

MADE_AHEAD = ("one_moment", "still_working", "unavailable", "goodbye_error")
_FILLER_FIRST_AUDIO_MS = 700  # slower synthesis cannot bridge a wait


class CannedAudio:
    """Speech of canned sentences by voice and words. Sessions of one process may share it."""

    def __init__(self, max_bytes: int = 4_000_000) -> None:
        self._audio: dict[tuple[str | int | None, str, str, str], bytes] = {}
        self._room_left = max_bytes
        self._spoken_by: list[object] = []  # kept alive so that their ids stay unique

    def get(self, agent: Agent, text: str) -> bytes | None:
        return self._audio.get(place_of(agent, text))

    async def make(self, agent: Agent, tts: TTS, options: SessionOptions, report: FailureReport) -> None:
        """Synthesise this persona's missing sentences. Raises ProviderError."""
        for text in (in_spoken_form(agent, key) for key in MADE_AHEAD):
            key = place_of(agent, text)
            if key in self._audio:
                continue
            pcm = bytearray()
            async with aclosing(speak(tts, agent, text, options, report)) as stream:
                async for audio in stream:
                    pcm += audio.pcm
            if 0 < len(pcm) <= self._room_left:
                self._room_left -= len(pcm)
                self._audio[key] = bytes(pcm)
                self._spoken_by.append(agent.tts)


def place_of(agent: Agent, text: str) -> tuple[str | int | None, str, str, str]:
    """Who speaks which words: what makes the same audio."""
    own = agent.tts if agent.tts is None or isinstance(agent.tts, str) else id(agent.tts)
    return own, agent.voice, agent.language, text


def in_spoken_form(agent: Agent, key: str) -> str:
    """Canned words in the form that the synthesis gets."""
    return _in_spoken_form(agent.say_canned(key), agent.language)


@lru_cache(maxsize=256)
def _in_spoken_form(text: str, language: str) -> str:
    """The same few sentences at the beginning of each call."""
    return spoken_piece(text, language).spoken


@cache
def apology_tone() -> bytes:
    """Three falling notes, 600 ms: signals "that did not work" without words."""
    samples = array("h")
    for hertz in (659, 523, 392):
        count = SAMPLE_RATE // 5
        for n in range(count):
            fade = min(1.0, n / 80, (count - n) / 400)
            samples.append(round(5000 * fade * math.sin(2 * math.pi * hertz * n / SAMPLE_RATE)))
    return samples.tobytes()


@cache
def waiting_tone() -> bytes:
    """Two soft notes, 400 ms: "still here", if no speech is available."""
    samples = array("h")
    for hertz in (440, 440):
        count = SAMPLE_RATE // 5
        for n in range(count):
            fade = min(1.0, n / 160, (count - n) / 800)
            samples.append(round(2500 * fade * math.sin(2 * math.pi * hertz * n / SAMPLE_RATE)))
    return samples.tobytes()


def limits_of(options: SessionOptions) -> AttemptLimits:
    return AttemptLimits(options.tts_first_audio_ms, options.tts_stall_ms, options.retries, options.retry_backoff_ms)


def speak(
    tts: TTS, agent: Agent, text: str, options: SessionOptions, report: FailureReport
) -> AsyncGenerator[SpokenAudio, None]:
    """One piece of an ordinary utterance. Raises ProviderError."""
    return attempts(
        tts.name,
        lambda: tts.synthesize(text, voice=agent.voice, language=agent.language),
        limits_of(options),
        report,
        lambda audio: bool(audio.pcm),
        may_be_empty=not any(character.isalnum() for character in text),
    )


async def speak_canned(
    tts: TTS,
    agent: Agent,
    text: str,
    options: SessionOptions,
    report: FailureReport,
    canned: CannedAudio,
    fallback: str,
) -> AsyncGenerator[SpokenAudio, None]:
    """A canned sentence: made ahead, else from TTS, else the `fallback` sentence made ahead, else a tone. Never
    raises."""
    made = canned.get(agent, text)
    if made is not None:
        yield SpokenAudio(made)
        return
    begun = False
    try:
        async with aclosing(speak(tts, agent, text, options, report)) as stream:
            async for audio in stream:
                begun = True
                yield audio
    except ProviderError:
        if not begun:
            yield SpokenAudio(canned.get(agent, fallback) or apology_tone())


async def speak_filler(
    tts: TTS, agent: Agent, text: str, options: SessionOptions, canned: CannedAudio
) -> AsyncGenerator[SpokenAudio, None]:
    """Made ahead, else from TTS if that is quick, else two soft notes: the wait that it bridges may be for this same
    TTS. Never raises."""
    made = canned.get(agent, text)
    if made is not None:
        yield SpokenAudio(made)
        return
    begun = False
    limits = AttemptLimits(_FILLER_FIRST_AUDIO_MS, options.tts_stall_ms, 0, 0)
    try:
        stream = attempts(
            tts.name,
            lambda: tts.synthesize(text, voice=agent.voice, language=agent.language),
            limits,
            lambda error, action: None,
            lambda audio: bool(audio.pcm),
        )
        async with aclosing(stream):
            async for audio in stream:
                begun = True
                yield audio
    except ProviderError:
        if not begun:
            yield SpokenAudio(waiting_tone())
