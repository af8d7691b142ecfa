"""What finding out who answered costs: CPU of a machine with its detectors, without the VAD and the recogniser, which
listen anyway."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from gateway.bench.answering.cases import AnsweredCall
from gateway.bench.answering.driving import MakeMachine, drive
from gateway.bench.answering.hearing import Heard
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, WhoAnswered

__all__ = ["cpu_share"]

_CACHES = 4 << 20  # bytes: in a live call 20 ms of other work have gone through the caches before each frame


def cpu_share(make: MakeMachine, heard: Sequence[tuple[AnsweredCall, Heard]]) -> float:
    """The share of a core that a call takes while its audio lasts, with cold caches at each frame."""
    other = np.ones(_CACHES // 8)
    spent, seconds = 0, 0.0
    for call, what in heard:
        timed: list[_Timed] = []

        def made(at: float, timed: list[_Timed] = timed) -> WhoAnswered:
            timed.append(_Timed(make(at), other))
            return timed[0]

        drive(made, call, what)
        spent += timed[0].spent_ns
        seconds += call.seconds
    return spent / 1e9 / seconds if seconds else 0.0


class _Timed:
    """Implements `WhoAnswered`: passes everything on, and counts this thread's CPU time."""

    def __init__(self, machine: WhoAnswered, other: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        self._machine = machine
        self._other = other
        self.spent_ns = 0

    def hear(self, pcm: bytes, at: float) -> tuple[AnsweringEvent, ...]:
        self._other.sum()
        began = time.thread_time_ns()
        events = self._machine.hear(pcm, at)
        self.spent_ns += time.thread_time_ns() - began
        return events

    def voice(self, probability: float, at: float) -> tuple[AnsweringEvent, ...]:
        began = time.thread_time_ns()
        events = self._machine.voice(probability, at)
        self.spent_ns += time.thread_time_ns() - began
        return events

    def words(self, text: str, at: float, *, final: bool) -> tuple[AnsweringEvent, ...]:
        began = time.thread_time_ns()
        events = self._machine.words(text, at, final=final)
        self.spent_ns += time.thread_time_ns() - began
        return events

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[AnsweringEvent, ...]:
        return self._machine.opinion(answered_by, at)

    def we_speak(self, speaking: bool, at: float) -> None:
        self._machine.we_speak(speaking, at)

    def due(self) -> float | None:
        began = time.thread_time_ns()
        due = self._machine.due()
        self.spent_ns += time.thread_time_ns() - began
        return due

    def tick(self, now: float) -> tuple[AnsweringEvent, ...]:
        began = time.thread_time_ns()
        events = self._machine.tick(now)
        self.spent_ns += time.thread_time_ns() - began
        return events
