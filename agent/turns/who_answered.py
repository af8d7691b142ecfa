"""What the agent does while it finds out who has answered its call, and afterwards. Pure.

state        what happens there                            left by
listening    the agent is silent                           a verdict, or the limit: then talking
talking      the conversation                              a verdict that corrects it, until the correction window ends
waiting      a voicemail's greeting is heard               MessageMayBegin, another verdict, the limit
message      the message is spoken                         its quiet end, GreetingGoesOn (waiting), another verdict
screened     a screener is told who calls, then waited for another verdict, the limit
navigating   the agent uses a phone menu                   another verdict, giving up, the limit
over         the call ends
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.answering import Answering, AnsweringAction
from agent.turns.screener_asks import ScreenerAsks
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "AnswerState",
    "AnsweredCall",
    "CallAction",
    "Detach",
    "Greet",
    "HangUp",
    "LeaveMenu",
    "Navigate",
    "SayMessage",
    "SayWhoCalls",
    "StopTalking",
    "TellMessage",
    "Undecided",
]

_GREETING_WAIT_S = 8.0  # the longest that the greeting waits for a person to finish
_MESSAGE_WAIT_S = 120.0  # the longest greeting of a voicemail, with all messages that it breaks off
_SETTLES_S = 2.2  # the longest that speech at the message's end is listened to: the greeting that goes on, perhaps


class AnswerState(StrEnum):
    LISTENING = "listening"
    TALKING = "talking"
    WAITING = "waiting"
    MESSAGE = "message"
    SCREENED = "screened"
    NAVIGATING = "navigating"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Undecided:
    """The limit has come: whoever it is, is taken for a person."""


@dataclass(frozen=True, slots=True)
class Greet:
    """The conversation begins. `interrupted`: the person has come in the middle of the message. `over`: the line never
    falls silent, so the greeting is spoken over it."""

    interrupted: bool
    over: bool = False


@dataclass(frozen=True, slots=True)
class StopTalking:
    """Whatever is being said stops at once."""


@dataclass(frozen=True, slots=True)
class SayMessage:
    """From its beginning."""


@dataclass(frozen=True, slots=True)
class SayWhoCalls:
    pass


@dataclass(frozen=True, slots=True)
class Navigate:
    """The agent uses the menu."""


@dataclass(frozen=True, slots=True)
class LeaveMenu:
    pass


@dataclass(frozen=True, slots=True)
class TellMessage:
    """As in `agent.events.MessageLeft`."""

    delivered: bool
    why: str


@dataclass(frozen=True, slots=True)
class Detach:
    """Nobody wants to know any more who has answered."""


@dataclass(frozen=True, slots=True)
class HangUp:
    reason: str


CallAction = (
    Undecided | Greet | StopTalking | SayMessage | SayWhoCalls | Navigate | LeaveMenu | TellMessage | Detach | HangUp
)

_LEADS_TO: Mapping[AnsweringAction, AnswerState] = {
    AnsweringAction.TALK: AnswerState.TALKING,
    AnsweringAction.MESSAGE: AnswerState.WAITING,
    AnsweringAction.SAY_WHO_CALLS: AnswerState.SCREENED,
    AnsweringAction.NAVIGATE: AnswerState.NAVIGATING,
    AnsweringAction.HANG_UP: AnswerState.OVER,
}
_STOPS: Mapping[AnswerState, tuple[CallAction, ...]] = {
    AnswerState.TALKING: (StopTalking(),),
    AnswerState.MESSAGE: (StopTalking(),),
    AnswerState.SCREENED: (StopTalking(),),
    AnswerState.NAVIGATING: (LeaveMenu(), StopTalking()),
}


class AnsweredCall:
    """Each method takes the time, in loop seconds, and returns what to do."""

    def __init__(self, answering: Answering, answered_at: float) -> None:
        self._answering = answering
        self.state = AnswerState.LISTENING
        self.answered_by = AnsweredBy.UNKNOWN
        self.attached = True  # it is still being found out who has answered
        self._since = answered_at  # of the state
        self._talking_since: float | None = None
        self._callee_speaking = self._turn_open = False
        self._owes_greeting: Greet | None = None
        self._begun_by = ""  # why the message may begin; empty: it may not yet
        self._may_not_know = False  # nothing will tell when the message may begin
        self._voicemail_since = answered_at
        self._over_greeting = False  # the message is spoken over a greeting that never ended
        self._played_at: float | None = None  # the whole message, in the middle of a turn
        self._asks = ScreenerAsks()

    @property
    def owes_greeting(self) -> bool:
        """It waits for the person to finish."""
        return self._owes_greeting is not None

    # --- the verdict ------------------------------------------------------------------------------------------------

    def decided(self, answered_by: AnsweredBy, action: AnsweringAction, at: float) -> tuple[CallAction, ...]:
        """A verdict, and what is to be done about it."""
        target = _LEADS_TO[action]
        same = target is self.state or (target is AnswerState.WAITING and self.state is AnswerState.MESSAGE)
        if self.state is AnswerState.OVER:
            return ()
        self.answered_by = answered_by
        if same:
            return ()
        before = self.state
        actions = _STOPS.get(before, ())
        if before is AnswerState.MESSAGE:
            actions += (TellMessage(False, "picked_up" if target is AnswerState.TALKING else "corrected"),)
        self._owes_greeting = None
        return (*actions, *self._enter(target, before, at))

    def _enter(self, state: AnswerState, before: AnswerState, at: float) -> tuple[CallAction, ...]:
        self.state, self._since = state, at
        match state:
            case AnswerState.TALKING:
                self._talking_since = at
                self._owes_greeting = Greet(before is AnswerState.MESSAGE)
                return () if self._callee_speaking else self._greet()
            case AnswerState.WAITING if not self._answering.message:
                return self._over(self.answered_by)
            case AnswerState.WAITING:
                self._voicemail_since = at
                return self._message_if_it_may()
            case AnswerState.SCREENED:
                return () if self._turn_open else self._say_who_calls(at)
            case AnswerState.NAVIGATING:
                return (Navigate(),)
            case _:
                return self._over(self.answered_by)

    def _over(self, reason: str) -> tuple[CallAction, ...]:
        self.state = AnswerState.OVER
        return (HangUp(str(reason)),)

    # --- what the callee does -----------------------------------------------------------------------------------------

    def callee_speaks(self) -> None:
        self._callee_speaking = self._turn_open = True

    def callee_pauses(self) -> None:
        """It has fallen silent; its turn may go on."""
        self._callee_speaking = False

    def callee_done(self, at: float) -> tuple[CallAction, ...]:
        """Its turn is over."""
        self._callee_speaking = self._turn_open = False
        match self.state:
            case AnswerState.TALKING:
                return self._greet()
            case AnswerState.SCREENED if not self._asks.told:
                return self._say_who_calls(at)
            case AnswerState.WAITING if self._may_not_know:
                return self.message_may_begin("greeting_end")
            case AnswerState.MESSAGE if self._played_at is not None:
                return self._delivered()
            case _:
                return ()

    def callee_said(self, words: str, began_at: float, at: float) -> tuple[CallAction, ...]:
        """The words of a turn that is over."""
        if self.state is AnswerState.SCREENED and self._asks.again(words, began_at):
            return self._say_who_calls(at)
        return ()

    def leg_gone(self) -> tuple[CallAction, ...]:
        state, self.state = self.state, AnswerState.OVER
        if self._played_at is not None and state is AnswerState.MESSAGE:
            return (self._told_of_whole(),)  # they were told all of it
        awaited = state in (AnswerState.WAITING, AnswerState.MESSAGE)
        return (TellMessage(False, "hung_up"),) if awaited else ()

    # --- the message ------------------------------------------------------------------------------------------------

    def message_may_begin(self, why: str) -> tuple[CallAction, ...]:
        self._begun_by = why
        return self._message_if_it_may() if self.state is AnswerState.WAITING else ()

    def greeting_goes_on(self, at: float) -> tuple[CallAction, ...]:
        self._begun_by = ""
        if self.state is not AnswerState.MESSAGE:
            return ()
        self.state, self._since, self._played_at = AnswerState.WAITING, at, None
        return (StopTalking(),)

    def message_over(self, at: float, *, whole: bool) -> tuple[CallAction, ...]:
        """It has been played out; not `whole`: its speech failed. In the middle of a turn it is not known yet whether
        the greeting goes on, or a person has picked up."""
        if self.state is not AnswerState.MESSAGE:
            return ()
        if not whole:
            return (TellMessage(False, "speech_failed"), *self._over(self.answered_by))
        self._played_at = at
        return () if self._turn_open and not self._over_greeting and self.attached else self._delivered()

    def _delivered(self) -> tuple[CallAction, ...]:
        return (self._told_of_whole(), *self._over(self.answered_by))

    def _told_of_whole(self) -> TellMessage:
        return TellMessage(not self._over_greeting, self._begun_by)

    def _message_if_it_may(self) -> tuple[CallAction, ...]:
        if not self._begun_by and self._may_not_know and not self._turn_open:
            self._begun_by = "greeting_end"
        if not self._begun_by:
            return ()
        self._over_greeting = self._begun_by == "limit" and self._callee_speaking
        self.state, self._played_at = AnswerState.MESSAGE, None
        return (SayMessage(),)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def menu_given_up(self) -> tuple[CallAction, ...]:
        return self._over(self.answered_by) if self.state is AnswerState.NAVIGATING else ()

    def detector_lost(self, at: float) -> tuple[CallAction, ...]:
        """No more verdicts will come."""
        self.attached, self._may_not_know = False, True
        if self.state is AnswerState.LISTENING:
            return (Undecided(),)
        return self._message_if_it_may() if self.state is AnswerState.WAITING else ()

    def _greet(self) -> tuple[CallAction, ...]:
        owed, self._owes_greeting = self._owes_greeting, None
        return () if owed is None else (owed,)

    def _say_who_calls(self, at: float) -> tuple[CallAction, ...]:
        self._asks.says(at)
        return (SayWhoCalls(),)

    @property
    def deadline(self) -> float | None:
        given = self._answering
        match self.state:
            case AnswerState.LISTENING:
                return self._since + given.limit_s
            case AnswerState.WAITING:
                return self._voicemail_since + _MESSAGE_WAIT_S
            case AnswerState.MESSAGE if self._played_at is not None:
                return self._played_at + _SETTLES_S
            case AnswerState.SCREENED:
                return self._since + given.screener_limit_s
            case AnswerState.NAVIGATING:
                return self._since + given.menu_limit_s
            case AnswerState.TALKING if self._owes_greeting is not None:
                return self._since + _GREETING_WAIT_S
            case AnswerState.TALKING if self.attached and self._talking_since is not None:
                return self._talking_since + given.correct_for_s
            case _:
                return None

    def tick(self, now: float) -> tuple[CallAction, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        match self.state:
            case AnswerState.LISTENING:
                self._since = now  # said once
                return (Undecided(),)
            case AnswerState.WAITING:
                return (TellMessage(False, "never_began"), *self._over(self.answered_by))
            case AnswerState.MESSAGE:
                return self._delivered()
            case AnswerState.NAVIGATING:
                return (LeaveMenu(), StopTalking(), *self._over(self.answered_by))
            case AnswerState.SCREENED:
                return self._over(self.answered_by)
            case _ if self._owes_greeting is not None:
                self._owes_greeting = replace(self._owes_greeting, over=True)
                return self._greet()
            case _:
                self.attached = False
                return (Detach(),)
