"""Whose turn it is: what the caller does is put to the pure machines, and their verdicts are carried out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.activity import Activity
from agent.bounds import shortened
from agent.events import (
    UserMessage,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.persona import Agent
from agent.pipeline.alarm import Alarm
from agent.pipeline.conversation import Conversation
from agent.pipeline.keying import KeyEvent, Keying, KeyPressed, KeysEntered, KeysSettled
from agent.pipeline.listener import Heard, HearingLost, Listener, TurnDecided, TurnLikely, TurnReady
from agent.pipeline.silences import Silences
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.talk_events import EndReached, SituationChanged, TurnEvent
from agent.pipeline.talker import Talker
from agent.pipeline.turn_detection import detection_problem
from agent.pipeline.turn_hook import transcribed
from agent.pipeline.voice import CANNED_KINDS
from agent.pipeline.waterfall import Waterfall
from agent.providers.base import STT, VAD, ChatMessage
from agent.turns.backchannel import is_backchannel
from agent.turns.interruption import (
    Interruption,
    InterruptionAction,
    InterruptionSettings,
    PauseOutput,
    ResumeOutput,
    Situation,
)
from agent.turns.signals import Final, Interim, SpeechEnded, SpeechStarted, TurnDetection, TurnResumed
from agent.turns.wordless import WordlessTurns
from telephony.rooms.protocol import AudioInput

__all__ = ["INAUDIBLE", "TurnTaking"]

INAUDIBLE = "[inaudible]"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Commit:
    """The application ended the turn. `text` becomes its words; `answered`: the model is to answer them."""

    text: asyncio.Future[str]
    answered: bool

    def done(self, text: str) -> None:
        if not self.text.done():
            self.text.set_result(text)


class TurnTaking:
    def __init__(
        self,
        conversation: Conversation,
        talker: Talker,
        vad: VAD | None,
        stt: STT | None,
        happened: Callable[[TurnEvent], None],
    ) -> None:
        options = conversation.options
        self._conversation = conversation
        self._talker = talker
        self._happened = happened
        self._interruption = Interruption(
            InterruptionSettings(
                min_duration_ms=options.min_interruption_ms,
                backchannel_max_ms=options.backchannel_max_ms,
                max_pause_ms=options.max_pause_ms,
                has_transcripts=stt is not None,
            )
        )
        self._silences = Silences(
            conversation, talker, away=lambda canned: self._end("caller_silent", canned), asked=self.changed
        )
        self._silence = self._silences.ladder
        self._wordless = WordlessTurns(most=options.max_wordless_turns)
        self._keying = Keying(conversation, self._keys)
        self._interruption_alarm = Alarm(conversation.loop, self._interruption, self._judge)
        self._stopped = False
        self._recognizes = stt is not None
        self._vad, self._stt = vad, stt
        self._committing: _Commit | None = None
        self._committed: dict[SpokenTurn, _Commit] = {}
        self.listener: Listener | None = None
        if vad is not None or stt is not None:
            self.listener = Listener(
                conversation.agent,
                options,
                conversation.tasks,
                detection=self._detection_of(conversation.agent),
                vad=vad,
                stt=stt,
                heard=self._heard,
                failed=conversation.provider_failed,
            )

    def start(self, audio: AudioInput) -> None:
        """Hear from now on."""
        if self.listener is not None:
            self.listener.start()
            audio.subscribe(self.listener.frame)

    def stop(self) -> None:
        """Take nothing more from the caller."""
        self._stopped = True
        self._keying.stop()
        self._silences.stop()
        if self.listener is not None:
            self.listener.stop()
        self._interruption_alarm.cancel()
        for activity in self._conversation.activities.stack:
            for question in activity.questions:
                question.cancel()
        self._forget_commits()

    def commit(self, *, skip_reply: bool = False) -> asyncio.Future[str]:
        """What the caller has said up to now is a turn. Its text when that is there; empty: nothing was said."""
        committing = _Commit(self._conversation.loop.create_future(), answered=not skip_reply)
        self._committing = committing
        if self.listener is None or self.listener.commit() is None:
            committing.done("")
        self._committing = None
        self.changed()
        return committing.text

    def clear(self) -> None:
        """What the caller has said up to now is no turn."""
        self._talker.drop_prepared()
        if self.listener is not None:
            self.listener.clear()
        self._forget_commits()
        self.changed()

    def hear(self, enabled: bool) -> None:
        """Whether the caller's audio is listened to."""
        if self.listener is not None:
            self.listener.enable(enabled, self._conversation.now())

    def _forget_commits(self) -> None:
        commits, self._committed = self._committed, {}
        for commit in commits.values():
            commit.done("")

    def hold(self, at: float) -> None:
        """The caller hears nothing: no verdict, no deadline and no silence count until `resume`."""
        listener = self.listener
        if listener is not None:
            if self._interruption.state == "judging" and listener.turn is not None:
                listener.turn.over_agent = True  # should it turn out to be a mere "okay"
            listener.hold(at)
        self._interruption.agent_done()
        self._silence.busy()
        self._interruption_alarm.cancel()
        self._silences.alarm.cancel()
        self._keying.hold()

    def resume(self, at: float, held_ms: float) -> None:
        """The caller is back, which is a sign of life."""
        self._silence.heard(at)
        self._keying.resume(at, held_ms)
        if self.listener is not None and not self._stopped:
            self.listener.resume(at)

    def changed(self) -> None:
        """The agent began or ended being busy, or the caller did something: who is idle now?"""
        if self._stopped or self._conversation.held:
            return
        talker, now = self._talker, self._conversation.now()
        if not talker.busy:
            self._interruption.agent_done()
            talker.speaker.resume()
        elif self._conversation.user_speaking and self._interruption.state == "calm":
            self._judge(self._interruption.agent_started(now, self._situation))
        self._interruption_alarm.set()
        listening = self.listener is not None and self.listener.busy
        talking = talker.speaker.busy if self._asking else talker.busy
        if not listening:
            talker.caller_is_done()
        if talking or self._keying.busy:
            self._silence.busy()
        elif listening or self._conversation.user_speaking:
            self._silence.sound()
        else:
            self._silence.idle(now)
        self._silences.alarm.set()
        self._happened(SituationChanged())

    @property
    def awaits_words(self) -> bool:
        """The caller has said something whose text has not come yet."""
        return self.listener is not None and self.listener.busy

    def agent_changed(self) -> None:
        """Another persona: its digit entry, its expectations. What was keyed and how long was kept silent for the one
        before goes with it."""
        agent = self._conversation.agent
        self._keying.persona_changed(agent)
        self._silence.on = agent.silence_ladder
        self._silence.heard(self._conversation.now())
        if self.listener is not None:
            self.listener.agent_changed(agent, self._detection_of(agent))

    # --- speech ------------------------------------------------------------------------------------

    def _heard(self, event: Heard) -> None:
        match event:
            case SpeechStarted():
                self._speech_started(event)
            case SpeechEnded():
                self._speech_ended(event)
            case Interim() | Final():
                self._judge(self._interruption.heard(event, self._situation))
                self._interruption_alarm.set()
            case TurnResumed():
                self._talker.drop_prepared()
            case TurnLikely(turn=turn):
                self._turn_likely(turn)
            case TurnDecided(turn=turn):
                if turn.reason == "committed" and self._committing is not None:
                    self._committed[turn] = self._committing
                if self._interruption.state == "calm":
                    self._tell_decided(turn)
            case TurnReady(turn=turn):
                self._turn_ready(turn)
            case HearingLost():
                self._end("error", "goodbye_error")

    def _end(self, reason: str, canned: str) -> None:
        self._happened(EndReached(reason, self._conversation.agent.say_canned(canned)))

    def _speech_started(self, event: SpeechStarted) -> None:
        self._conversation.user_speaking = True
        self._conversation.emit(UserStartedSpeaking(event.at, event.noticed_at))
        self._talker.drop_prepared()
        if self.listener is not None and self.listener.turn is not None and not self._by_hand:
            self.listener.turn.over_agent |= self._talker.busy and not self._talker.interruptible
        self._judge(self._interruption.heard(event, self._situation))
        self.changed()

    def _speech_ended(self, event: SpeechEnded) -> None:
        self._conversation.user_speaking = False
        self._conversation.emit(UserStoppedSpeaking(event.at, event.noticed_at))
        self._judge(self._interruption.heard(event, self._situation))
        self.changed()

    def _turn_likely(self, turn: SpokenTurn) -> None:
        text = self._words_of(turn)
        may = self._conversation.options.preemptive and not self._by_hand and not self._asking
        if may and text and not turn.failed:
            self._talker.prepare(ChatMessage("user", text), self._waterfall(turn))

    def _words_of(self, turn: SpokenTurn) -> str:
        conversation = self._conversation
        return shortened(transcribed(conversation.agent, turn.text), conversation.options.max_user_characters)

    def _turn_ready(self, turn: SpokenTurn) -> None:
        commit = self._committed.pop(turn, None)
        backchannel = commit is None and is_backchannel(turn.text, self._conversation.agent.language)
        if backchannel and (turn.over_agent or (self._talker.working and not self._answer_expected)):
            self._silence.heard(self._conversation.now())
            self.changed()
            return
        self._tell_decided(turn)
        text = self._words_of(turn)
        if turn.failed and not text:
            self._talker.drop_prepared()
            self._talker.voice.fail()
        elif text:
            self._spoken(text, turn, answered=commit is None or commit.answered)
        elif turn.interrupted_agent or turn.voiced_ms >= self._conversation.options.inaudible_min_ms:
            self._without_words(turn)
        if commit is not None:
            commit.done(text)
        self.changed()

    def _without_words(self, turn: SpokenTurn) -> None:
        """A turn's length of sound, but no word in it."""
        now = self._conversation.now()
        self._silence.heard(now)
        verdict = self._wordless.turn(turn.voiced_ms, now) if self._recognizes else "ask"
        if verdict == "end":
            self._end("caller_wordless", "goodbye_wordless")
        elif self._talker.owes or (verdict == "pass" and not turn.cut_answer):
            return  # an answer is on its way; or: enough has been asked
        elif self._conversation.options.inaudible == "tell_model":
            self._answer(INAUDIBLE, turn)
        elif self._recognizes:
            self._talker.say_canned("didnt_catch")

    @property
    def _by_hand(self) -> bool:
        """The application says when turns are over, and interrupts the agent."""
        return self.listener is not None and self.listener.detection == "manual"

    @property
    def _situation(self) -> Situation:
        talker = self._talker
        return Situation(
            interruptible=talker.interruptible and not self._by_hand,
            words_only=talker.speaker.unheard,
            answer_expected=self._answer_expected,
            language=self._conversation.agent.language,
        )

    @property
    def _answer_expected(self) -> bool:
        """Whether a mere "yes" or "okay" would mean something."""
        speaker = self._talker.speaker
        return speaker.asked if self._talker.working and speaker.unheard else speaker.answer_expected

    def _tell_decided(self, turn: SpokenTurn) -> None:
        if turn.decided_at is not None and not turn.told:
            turn.told = True
            self._conversation.emit(UserTurnEnded(turn.decided_at, turn.ended_at, turn.reason, turn.why))

    def _waterfall(self, turn: SpokenTurn) -> Waterfall:
        return Waterfall(
            self._talker.turn,
            speech_ended_at=turn.ended_at,
            decided_at=turn.decided_at,
            transcript_at=turn.transcript_at,
        )

    def _detection_of(self, agent: Agent) -> TurnDetection:
        own = agent.turn_detection
        if own is None:
            return self._conversation.options.turn_detection
        if problem := detection_problem(own, vad=self._vad is not None, stt=self._stt):
            _log.warning("%s: %s", agent.name, problem)
            return self._conversation.options.turn_detection
        return own

    # --- messages -------------------------------------------------------------------------------------------------

    def _spoken(self, text: str, turn: SpokenTurn, *, answered: bool) -> None:
        if answered:
            self._message(text, turn.started_at, turn.ended_at, "speech", turn.confidence, turn)
            return
        self._talker.drop_prepared()
        self._note(text, turn.started_at, turn.ended_at, "speech", turn.confidence)
        self._talker.next_turn()
        self._conversation.history.add(ChatMessage("user", text))

    def _message(
        self,
        text: str,
        started_at: float,
        ended_at: float,
        source: Literal["speech", "dtmf", "text"],
        confidence: float = 1.0,
        turn: SpokenTurn | None = None,
    ) -> None:
        self._note(text, started_at, ended_at, source, confidence)
        self._answer(text, turn)

    def _note(
        self,
        text: str,
        started_at: float,
        ended_at: float,
        source: Literal["speech", "dtmf", "text"],
        confidence: float,
    ) -> None:
        now = self._conversation.now()
        if source == "speech":
            self._conversation.privacy.said(text, self._keying.entry)
        self._silence.heard(now)
        self._wordless.words()
        self._conversation.emit(UserMessage(now, text, started_at, ended_at, source, confidence))

    def _answer(self, text: str, turn: SpokenTurn | None) -> None:
        number = self._talker.next_turn()
        self._talker.speaker.asked = False
        asking = self._asking
        if self._talker.interruptible:
            self._interrupt()
        if asking and self.answered(text):
            return
        waterfall = Waterfall(number, decided_at=self._conversation.now())
        if turn is not None:
            waterfall = self._waterfall(turn)
        # Who talks without end is answered in the middle of it.
        forced = turn is not None and turn.reason == "forced"
        self._talker.reply(ChatMessage("user", text), waterfall, allow_interruptions=not forced)

    def answered(self, text: str) -> bool:
        """Whether a function has waited for this message, which then needs no answer."""
        if not self._asking:
            return False
        self._conversation.history.add(ChatMessage("user", text))
        return self._conversation.activities.top.answer(text)

    async def next_message(self, activity: Activity) -> str:
        """The caller's next message to `activity`, which then is not answered by the model."""
        question: asyncio.Future[str] = self._conversation.loop.create_future()
        activity.questions.append(question)
        self.changed()
        try:
            return await question
        finally:
            activity.questions.remove(question)
            self.changed()

    @property
    def _asking(self) -> bool:
        """Whoever has the caller has a function that waits for the next message."""
        return self._conversation.activities.top.asking

    # --- interruption ---------------------------------------------------------------------------------------------

    def _judge(self, actions: tuple[InterruptionAction, ...]) -> None:
        for action in actions:
            if isinstance(action, PauseOutput):
                self._talker.speaker.pause()
            elif isinstance(action, ResumeOutput):
                self._talker.speaker.resume()
                if not action.keep_turn and self.listener is not None:
                    self.listener.drop()
            else:
                saying = self._talker.speaker.current
                self._interrupt(settled=False)
                if self.listener is not None and self.listener.turn is not None:
                    self.listener.turn.interrupted_agent = True
                    self.listener.turn.cut_answer |= saying is not None and saying.kind not in CANNED_KINDS
        if actions:
            self.changed()

    def _interrupt(self, *, settled: bool = True) -> None:
        """`settled`: that it is a message is known."""
        if self._asking:
            # A tool waits for what the caller is saying: only the speech stops.
            self._talker.speaker.interrupt()
        elif self._talker.working and not settled:
            # Its outcome is still wanted if the caller only coughed. It waits until that is known.
            self._talker.speaker.interrupt()
            self._talker.caller_goes_on()
        else:
            self._talker.interrupt()
        self._talker.speaker.resume()

    # --- keys -----------------------------------------------------------------------------------------------------

    def digit(self, digit: str, at: float) -> None:
        self._keying.pressed(digit, at)

    def _keys(self, event: KeyEvent) -> None:
        match event:
            case KeyPressed(expected=expected):
                self._silence.heard(self._conversation.now())
                self._wordless.words()
                if expected:
                    self._talker.drop_prepared()
                    if self._talker.speaker.busy and self._talker.interruptible:
                        self._interrupt()
            case KeysEntered(entered=entered):
                self._message(entered.text, entered.started_at, entered.ended_at, "dtmf")
            case KeysSettled():
                self.changed()
