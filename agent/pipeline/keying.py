"""The caller's key presses: reported, collected into entries, taken as turns; a secret entry pauses the recording."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.events import DigitReceived, UserTurnEnded
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.alarm import Alarm
from agent.pipeline.recording import RecordingPauses
from agent.pipeline.runtime import Runtime
from agent.privacy import Privacy
from agent.turns.digits import WHY_ENTERED, DigitCollector, DigitEntry, DigitsEntered
from agent.turns.keys import KeyTurns, Presses
from agent.turns.signals import Digit

__all__ = ["KeyEvent", "KeyPressed", "Keying", "KeysEntered", "KeysSettled"]

_KEYS_AT_ONCE = 40  # pressed before the agent could hear them
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """`expected`: the persona collects it. An unexpected key may have been pressed by accident."""

    expected: bool


@dataclass(frozen=True, slots=True)
class KeysEntered:
    """The keyed digits become a message."""

    entered: DigitsEntered


@dataclass(frozen=True, slots=True)
class KeysSettled:
    """A key press, or the time limit for one, has been handled: whether more is awaited may have changed."""


KeyEvent = KeyPressed | KeysEntered | KeysSettled


class Keying:
    def __init__(self, runtime: Runtime, activities: Activities, privacy: Privacy, recording: RecordingPauses) -> None:
        options, loop = runtime.options, runtime.loop
        self._runtime = runtime
        self._activities = activities
        self._privacy = privacy
        self._recording = recording
        self.happened: Callable[[KeyEvent], None] = lambda _: None
        self._digits = DigitCollector(activities.agent.digits)
        self._presses = Presses(a_second=options.max_keys_a_second, burst=_KEYS_AT_ONCE)
        self._turns = KeyTurns(gap_ms=options.min_key_turn_ms)
        self._digits_alarm = Alarm(loop, self._digits, self._collected)
        self._turns_alarm = Alarm(loop, self._turns, self._taken)
        self._stopped = False

    @property
    def entry(self) -> DigitEntry | None:
        """The current entry."""
        return self._digits.entry

    @property
    def busy(self) -> bool:
        """Keys are being collected, or an entry waits to be taken."""
        return self._digits.collecting or self._turns.waiting

    def pressed(self, digit: str, at: float) -> None:
        runtime, activities = self._runtime, self._activities
        if not self._presses.takes(runtime.now()):
            if self._presses.dropped == 1:
                _log.warning("keys arrive faster than a person can press them; dropping the excess")
            return
        runtime.emit(DigitReceived(at, self._privacy.key(digit, self._digits.entry, at)))
        if self._stopped:
            return
        if self._privacy.hides(self._digits.entry):
            self._recording.pause("secret", at)
        self.happened(KeyPressed(self._digits.takes(digit)))
        agent = activities.agent
        runtime.tasks.spawn(
            activities.run_hook(lambda: agent.on_digit(activities.context(), digit), "on_digit"), "on_digit"
        )
        self._collected(self._digits.heard(Digit(digit, at)))
        self._digits_alarm.set()

    def persona_changed(self, agent: Agent) -> None:
        """Another entry. Digits keyed for the previous persona are dropped."""
        self._digits.begin(agent.digits)
        self._digits_alarm.set()
        self._turns.forget()
        self._turns_alarm.set()
        self._privacy.secret = self._activities.secret
        if self._privacy.secret:
            self._recording.pause("secret", self._runtime.now())
        self._secret_over()

    def hold(self) -> None:
        """No deadline until `resume`."""
        self._digits_alarm.cancel()
        self._turns_alarm.cancel()

    def resume(self, at: float, held_ms: float) -> None:
        self._digits.stood_still(held_ms / 1000, at)
        if not self._stopped:
            self._digits_alarm.set()
            self._turns_alarm.set()

    def stop(self) -> None:
        """From now on key presses are only reported."""
        self._stopped = True
        self.hold()

    def _collected(self, actions: tuple[DigitsEntered, ...]) -> None:
        self._taken(self._turns.entered(actions, self._runtime.now()))
        self._turns_alarm.set()

    def _taken(self, actions: tuple[DigitsEntered, ...]) -> None:
        runtime = self._runtime
        for entered in actions:
            runtime.emit(UserTurnEnded(runtime.now(), entered.ended_at, "digits", WHY_ENTERED[entered.reason]))
            self._privacy.entered(entered.text, self._digits.entry)
            self.happened(KeysEntered(entered))
        self._secret_over()
        self.happened(KeysSettled())

    def _secret_over(self) -> None:
        """Resume the recording if it was paused for what is secret and that has ended."""
        if not self.busy and not self._privacy.secret:
            self._recording.resume("secret", self._runtime.now())
