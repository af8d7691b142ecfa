"""Announcements to a caller without a LiveKit room: synthesised in advance by the offline voice, else a tone."""

from __future__ import annotations

import asyncio

import structlog

from agent import Agent
from agent.pipeline.canned import apology_tone
from agent.providers.base import TTS, ProviderError
from agent.words import canned_words

__all__ = ["CannedSpeech"]

log = structlog.get_logger(__name__)

KEYS = ("goodbye_error", "goodbye_lost", "one_moment", "goodbye_drain")
_FALLBACK_VOICE = ("en-us", "en")  # a persona's voice may be another vendor's


class CannedSpeech:
    """One per process. Each sentence is synthesised once per voice."""

    def __init__(self, tts: TTS) -> None:
        self._tts = tts
        self._audio: dict[tuple[str, str, str], bytes] = {}
        self._making = asyncio.Lock()  # calls that begin together need it once

    def get(self, persona: type[Agent] | None, key: str) -> bytes:
        """8 kHz audio, at once."""
        if persona is not None:
            made = self._audio.get((persona.voice, persona.language, _words(persona, key)))
            if made is not None:
                return made
        return apology_tone()

    async def make(self, persona: type[Agent]) -> None:
        """Synthesise what is missing for this persona. Never raises."""
        async with self._making:
            await self._make(persona)

    async def _make(self, persona: type[Agent]) -> None:
        for key in KEYS:
            text = _words(persona, key)
            place = (persona.voice, persona.language, text)
            if place in self._audio:
                continue
            for voice, language in ((persona.voice, persona.language), _FALLBACK_VOICE):
                try:
                    self._audio[place] = await self._spoken(text, voice, language)
                    break
                except ProviderError as error:
                    log.debug("canned_not_made", voice=voice, error=str(error))

    async def _spoken(self, text: str, voice: str, language: str) -> bytes:
        pcm = bytearray()
        async for audio in self._tts.synthesize(text, voice=voice, language=language):
            pcm += audio.pcm
        return bytes(pcm)


def _words(persona: type[Agent], key: str) -> str:
    """Of the class: an instance is made where the conversation is, and nowhere else."""
    return canned_words(key, persona.canned, persona.language)
