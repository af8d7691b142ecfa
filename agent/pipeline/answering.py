"""A call that we have placed is answered: finds out by whom, and does what follows (`agent.turns.who_answered`).

frames, VAD, words --> AnswerDetector --verdicts--> AnsweredCall --actions--> talker, turns, ending
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from agent.answering import Answering, AnsweringAction
from agent.events import AgentStartedSpeaking, AgentStoppedSpeaking, MessageLeft, SessionEvent, WhoAnsweredTold
from agent.hooks import outcome_of
from agent.persona import Agent, overrides
from agent.pipeline.alarm import Alarm
from agent.pipeline.answer_detector import AnswerDetector
from agent.pipeline.answer_speech import AnswerSpeech
from agent.pipeline.answered_menu import AnsweredMenu
from agent.pipeline.ending import Ending
from agent.pipeline.listener import Heard, HearingLost, TurnDecided, TurnReady
from agent.pipeline.runtime import Runtime
from agent.pipeline.second_opinion import second_opinion
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.turn_taking import TurnTaking
from agent.providers.base import LLM
from agent.turns.backchannel import normalized_words
from agent.turns.hold_words import asks_to_wait
from agent.turns.signals import Final, Interim, SpeechEnded, SpeechStarted
from agent.turns.who_answered import (
    AnsweredCall,
    AnswerState,
    CallAction,
    Detach,
    Greet,
    HangUp,
    LeaveMenu,
    Navigate,
    SayMessage,
    SayWhoCalls,
    StopTalking,
    TellMessage,
    Undecided,
)
from telephony.media.answering.model import (
    AnsweredBy,
    AnsweringEvent,
    GreetingGoesOn,
    MessageMayBegin,
    Verdict,
    WhoAnswered,
)
from telephony.rooms.protocol import AudioInput

__all__ = ["CallAnswering"]

_EARLY_S = 0.3  # what was heard longer ago was early media: ringing, or an announcement
_HOOK_S = 2.0  # for the persona's word about what to do
_FEWEST_WORDS = 4  # before the model is asked
_MOST_OPINIONS = 3
_log = logging.getLogger(__name__)


class CallAnswering:
    def __init__(
        self,
        runtime: Runtime,
        answering: Answering,
        who: WhoAnswered,
        speech: AnswerSpeech,
        menu: AnsweredMenu,
        turns: TurnTaking,
        ending: Ending,
    ) -> None:
        """From now on the agent is silent. `speech` talks, `menu` uses a menu."""
        self._runtime = runtime
        self._answering = answering
        self._speech = speech
        self._menu = menu
        self._turns = turns
        self._ending = ending
        self._activities = speech.activities
        self._call = AnsweredCall(answering, runtime.now())
        self._alarm: Alarm[CallAction] = Alarm(runtime.loop, self._call, self._perform)
        self._detector = AnswerDetector(runtime.loop, who, self._told, self._detector_lost)
        self._verdict: Verdict | None = None
        self._deciding: asyncio.Task[None] | None = None
        self._words: list[str] = []
        self._opinions = 0
        self._unsubscribe: Callable[[], None] = lambda: None
        menu.person = self._person_in_menu
        menu.given_up = lambda: self._perform(self._call.menu_given_up())
        speech.message_over = self._message_over
        self._listen()

    def start(self, audio: AudioInput) -> None:
        """Hear. Called before the turns start; without any recognition of speech, frames come from here."""
        since = self._runtime.now() - _EARLY_S
        if self._turns.listener is None:
            self._unsubscribe = audio.subscribe(
                lambda frame: self._detector.frame(frame) if frame.at >= since else None
            )
        else:
            self._turns.listener.since = since
            self._turns.listener.overheard_by(self._detector)
            self._turns.unanswered.overheard = self._heard
            self._turns.unanswered.curious = True
        self._alarm.set()

    def stop(self) -> None:
        """The session ends, or the call is ended otherwise."""
        self._perform(self._call.leg_gone())
        self._detach()
        self._alarm.cancel()
        self._menu.leave()

    def happened(self, event: SessionEvent) -> None:
        """Called with each event of the session."""
        match event:
            case AgentStartedSpeaking():
                self._detector.we_speak(True, event.at)
            case AgentStoppedSpeaking():
                self._detector.we_speak(False, event.at)
            case _:
                pass

    # --- what is heard ----------------------------------------------------------------------------------------------

    def _heard(self, event: Heard) -> None:
        call, now = self._call, self._runtime.now()
        match event:
            case SpeechStarted():
                call.callee_speaks()
            case SpeechEnded():
                call.callee_pauses()
            case Interim(text=text) if text:
                self._detector.words(text, now, final=False)
            case Final(text=text):
                self._words_came(text, now)
            case TurnDecided():
                self._perform(call.callee_done(now))
            case TurnReady(turn=turn):
                self._perform(call.callee_said(turn.text, turn.started_at, now))
                if call.state is AnswerState.NAVIGATING:
                    self._heard_in_menu(turn)
            case HearingLost():
                self._perform(call.callee_done(now))
            case _:
                pass

    def _heard_in_menu(self, turn: SpokenTurn) -> None:
        """On hold the model says whether it is a person."""
        self._menu.heard(turn)
        llm = self._model
        if self._turns.unanswered.quiet and turn.text and llm is not None and not asks_to_wait(turn.text):
            self._runtime.tasks.spawn(self._ask_on_hold(llm, turn.text), "who answered")

    async def _ask_on_hold(self, llm: LLM, heard: str) -> None:
        if await second_opinion(llm, heard) is AnsweredBy.HUMAN and self._call.state is AnswerState.NAVIGATING:
            self._person_in_menu()

    @property
    def _model(self) -> LLM | None:
        """For opinions; None: there is none that has any."""
        llm = self._activities.stack.persona.cast.bare_llm
        return llm if llm is not None and llm.name != "rules" else None

    def _words_came(self, text: str, now: float) -> None:
        self._detector.words(text, now, final=True)  # empty: there were none
        if not text:
            return
        if self._words and text.startswith(self._words[-1]):
            self._words[-1] = text  # the same turn, which has grown
        else:
            self._words.append(text)
        undecided = self._verdict is None and self._call.state is AnswerState.LISTENING
        llm = self._model
        enough = len(normalized_words(" ".join(self._words))) >= _FEWEST_WORDS
        if undecided and enough and llm is not None and self._opinions < _MOST_OPINIONS:
            self._opinions += 1
            self._runtime.tasks.spawn(self._ask(llm, "\n".join(self._words)), "who answered")

    async def _ask(self, llm: LLM, heard: str) -> None:
        opinion = await second_opinion(llm, heard)
        if opinion is not None and self._verdict is None:
            self._detector.opinion(opinion, self._runtime.now())

    # --- verdicts -----------------------------------------------------------------------------------------------------

    def _told(self, event: AnsweringEvent) -> None:
        match event:
            case Verdict():
                self._decide(event)
            case MessageMayBegin(why=why):
                self._perform(self._call.message_may_begin(why))
            case GreetingGoesOn():
                self._perform(self._call.greeting_goes_on(self._runtime.now()))

    def _decide(self, verdict: Verdict) -> None:
        before, self._verdict = self._verdict, verdict
        if self._ending.begun or (before is not None and before.answered_by is verdict.answered_by):
            return
        if before is not None and verdict.corrects is None:
            verdict = self._verdict = replace(verdict, corrects=before.answered_by)
        if self._deciding is not None:
            self._deciding.cancel()
        agent = self._activities.stack.persona.agent
        if overrides(agent, "on_answered_by"):
            self._deciding = self._runtime.tasks.spawn(self._ask_persona(agent, verdict), "on_answered_by")
        else:
            self._act(verdict, self._answering.action(verdict.answered_by))

    async def _ask_persona(self, agent: Agent, verdict: Verdict) -> None:
        """Its hook may override the action."""
        action = self._answering.action(verdict.answered_by)

        async def ask() -> None:
            nonlocal action
            given = await outcome_of(agent.on_answered_by(self._activities.context(), verdict))
            if given is not None:
                action = AnsweringAction(given)

        persona = self._activities.stack.persona
        try:
            async with asyncio.timeout(_HOOK_S):
                await self._activities.run_hook(ask, "on_answered_by", activity=persona)
        except TimeoutError:
            _log.warning("%s.on_answered_by took longer than %g s", agent.name, _HOOK_S)
        self._deciding = None
        self._act(verdict, action)

    def _act(self, verdict: Verdict, action: AnsweringAction) -> None:
        now, corrects = self._runtime.now(), verdict.corrects
        self._runtime.emit(
            WhoAnsweredTold(
                now,
                str(verdict.answered_by),
                verdict.probability,
                verdict.reasons,
                str(action),
                "" if corrects is None else str(corrects),
            )
        )
        self._perform(self._call.decided(verdict.answered_by, action, now))

    def _detector_lost(self) -> None:
        self._detach()
        self._perform(self._call.detector_lost(self._runtime.now()))

    def _message_over(self, whole: bool) -> None:
        cut = self._ending.begun  # by another end of the call
        self._perform(self._call.leg_gone() if cut else self._call.message_over(self._runtime.now(), whole=whole))

    def _person_in_menu(self) -> None:
        """The agent has noticed one itself."""
        reasons = ("the language model heard a person",)
        self._decide(Verdict(self._runtime.now(), AnsweredBy.HUMAN, 0.8, reasons))

    # --- what follows -------------------------------------------------------------------------------------------------

    def _perform(self, actions: tuple[CallAction, ...]) -> None:
        for action in actions:
            if self._ending.begun and not isinstance(action, TellMessage | Detach):
                continue
            self._do(action)
        if self._call.state is AnswerState.OVER:
            self._detach()
        self._turns.unanswered.curious = self._call.state is AnswerState.LISTENING
        if not self._follows_turns:
            self._turns.unanswered.overheard = None
        self._alarm.set()

    def _do(self, action: CallAction) -> None:
        match action:
            case Undecided():
                self._decide(Verdict(self._runtime.now(), AnsweredBy.HUMAN, 0.5, ("no verdict in time",)))
            case StopTalking():
                self._listen()
                self._speech.stop()
            case Greet():
                self._greet(action)
            case SayMessage():
                self._turns.unanswered.answers(self._speech.say_message(), self._runtime.now())
            case SayWhoCalls():
                self._turns.unanswered.answers(self._speech.say_who_calls(), self._runtime.now())
            case Navigate():
                self._menu.begin()
            case LeaveMenu():
                self._menu.leave()
            case TellMessage(delivered=delivered, why=why):
                self._runtime.emit(MessageLeft(self._runtime.now(), delivered, why, self._speech.message_text))
            case Detach():
                self._detach()
            case HangUp(reason=reason):
                self._detach()
                self._ending.end(reason, "")

    def _listen(self) -> None:
        """Silence, and no answers."""
        self._speech.silence(True)
        self._turns.be_quiet(True)

    def _greet(self, greet: Greet) -> None:
        """What was said until now is answered by the greeting; without one, by the model."""
        listener, kept = self._turns.listener, self._turns.unanswered
        greeted = self._speech.greets or greet.interrupted
        to_come = False
        if listener is not None and greeted and listener.turn is not None:
            listener.commit()
        elif listener is not None and not greeted:
            to_come = listener.answer_kept()
        self._menu.tell_person()
        self._speech.silence(False)
        asked = not greeted and not to_come and kept.last is not None
        kept.answers(self._speech.greet(greet, asked=asked), self._runtime.now())
        self._turns.be_quiet(False)

    def _detach(self) -> None:
        """It is not found out any more who has answered: nothing of that runs on."""
        self._detector.stop()
        if self._deciding is not None and self._deciding is not asyncio.current_task():
            self._deciding.cancel()
        self._unsubscribe()
        if self._turns.listener is not None:
            self._turns.listener.overheard_by(None)

    @property
    def _follows_turns(self) -> bool:
        call = self._call
        if call.state is AnswerState.TALKING:
            return self._detector.running or call.owes_greeting
        return call.state is not AnswerState.OVER
