"""Finds out who has answered a leg other than the caller's, by the session's own VAD and recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.answer_detector import AnswerDetector
from agent.pipeline.ears import FailureTold
from agent.pipeline.ears_alone import EarsAlone
from agent.pipeline.recognizer import RecognizerLimits
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import STT, VAD
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, Verdict, WhoAnswered
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
        self._told = told
        self._detector = AnswerDetector(self._loop, who, self._event, lambda: None)
        limits = RecognizerLimits(options.stt_final_ms, options.retries, options.retry_backoff_ms)
        self._ears = EarsAlone(
            agent, options, limits, tasks, vad=vad, stt=stt, words=self._detector.words, failed=failed
        )  # fmt: skip
        self._ears.overheard_by(self._detector)
        self._unsubscribe = hears.subscribe(self._ears.frame)

    def we_speak(self, speaking: bool) -> None:
        """To that leg: what is heard meanwhile may be an echo."""
        self._detector.we_speak(speaking, self._loop.time())

    def close(self) -> None:
        """Idempotent."""
        self._unsubscribe()
        self._detector.stop()
        self._ears.close()

    def _event(self, event: AnsweringEvent) -> None:
        if isinstance(event, Verdict):
            self._told(event.answered_by)
