"""The session's voice and ears for others than the caller: a human who is to take them over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from agent.leg_ears import LegEars
from agent.leg_words import LegWords
from agent.pipeline.canned import apology_tone, speak
from agent.pipeline.recording import RecordingPauses
from agent.pipeline.running import RunningSession
from agent.privacy import Privacy
from agent.providers.base import STT, VAD, ProviderError
from agent.said import Heard, Said
from agent.speech.stage import spoken_piece
from telephony.media.answering.model import AnsweredBy, WhoAnswered
from telephony.rooms.protocol import AudioInput

__all__ = ["SpeaksApart"]


class SpeaksApart:
    _vad: VAD | None
    _stt: STT | None
    _privacy: Privacy
    _recording: RecordingPauses

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

    def screen(self, hears: AudioInput, who: WhoAnswered, told: Callable[[AnsweredBy], None]) -> LegEars | None:
        """Find out who has answered the leg that is heard there; close the result. None: nothing can be heard without a
        VAD, or once the session closes."""
        running = self._live()
        if running is None or self._vad is None:
            return None
        runtime = running.runtime
        return LegEars(
            hears, who, told, agent=running.activities.agent, options=runtime.options, tasks=runtime.tasks,
            vad=self._vad, stt=self._stt, failed=runtime.provider_failed,
        )  # fmt: skip

    @property
    def can_screen(self) -> bool:
        return self._vad is not None

    @property
    def thinks(self) -> bool:
        """Whether the active persona has a model."""
        running = self._live()
        return running is not None and running.activities.top.cast.bare_llm is not None

    def listen(self, hears: AudioInput, told: Callable[[Heard], None]) -> LegWords | None:
        """Have what is said there put into words, and noticed without a recogniser; close the result. None as for
        `screen`."""
        running = self._live()
        if running is None or self._vad is None:
            return None
        runtime = running.runtime

        def masked(heard: Heard) -> None:
            if not isinstance(heard, Said):
                told(heard)
            elif not self._recording:  # while the recording is paused, nothing is written down either
                told(replace(heard, text=self._privacy.value(heard.text)))

        return LegWords(
            hears, masked, agent=running.activities.agent, options=runtime.options, tasks=runtime.tasks, vad=self._vad,
            stt=self._stt, failed=runtime.provider_failed,
        )  # fmt: skip

    def _live(self) -> RunningSession | None:
        """The session once started, until it closes."""
        raise NotImplementedError
