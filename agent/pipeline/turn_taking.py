"""Turn-taking: feeds the caller's signals to the pure machines and carries out their decisions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.activity import Activity
from agent.bounds import shortened
from agent.events import UserStartedSpeaking, UserStoppedSpeaking, UserTurnEnded
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.barge_in import BargeIn, BargeInEvent, Interrupted, Judged, NoInterruption
from agent.pipeline.commits import Commits
from agent.pipeline.keying import KeyEvent, Keying, KeyPressed, KeysEntered, KeysSettled
from agent.pipeline.listener import Heard, HearingLost, Listener, TurnDecided, TurnLikely, TurnReady
from agent.pipeline.messages import Messages, waterfall_of
from agent.pipeline.runtime import Runtime
from agent.pipeline.silences import Silences
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.talk_events import EndReached, SituationChanged, TurnEvent
from agent.pipeline.talker import Talker
from agent.pipeline.turn_detection import detection_problem
from agent.pipeline.turn_hook import transcribed
from agent.pipeline.unanswered import Unanswered
from agent.providers.base import STT, VAD, ChatMessage
from agent.turns.backchannel import is_backchannel
from agent.turns.expected import Expected
from agent.turns.signals import Final, Interim, SpeechEnded, SpeechStarted, TurnDetection, TurnResumed
from agent.turns.wordless import WordlessTurns
from telephony.rooms.protocol import AudioInput

__all__ = ["INAUDIBLE", "TurnTaking"]

INAUDIBLE = "[inaudible]"
_log = logging.getLogger(__name__)


class TurnTaking:
    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        talker: Talker,
        messages: Messages,
        keying: Keying,
        *,
        vad: VAD | None,
        stt: STT | None,
        happened: Callable[[TurnEvent], None],
    ) -> None:
        options = runtime.options
        self._runtime = runtime
        self._activities = activities
        self._talker = talker
        self._messages = messages
        self._keying = keying
        self._keying.happened = self._keys
        self._happened = happened
        self._barge_in = BargeIn(runtime, activities, talker, has_transcripts=stt is not None, happened=self._barged_in)
        self._commits = Commits()
        self._silences = Silences(
            runtime, activities, talker, away=lambda canned: self._end("caller_silent", canned), asked=self.changed
        )
        self._silence = self._silences.ladder
        self._wordless = WordlessTurns(most=options.max_wordless_turns)
        self._stopped = self._held = self._muted = False
        self.unanswered = Unanswered(messages)
        self._asked_for: Expected | None = None  # by a function waiting for the next message
        self._vad, self._stt = vad, stt
        self.listener: Listener | None = None
        if vad is not None or stt is not None:
            self.listener = Listener(
                activities.agent,
                options,
                runtime.tasks,
                detection=self._detection_of(activities.agent),
                vad=vad,
                stt=stt,
                heard=self._heard,
                failed=runtime.provider_failed,
            )

    def start(self, audio: AudioInput) -> None:
        """Start hearing."""
        if self.listener is not None:
            self.listener.start()
            audio.subscribe(self.listener.frame)

    def stop(self) -> None:
        """Accept nothing more from the caller."""
        self._stopped = True
        self._keying.stop()
        self._silences.stop()
        if self.listener is not None:
            self.listener.stop()
        self._barge_in.stand_still()
        for activity in self._activities.stack:
            activity.leave_unanswered("Not answered: the call is ending.")
        self._commits.forget()

    def commit(self, *, skip_reply: bool = False) -> asyncio.Future[str]:
        """End the caller's turn now. Returns its text once that has arrived; empty: nothing was said."""
        commit = self._commits.begin(answered=not skip_reply)
        if self.listener is not None:
            self.listener.commit()
        self._commits.end()
        self.changed()
        return commit.text

    def clear(self) -> None:
        """Discard the pending user turn."""
        self._talker.drop_prepared()
        if self.listener is not None:
            self.listener.clear()
        self._commits.forget()
        self.changed()

    def hear(self, enabled: bool) -> None:
        """Whether to listen to the caller's audio."""
        if self.listener is not None:
            self.listener.enable(enabled, self._runtime.now())

    def be_quiet(self, quiet: bool) -> None:
        """Whether to keep what is heard from now on without answering it; see `Unanswered`."""
        self.unanswered.quiet = quiet
        self._silence.heard(self._runtime.now())
        self.changed()
        if self.unanswered.deaf and not quiet:
            self._heard(HearingLost())

    def mute(self, muted: bool) -> None:
        """Whether the caller is kept from being heard: then they are not silent, either."""
        self._muted = muted
        if not muted:
            self._silence.heard(self._runtime.now())
        self.changed()

    def freeze(self) -> None:
        """Ignore all changes until `resume`."""
        self._held = True

    def hold(self, at: float) -> None:
        """The caller hears nothing: no verdict, no deadline and no silence count until `resume`."""
        listener = self.listener
        if listener is not None:
            if self._barge_in.judging and listener.turn is not None:
                listener.turn.over_agent = True  # in case it turns out to be a mere "okay"
            listener.hold(at)
        self._barge_in.stand_still()
        self._silence.busy()
        self._silences.alarm.cancel()
        self._keying.hold()

    def resume(self, at: float, held_ms: float) -> None:
        """The caller is back, which is a sign of life."""
        self._held = False
        self._silence.heard(at)
        self._keying.resume(at, held_ms)
        if self.listener is not None and not self._stopped:
            self.listener.resume(at)

    def changed(self) -> None:
        """The agent became busy or idle, or the caller did something: find out who is idle now."""
        if self._stopped or self._held:
            return
        talker, now = self._talker, self._runtime.now()
        self._barge_in.changed(now, speaking=self.speaking, may_interrupt=not self._by_hand)
        if self.listener is not None:
            self.listener.want_interims(self._barge_in.judging or self.unanswered.curious)
        listening = self.listener is not None and self.listener.busy
        talking = talker.speaker.busy if self._asking else talker.busy
        if not listening:
            talker.caller_is_done()
        if talking or self._keying.busy or self._muted or self.unanswered.quiet:
            self._silence.busy()
        elif listening or self.speaking:
            self._silence.sound()
        else:
            self._silence.idle(now)
        self._silences.alarm.set()
        self._happened(SituationChanged())

    @property
    def speaking(self) -> bool:
        """The caller is speaking now."""
        return self.listener is not None and self.listener.speaking

    @property
    def awaits_words(self) -> bool:
        """The caller has said something whose text has not arrived yet."""
        return self.listener is not None and self.listener.busy

    def agent_changed(self) -> None:
        """Another persona: its digit entry, its expectations. Keyed digits and silence counted for the previous one are
        dropped."""
        agent = self._activities.agent
        self._keying.persona_changed(agent)
        self._silence.on = agent.silence_ladder
        self._silence.heard(self._runtime.now())
        if self.listener is not None:
            self.listener.agent_changed(agent, self._detection_of(agent))

    # --- speech ---------------------------------------------------------------------------------------------------

    def _heard(self, event: Heard) -> None:
        if self.unanswered.overheard is not None:
            self.unanswered.overheard(event)
        match event:
            case SpeechStarted():
                self._speech_started(event)
            case SpeechEnded():
                self._speech_ended(event)
            case Interim() | Final():
                self._barge_in.heard(event, may_interrupt=not self._by_hand)
            case TurnResumed():
                self._talker.drop_prepared()
            case TurnLikely(turn=turn):
                self._turn_likely(turn)
            case TurnDecided(turn=turn):
                self._commits.decided(turn)
                if not self._barge_in.judging:
                    self._tell_decided(turn)
            case TurnReady(turn=turn):
                self._turn_ready(turn)
            case HearingLost() if self.unanswered.quiet:
                self.unanswered.deaf = True
            case HearingLost():
                self._end("error", "goodbye_error")

    def _end(self, reason: str, canned: str) -> None:
        self._happened(EndReached(reason, self._activities.agent.say_canned(canned)))

    def _speech_started(self, event: SpeechStarted) -> None:
        self._runtime.emit(UserStartedSpeaking(event.at, event.noticed_at))
        self._talker.drop_prepared()
        listener, agent = self.listener, self._activities.agent
        if listener is not None:
            listener.expect(self._asked_for or agent.expects, agent.language)
            if listener.turn is not None and not self._by_hand:
                listener.turn.over_agent |= self._talker.busy and not self._talker.interruptible
            self.unanswered.begins(listener.turn)
        self._barge_in.heard(event, may_interrupt=not self._by_hand)
        self.changed()

    def _speech_ended(self, event: SpeechEnded) -> None:
        self._runtime.emit(UserStoppedSpeaking(event.at, event.noticed_at))
        self._barge_in.heard(event, may_interrupt=not self._by_hand)
        self.changed()

    def _turn_likely(self, turn: SpokenTurn) -> None:
        text = self._words_of(turn)
        may = self._runtime.options.preemptive and not (self._by_hand or self._asking or self.unanswered.takes(turn))
        if may and text and not turn.failed:
            self._talker.prepare(ChatMessage("user", text), waterfall_of(turn, self._talker.turn))

    def _words_of(self, turn: SpokenTurn) -> str:
        return shortened(transcribed(self._activities.agent, turn.text), self._runtime.options.max_user_characters)

    def _turn_ready(self, turn: SpokenTurn) -> None:
        if self.unanswered.takes(turn):
            self._keep(turn)
            return
        commit = self._commits.take(turn)
        backchannel = commit is None and is_backchannel(turn.text, self._activities.agent.language)
        if backchannel and (turn.over_agent or (self._talker.working and not self._barge_in.answer_expected)):
            self._silence.heard(self._runtime.now())
            self.changed()
            return
        self._tell_decided(turn)
        text = self._words_of(turn)
        if turn.failed and not text:
            self._talker.drop_prepared()
            self._talker.voice.fail()
        elif text:
            self._spoken(text, turn, answered=commit is None or commit.answered)
        elif turn.interrupted_agent or turn.voiced_ms >= self._runtime.options.inaudible_min_ms:
            self._without_words(turn)
        if commit is not None:
            commit.done(text)
        self.changed()

    def _keep(self, turn: SpokenTurn) -> None:
        self._tell_decided(turn)
        if text := self._words_of(turn):
            self._alive()
            self.unanswered.keep(text, turn, self._keying.entry)
        if (commit := self._commits.take(turn)) is not None:
            commit.done(text)
        self.changed()

    def _without_words(self, turn: SpokenTurn) -> None:
        """Sound as long as a turn, but without words."""
        if not getattr(self._activities.agent, "heeds_sounds", True):
            return
        now = self._runtime.now()
        self._silence.heard(now)
        verdict = self._wordless.turn(turn.voiced_ms, now) if self._stt is not None else "ask"
        if verdict == "end":
            self._end("caller_wordless", "goodbye_wordless")
        elif self._talker.owes or (verdict == "pass" and not turn.cut_answer):
            return  # an answer is coming, or the caller has been asked often enough
        elif self._runtime.options.inaudible == "tell_model":
            self._answer(INAUDIBLE, turn)
        elif self._stt is not None:
            self._talker.say_canned("didnt_catch")

    @property
    def _by_hand(self) -> bool:
        """The application says when turns are over, and interrupts the agent."""
        return self.listener is not None and self.listener.detection == "manual"

    def _tell_decided(self, turn: SpokenTurn) -> None:
        if turn.decided_at is not None and not turn.told:
            turn.told = True
            self._runtime.emit(UserTurnEnded(turn.decided_at, turn.ended_at, turn.reason, turn.why))

    def _detection_of(self, agent: Agent) -> TurnDetection:
        own = agent.turn_detection
        if own is None:
            return self._runtime.options.turn_detection
        if problem := detection_problem(own, vad=self._vad is not None, stt=self._stt):
            _log.warning("%s: %s", agent.name, problem)
            return self._runtime.options.turn_detection
        return own

    # --- messages -------------------------------------------------------------------------------------------------

    def _spoken(self, text: str, turn: SpokenTurn, *, answered: bool) -> None:
        self._alive()
        self._messages.spoken(text, turn, self._keying.entry)
        if answered:
            self._answer(text, turn)
        else:
            self._talker.drop_prepared()
            self._messages.keep(text)

    def _answer(self, text: str, turn: SpokenTurn | None = None) -> None:
        self._talker.next_turn()
        self._talker.speaker.asked = False
        if self._talker.interruptible:
            self._barge_in.interrupt()
        self._messages.answer(text, turn)

    def _alive(self) -> None:
        """The caller has said or keyed something."""
        self._silence.heard(self._runtime.now())
        self._wordless.words()

    def answered(self, text: str) -> bool:
        """Whether a function was waiting for this message, so that it needs no answer."""
        return self._messages.answered(text)

    async def next_message(self, activity: Activity, expect: Expected | None = None) -> str:
        """The caller's next message to `activity`; the model does not answer it."""
        question: asyncio.Future[str] = self._runtime.loop.create_future()
        activity.questions.append(question)
        self._asked_for = expect
        self.changed()
        try:
            return await question
        finally:
            activity.questions.remove(question)
            self._asked_for = None
            self.changed()

    @property
    def _asking(self) -> bool:
        """A function of whoever has the caller is waiting for the next message."""
        return self._activities.top.asking

    # --- interruption ---------------------------------------------------------------------------------------------

    def _barged_in(self, event: BargeInEvent) -> None:
        turn = self.listener.turn if self.listener is not None else None
        match event:
            case NoInterruption() if self.listener is not None:
                self.listener.drop()
            case Interrupted(cut_answer=cut_answer) if turn is not None:
                turn.interrupted_agent = True
                turn.cut_answer |= cut_answer
            case Judged():
                self.changed()

    # --- keys -----------------------------------------------------------------------------------------------------

    def digit(self, digit: str, at: float) -> None:
        self._keying.pressed(digit, at)

    def _keys(self, event: KeyEvent) -> None:
        match event:
            case KeyPressed(expected=expected):
                self._alive()
                if expected:
                    self._talker.drop_prepared()
                    if self._talker.speaker.busy and self._talker.interruptible:
                        self._barge_in.interrupt()
            case KeysEntered(entered=entered):
                self._alive()
                self._messages.keyed(entered)
                (self.unanswered.keyed if self.unanswered.quiet else self._answer)(entered.text)
            case KeysSettled():
                self.changed()
