"""Providers of one process, made once for each way of speaking, shared by its calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent import Agent, AgentSession
from agent.clock import ThreadOffload
from agent.pipeline.canned import CannedAudio
from agent.providers.base import LLM, STT, TTS, VAD
from agent.providers.instant import InstantLLM, InstantSTT, InstantTTS
from agent.providers.silero import SileroVAD
from gateway.config import Settings, SpeechSettings

__all__ = ["ProviderSet", "preload_providers"]


def preload_providers(settings: Settings) -> None:
    """In the warm parent, before any fork: imports, models, one VAD a slot."""
    import soxr, numpy, pjsua2.pjsua2  # noqa

    SileroVAD.prepare(4)


class ProviderSet:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._offload = ThreadOffload()
        self._canned = CannedAudio()
        self._made: dict[SpeechSettings, tuple[VAD, STT, LLM, TTS]] = {}

    def session(self, speech: Mapping[str, Any], session: Mapping[str, Any]) -> AgentSession:
        """A session with a route's changes over the settings."""
        vad, stt, llm, tts = self._of(speech)
        return AgentSession(
            vad=vad,
            stt=stt,
            llm=llm,
            tts=tts,
            options=self._settings.session.overridden(session).options(),
            offload=self._offload,
            canned_audio=self._canned,
        )

    async def warm(self, speech: Mapping[str, Any]) -> None:
        """Load and connect, as far as that has not happened. Raises ProviderError."""
        _, stt, llm, tts = self._of(speech)
        await stt.warm()
        await llm.warm()
        await tts.warm()

    def _of(self, changes: Mapping[str, Any]) -> tuple[VAD, STT, LLM, TTS]:
        speech = self._settings.speech.overridden(changes)
        if speech not in self._made:
            self._made[speech] = (SileroVAD(), InstantSTT(), InstantLLM(), InstantTTS())
        return self._made[speech]
