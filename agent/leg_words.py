"""What is said on a leg that the conversation itself does not hear: whether somebody speaks, and in which words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.ears import Ears, EarsEvent, FailureTold, TextCame
from agent.pipeline.recognizer import RecognizerLimits
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import STT, VAD
from agent.said import Heard, Said
from agent.turns.signals import SpeechEnded, SpeechStarted
from telephony.rooms.protocol import AudioInput

__all__ = ["LegWords"]

LATE_S = 3.0  # after a turn: then its words are told without what a recogniser still owes


class LegWords:
    """`told` gets what is heard there, until `close`."""

    def __init__(
        self,
        hears: AudioInput,
        told: Callable[[Heard], None],
        *,
        agent: Agent,
        options: SessionOptions,
        tasks: SessionTasks,
        vad: VAD,
        stt: STT | None,
        failed: FailureTold,
    ) -> None:
        """`agent`: its language is recognised. `stt` None: nothing is recognised, only speech is noticed."""
        self._loop = asyncio.get_running_loop()
        self._told = told
        self._options = options
        self._turn: SpokenTurn | None = None
        self._open: list[SpokenTurn] = []  # not told yet, in order
        self._timers: list[asyncio.TimerHandle] = []
        limits = RecognizerLimits(options.stt_final_ms, options.retries, options.retry_backoff_ms)
        self._ears = Ears(agent, limits, tasks, detection="vad", vad=vad, stt=stt, heard=self._heard, failed=failed)
        self._ears.start()
        self._unsubscribe = hears.subscribe(lambda frame: self._ears.frame(frame, self._turn))

    def close(self) -> None:
        """Words that are known are told. Idempotent."""
        self._unsubscribe()
        self._stop_timers()
        self._ears.close()
        for turn in tuple(self._open):
            self._tell(turn)

    def _heard(self, event: EarsEvent) -> None:
        match event:
            case SpeechStarted(at=at):
                self._stop_timers()
                if self._turn is None:
                    self._turn = SpokenTurn(at, at)
                    self._open.append(self._turn)
                self._ears.begin(self._turn, at)
                self._told(event)
            case SpeechEnded(at=at):
                if self._turn is not None:
                    self._turn.ended_at = at
                self._timers = [
                    self._loop.call_at(at + self._options.flush_after_ms / 1000, self._flush),
                    self._loop.call_at(at + self._options.end_silence_ms / 1000, self._turn_ends),
                ]
                self._told(event)
            case TextCame(turn=turn, transcript=transcript, whole=whole):
                turn.awaited -= 1
                if transcript is not None and transcript.text.strip():
                    turn.texts = [transcript.text] if whole else [*turn.texts, transcript.text]
                self._settle(turn)

    def _flush(self) -> None:
        if self._turn is not None:
            self._turn.awaited += 1
            self._ears.flush(self._turn)

    def _turn_ends(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._settle(turn)
            self._loop.call_later(LATE_S, self._tell, turn)

    def _settle(self, turn: SpokenTurn) -> None:
        if turn is not self._turn and turn.awaited <= 0:
            self._tell(turn)

    def _tell(self, turn: SpokenTurn) -> None:
        if turn in self._open:
            self._open.remove(turn)
            if turn.text:
                self._told(Said(turn.text, turn.started_at, turn.ended_at))

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
