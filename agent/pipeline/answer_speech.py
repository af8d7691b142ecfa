"""What is said to whoever has answered a call of ours: greeting, message, who calls."""

from __future__ import annotations

from collections.abc import Callable

from agent.answering import Answering
from agent.history import Entry, History
from agent.pipeline.activities import Activities
from agent.pipeline.ahead import INTERRUPTED
from agent.pipeline.runtime import Runtime
from agent.pipeline.talker import Talker
from agent.pipeline.utterance import Kind, Utterance
from agent.pipeline.waterfall import Waterfall
from agent.speech_handle import SpeechHandle
from agent.turns.who_answered import Greet

__all__ = ["AnswerSpeech"]


class AnswerSpeech:
    def __init__(
        self, runtime: Runtime, activities: Activities, talker: Talker, history: History, answering: Answering
    ) -> None:
        self._runtime = runtime
        self.activities = activities
        self._talker = talker
        self._history = history
        self._answering = answering
        self._message: Utterance | None = None
        self._greeting: SpeechHandle | None = None
        self._entered = False
        self.message_over: Callable[[bool], None] = lambda whole: None

    @property
    def message_text(self) -> str:
        recording = self._answering.recording
        return self._answering.message if recording is None else f"[{recording.name}]"

    @property
    def greets(self) -> bool:
        """The persona has a greeting that has not been said whole."""
        return bool(self.activities.agent.greeting) and not self._greeted

    @property
    def _greeted(self) -> bool:
        return self._greeting is not None and self._greeting.done() and not self._greeting.interrupted

    def silence(self, silent: bool) -> None:
        """Whether only this class may speak."""
        self._talker.speaker.silenced = silent

    def stop(self) -> None:
        """In mid-word; the history keeps what was heard."""
        self._message = None
        self._talker.interrupt(force=True)

    def greet(self, greet: Greet, *, asked: bool) -> Entry | None:
        """Begin the conversation. `asked`: without a greeting the model answers what was said. Returns the first of
        what is said."""
        agent, talker, before = self.activities.agent, self._talker, self._history.last
        first: Entry | None = None
        if greet.interrupted:
            talker.say_canned(INTERRUPTED)
            first = self._history.last
        if self.greets:
            self._greeting = talker.say(agent.greeting, "greeting", allow_interruptions=not greet.over)
        first = first or (self._history.last if self._history.last is not before else None)
        if not self._entered:
            self._entered = True
            talker.enters(self.activities.stack.persona, None, asked=asked)
        elif asked:
            talker.reply(None, Waterfall(talker.turn, decided_at=self._runtime.now()))
        return first

    def say_message(self) -> Entry | None:
        audio = self._talker.voice.ahead.recording
        if self._answering.recording is not None and audio is None:
            self.message_over(False)
            return None
        message = self._message = self._uninterruptible("message", self.message_text, audio)
        self._runtime.tasks.spawn(self._followed(message), "message")
        return message.entry

    def say_who_calls(self) -> Entry | None:
        text = self._answering.screener or self.activities.agent.greeting
        return self._uninterruptible("say", text).entry if text else None

    def _uninterruptible(self, kind: Kind, text: str, audio: bytes | None = None) -> Utterance:
        voice = self._talker.voice
        utterance = voice.new_utterance(
            kind, SpeechHandle(self._talker.speaker.drop_handle), allow_interruptions=False, audio=audio
        )
        utterance.set_text(text, whole=audio is not None)
        utterance.sole = True
        voice.speak(utterance)
        return utterance

    async def _followed(self, message: Utterance) -> None:
        await message.over.wait()
        if self._message is message:
            self._message = None
            self.message_over(not message.interrupted and message.error is None)
