"""The agent's words as audio, for others than the caller."""

from __future__ import annotations

from contextlib import aclosing

from agent.pipeline.canned import apology_tone, speak
from agent.pipeline.running import RunningSession
from agent.providers.base import ProviderError
from agent.speech.stage import spoken_piece

__all__ = ["SpeaksApart"]


class SpeaksApart:
    async def voiced(self, text: str) -> bytes:
        """This text in the active persona's voice, whole: 8 kHz audio, not played and not part of the conversation. A
        tone if the synthesis fails; empty without a voice, or once the session closes."""
        running = self._live()
        if running is None or (tts := running.activities.top.cast.tts) is None:
            return b""
        agent, runtime = running.activities.agent, running.runtime
        pcm = bytearray()
        try:
            spoken = spoken_piece(text, agent.language).spoken
            report = lambda error, action: runtime.provider_failed("tts", error, "retry")  # noqa: E731
            async with aclosing(speak(tts, agent, spoken, runtime.options, report)) as stream:
                async for audio in stream:
                    pcm += audio.pcm
        except ProviderError as error:
            runtime.provider_failed("tts", error, "canned")
        return bytes(pcm) or apology_tone()

    def _live(self) -> RunningSession | None:
        """The session once started, until it closes."""
        raise NotImplementedError
