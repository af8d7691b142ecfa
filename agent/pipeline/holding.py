"""How a conversation behaves while on hold, and when the caller is back."""

from __future__ import annotations

from agent.events import (
    AgentMessage,
    AgentStartedSpeaking,
    CallerBack,
    CallerHeld,
    SessionEvent,
    UserMessage,
    UserStartedSpeaking,
)
from agent.pipeline.activities import Activities
from agent.pipeline.alarm import Alarm
from agent.pipeline.ending import Ending
from agent.pipeline.runtime import Runtime
from agent.pipeline.talker import Talker
from agent.pipeline.turn_taking import TurnTaking
from agent.turns.hold import GoOn, Hold, HoldAction, OpenQuestion, StandStill

__all__ = ["Holding"]

_ASKING = frozenset({"greeting", "reply", "say"})


class Holding:
    def __init__(
        self, runtime: Runtime, activities: Activities, talker: Talker, turns: TurnTaking, ending: Ending
    ) -> None:
        self._runtime = runtime
        self._activities = activities
        self._talker = talker
        self._turns = turns
        self._ending = ending
        self._hold = Hold(max_hold_ms=runtime.options.max_hold_ms)
        self._alarm = Alarm(runtime.loop, self._hold, self._perform)
        self._question = OpenQuestion()

    def held(self, at: float) -> None:
        self._perform(self._hold.held(at))
        self._alarm.set()

    def resumed(self, at: float) -> None:
        self._perform(self._hold.resumed(at))
        self._alarm.set()

    def set_aside(self, at: float) -> None:
        self._perform(self._hold.set_aside(at))
        self._alarm.set()

    def taken_back(self, at: float, words: str) -> None:
        """`words`: the key of a canned phrase to begin with, instead of the welcome."""
        self._perform(self._hold.taken_back(at, words))
        self._alarm.set()

    def stop(self) -> None:
        self._alarm.cancel()

    def happened(self, event: SessionEvent) -> None:
        """Follow the session's events: the last question, and whether anything was said."""
        match event:
            case AgentStartedSpeaking() | UserStartedSpeaking():
                self._hold.met = True
            case AgentMessage(text=text, interrupted=False, kind=kind) if kind in _ASKING:
                self._question.agent_said(text)
            case UserMessage():
                self._hold.met = True
                self._question.answered()

    def _perform(self, actions: tuple[HoldAction, ...]) -> None:
        for action in actions:
            if isinstance(action, StandStill):
                self._stand_still(action)
            elif isinstance(action, GoOn):
                self._go_on(action)
            else:
                self._ending.end("held_too_long", "", cut=True)

    def _stand_still(self, action: StandStill) -> None:
        self._turns.freeze()
        self._talker.speaker.hold()
        self._turns.hold(action.at)
        self._runtime.emit(CallerHeld(action.at, by_us=action.by_us))

    def _go_on(self, action: GoOn) -> None:
        talker = self._talker
        self._runtime.emit(CallerBack(action.at, action.held_ms))
        self._turns.resume(action.at, action.held_ms)
        # A tool that has asked the caller something waits for the answer and says nothing before it.
        waits = talker.speaker.busy if self._activities.top.asking else talker.busy
        waits = waits or self._turns.awaits_words or talker.speaker.closed
        talker.release(action.words or ("welcome_back" if action.greet else ""))
        if self._question.text and not waits:
            talker.say(self._question.text)
        self._turns.changed()
