"""The agent's speech while the caller speaks: paused, resumed or stopped, as the pure machine decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.pipeline.activities import Activities
from agent.pipeline.alarm import Alarm
from agent.pipeline.runtime import Runtime
from agent.pipeline.talker import Talker
from agent.pipeline.voice import CANNED_KINDS
from agent.turns.interruption import (
    Interruption,
    InterruptionAction,
    InterruptionSettings,
    PauseOutput,
    ResumeOutput,
    Situation,
)
from agent.turns.signals import Signal

__all__ = ["BargeIn", "BargeInEvent", "Interrupted", "Judged", "NoInterruption"]


@dataclass(frozen=True, slots=True)
class NoInterruption:
    """The caller's sound is not a turn: a cough, or just "okay"."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The agent's speech was stopped. `cut_answer`: it was more than a canned phrase."""

    cut_answer: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """The output was paused, or a decision was carried out: who is busy may have changed."""


BargeInEvent = NoInterruption | Interrupted | Judged


class BargeIn:
    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        talker: Talker,
        *,
        has_transcripts: bool,
        happened: Callable[[BargeInEvent], None],
    ) -> None:
        options = runtime.options
        self._activities = activities
        self._talker = talker
        self._happened = happened
        self._machine = Interruption(
            InterruptionSettings(
                min_duration_ms=options.min_interruption_ms,
                backchannel_max_ms=options.backchannel_max_ms,
                max_pause_ms=options.max_pause_ms,
                has_transcripts=has_transcripts,
            )
        )
        self._alarm = Alarm(runtime.loop, self._machine, self._judge)

    @property
    def judging(self) -> bool:
        """The output is paused, and the caller's intention is not known yet."""
        return self._machine.state == "judging"

    @property
    def answer_expected(self) -> bool:
        """Whether a mere "yes" or "okay" would mean something."""
        speaker = self._talker.speaker
        return speaker.asked if self._talker.working and speaker.unheard else speaker.answer_expected

    def heard(self, signal: Signal, *, may_interrupt: bool) -> None:
        self._judge(self._machine.heard(signal, self._situation(may_interrupt)))
        self._alarm.set()

    def changed(self, now: float, *, speaking: bool, may_interrupt: bool) -> None:
        """The agent began or ended being busy. `speaking`: the caller is."""
        if not self._talker.busy:
            self._machine.agent_done()
            self._talker.speaker.resume()
        elif speaking and not self.judging:
            self._judge(self._machine.agent_started(now, self._situation(may_interrupt)))
        self._alarm.set()

    def stand_still(self) -> None:
        """Drop the pending decision."""
        self._machine.agent_done()
        self._alarm.cancel()

    def interrupt(self, *, settled: bool = True) -> None:
        """Stop the current speech. `settled`: the caller is certainly saying something."""
        if self._activities.top.asking:
            # A tool is waiting for the caller's message: only the speech stops.
            self._talker.speaker.interrupt()
        elif self._talker.working and not settled:
            # Its outcome is still needed if the caller only coughed, so it waits until that is known.
            self._talker.speaker.interrupt()
            self._talker.caller_goes_on()
        else:
            self._talker.interrupt()
        self._talker.speaker.resume()

    def _situation(self, may_interrupt: bool) -> Situation:
        talker = self._talker
        return Situation(
            interruptible=talker.interruptible and may_interrupt,
            words_only=talker.speaker.unheard,
            answer_expected=self.answer_expected,
            language=self._activities.agent.language,
        )

    def _judge(self, actions: tuple[InterruptionAction, ...]) -> None:
        for action in actions:
            if isinstance(action, PauseOutput):
                self._talker.speaker.pause()
            elif isinstance(action, ResumeOutput):
                self._talker.speaker.resume()
                if not action.keep_turn:
                    self._happened(NoInterruption())
            else:
                saying = self._talker.speaker.current
                self.interrupt(settled=False)
                self._happened(Interrupted(saying is not None and saying.kind not in CANNED_KINDS))
        if actions:
            self._happened(Judged())
