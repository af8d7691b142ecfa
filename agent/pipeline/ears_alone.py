"""Ears without a session: turns begin with speech, are flushed and end with silence; nobody replies."""

from __future__ import annotations

import asyncio
from typing import Protocol

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.ears import Ears, EarsEvent, FailureTold, Overhears, TextCame
from agent.pipeline.recognizer import RecognizerLimits
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import STT, VAD
from agent.turns.signals import Interim, SpeechEnded, SpeechStarted
from telephony.media.frames import AudioFrame

__all__ = ["EarsAlone", "WordsTold"]


class WordsTold(Protocol):
    def __call__(self, text: str, at: float, *, final: bool) -> None:
        """Never without words."""


class EarsAlone:
    def __init__(
        self,
        agent: Agent,
        options: SessionOptions,
        limits: RecognizerLimits,
        tasks: SessionTasks,
        *,
        vad: VAD,
        stt: STT | None,
        words: WordsTold,
        failed: FailureTold,
    ) -> None:
        """`agent`: its language is recognised."""
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._words = words
        self._turn: SpokenTurn | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._ears = Ears(
            agent, limits, tasks, detection="vad", vad=vad, stt=stt, heard=self._heard, failed=failed
        )  # fmt: skip
        self._ears.start()
        self._ears.want_interims(True)

    def frame(self, frame: AudioFrame) -> None:
        self._ears.frame(frame, self._turn)

    def overheard_by(self, overhears: Overhears | None) -> None:
        self._ears.overheard_by(overhears)

    def cut(self, at: float) -> None:
        self._ears.cut(at)

    def close(self) -> None:
        """Idempotent."""
        self._stop_timers()
        self._ears.overheard_by(None)
        self._ears.close()

    def _heard(self, event: EarsEvent) -> None:
        match event:
            case SpeechStarted(at=at):
                self._stop_timers()
                self._turn = self._turn or SpokenTurn(at, at)
                self._ears.begin(self._turn, at)
            case SpeechEnded(at=at):
                self._timers = [
                    self._loop.call_at(at + self._options.flush_after_ms / 1000, self._flush),
                    self._loop.call_at(at + self._options.end_silence_ms / 1000, self._turn_ends),
                ]
            case Interim(text=text, at=at) if text.strip():
                self._words(text, at, final=False)
            case TextCame(transcript=transcript) if transcript is not None and transcript.text.strip():
                self._words(transcript.text, self._loop.time(), final=True)

    def _flush(self) -> None:
        self._ears.flush(self._turn)

    def _turn_ends(self) -> None:
        self._turn = None

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
