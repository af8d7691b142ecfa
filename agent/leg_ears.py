"""Finds out who has answered a leg other than the caller's, by the session's own VAD and recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.answer_detector import AnswerDetector
from agent.pipeline.ears import Ears, EarsEvent, FailureTold, TextCame
from agent.pipeline.recognizer import RecognizerLimits
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import STT, VAD
from agent.turns.signals import Interim, SpeechEnded, SpeechStarted
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, Verdict, WhoAnswered
from telephony.media.frames import AudioFrame
from telephony.rooms.protocol import AudioInput

__all__ = ["LegEars"]


class LegEars:
    """`told` gets each verdict, corrections included, until `close`."""

    def __init__(
        self,
        hears: AudioInput,
        who: WhoAnswered,
        told: Callable[[AnsweredBy], None],
        *,
        agent: Agent,
        options: SessionOptions,
        tasks: SessionTasks,
        vad: VAD,
        stt: STT | None,
        failed: FailureTold,
    ) -> None:
        """`agent`: its language is recognised."""
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._told = told
        self._turn: SpokenTurn | None = None
        self._timers: list[asyncio.TimerHandle] = []
        limits = RecognizerLimits(options.stt_final_ms, options.retries, options.retry_backoff_ms)
        self._ears = Ears(
            agent, limits, tasks, detection="vad", vad=vad, stt=stt, heard=self._heard, failed=failed
        )  # fmt: skip
        self._detector = AnswerDetector(self._loop, who, self._event, lambda: None)
        self._ears.overheard_by(self._detector)
        self._ears.start()
        self._ears.want_interims(True)
        self._unsubscribe = hears.subscribe(self._frame)

    def we_speak(self, speaking: bool) -> None:
        """To that leg: what is heard meanwhile may be an echo."""
        self._detector.we_speak(speaking, self._loop.time())

    def close(self) -> None:
        """Idempotent."""
        self._unsubscribe()
        self._stop_timers()
        self._detector.stop()
        self._ears.overheard_by(None)
        self._ears.close()

    def _frame(self, frame: AudioFrame) -> None:
        self._ears.frame(frame, self._turn)

    def _event(self, event: AnsweringEvent) -> None:
        if isinstance(event, Verdict):
            self._told(event.answered_by)

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
                self._detector.words(text, at, final=False)
            case TextCame(transcript=transcript) if transcript is not None and transcript.text.strip():
                self._detector.words(transcript.text, self._loop.time(), final=True)

    def _flush(self) -> None:
        self._ears.flush(self._turn)

    def _turn_ends(self) -> None:
        self._turn = None

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
