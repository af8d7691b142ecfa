"""Speech that is made before it is needed: what is said to whoever answers, while the phone rings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing

from agent.answering import Answering
from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.canned import place_of, speak
from agent.pipeline.sound_file import load_sound
from agent.providers.base import TTS, Offload, ProviderError, SpokenAudio
from agent.speech.intake import Intake
from agent.speech.stage import SpeechText, spoken_piece
from telephony.media.wav import BadWavFile

__all__ = ["INTERRUPTED", "SpeechAhead"]

INTERRUPTED = "message_interrupted"  # the key of the canned words to a person who picks up during the message
_MOST_BYTES = 2_000_000  # two minutes
_log = logging.getLogger(__name__)


class SpeechAhead:
    """By voice and words, in the pieces in which an utterance asks for them."""

    def __init__(self) -> None:
        self._made: dict[object, tuple[SpokenAudio, ...]] = {}
        self._room_left = _MOST_BYTES
        self._making = asyncio.Lock()  # while it rings, and again from the answer on
        self.recording: bytes | None = None  # the message's, if it is one

    def get(self, agent: Agent, spoken: str) -> tuple[SpokenAudio, ...] | None:
        return self._made.get(place_of(agent, spoken)) if self._made else None

    async def load(self, answering: Answering, offload: Offload) -> None:
        """The message's recording, unless it has been. A failure is logged: then there is no message."""
        path = answering.recording
        if path is None or self.recording is not None:
            return
        try:
            self.recording = await offload(lambda: load_sound(path), modelled_ms=0.0)
        except (OSError, BadWavFile) as error:
            _log.error("the recording of the message cannot be played: %s", error)

    async def make(self, agent: Agent, tts: TTS, options: SessionOptions, text: str, *, whole: bool = False) -> None:
        """Make what is missing of a text. `whole`: it will be spoken in one piece. A failure leaves the rest to be made
        when it is needed."""
        try:
            for piece in _pieces(text, agent.language, whole=whole):
                await self._make(agent, tts, options, piece)
        except ProviderError:
            return

    async def make_all(self, agent: Agent, tts: TTS, options: SessionOptions, answering: Answering) -> None:
        """What may be said to whoever answers, the likeliest first."""
        async with self._making:
            for text, whole in _said(agent, answering):
                await self.make(agent, tts, options, text, whole=whole)

    async def _make(self, agent: Agent, tts: TTS, options: SessionOptions, spoken: str) -> None:
        place = place_of(agent, spoken)
        if place in self._made:
            return
        made: list[SpokenAudio] = []
        async with aclosing(speak(tts, agent, spoken, options, lambda error, action: None)) as stream:
            async for audio in stream:
                made.append(audio)
        size = sum(len(audio.pcm) for audio in made)
        if 0 < size <= self._room_left:
            self._room_left -= size
            self._made[place] = tuple(made)


def _said(agent: Agent, answering: Answering) -> Iterator[tuple[str, bool]]:
    """Each text, and whether it is spoken in one piece."""
    yield agent.greeting, False
    if answering.message and answering.recording is None:
        yield answering.message, False
        yield agent.say_canned(INTERRUPTED), True
    yield answering.screener, False


def _pieces(text: str, language: str, *, whole: bool) -> list[str]:
    intake = Intake()
    text = (intake.push(text) + intake.flush()).strip()
    if whole:
        return [spoken_piece(text, language).spoken] if text else []
    speech = SpeechText(language)
    return [piece.spoken for piece in (*speech.push(text), *speech.flush())]
