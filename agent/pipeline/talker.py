"""What the agent says and in which order: replies of the model one after another, and words said beside them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from agent.events import AgentHandoff
from agent.persona import Agent
from agent.pipeline.canned import CannedAudio, in_spoken_form, speak, speak_canned, speak_filler
from agent.pipeline.conversation import Conversation
from agent.pipeline.reply import Reply, Waterfall
from agent.pipeline.sound_file import played
from agent.pipeline.speaker import Speaker
from agent.pipeline.utterance import Kind, Utterance
from agent.providers.base import TTS, ChatMessage, ProviderError, SpokenAudio
from agent.speech_handle import SpeechHandle

__all__ = ["CANNED_KINDS", "Talker", "TalkerOwner"]

_JUST_OVER_S = 1.5  # a function may still have something to write down after it has said so
CANNED_KINDS = frozenset({"canned", "silence_prompt", "farewell"})


class TalkerOwner(Protocol):
    """What the talker asks of the session."""

    def talk_changed(self) -> None:
        """The agent begins or ends being busy."""

    def agent_changed(self) -> None:
        """Another persona is active."""

    def begin_ending(self) -> None:
        """The call is going to end: hear nothing more."""

    def end(self, reason: str, farewell: str) -> None:
        """Play out what is queued, then `farewell`, and hang up."""


class Talker:
    def __init__(self, conversation: Conversation, owner: TalkerOwner, canned: CannedAudio) -> None:
        self._conversation = conversation
        self._owner = owner
        self._canned = canned
        self._queue: deque[Reply] = deque()
        self._active: Reply | None = None
        self._prepared: Reply | None = None
        self._entering_silently = 0
        self.speaker = Speaker(conversation, owner.talk_changed, self._utterance_failed)

    @property
    def busy(self) -> bool:
        """Something is being said, or will be without the caller doing anything."""
        return self.speaker.busy or self._active is not None or bool(self._queue)

    @property
    def owes(self) -> bool:
        """Something is to be heard without the caller doing anything."""
        return self.busy or self._entering_silently > 0

    @property
    def working(self) -> bool:
        """Functions run, whose outcome the caller waits for."""
        return self._active is not None and self._active.working

    @property
    def interruptible(self) -> bool:
        """Busy with what may be interrupted."""
        if not self.busy or self._conversation.ending:
            return False
        return self.speaker.interruptible and (self._active is None or self._active.allow_interruptions)

    @property
    def speaking_or_just_over(self) -> bool:
        """What a function has said was its outcome, and no word before a wait."""
        return self.speaker.speaking or self._conversation.now() - self.speaker.words_until < _JUST_OVER_S

    # --- saying ---------------------------------------------------------------------------------------------------

    def say(self, text: str, kind: Kind = "say", *, allow_interruptions: bool = True) -> SpeechHandle:
        """Say these words after what is queued."""
        handle = SpeechHandle(self._interrupt_handle)
        utterance = self.fixed(text, kind, handle, allow_interruptions=allow_interruptions)
        utterance.sole = True
        if self._conversation.ending and kind != "farewell":
            utterance.finish(heard="", interrupted=True)
            return handle
        self._conversation.said += 1
        self._conversation.history.attach(utterance.entry)
        self.speaker.add(utterance)
        return handle

    def say_canned(self, key: str, kind: Kind = "canned") -> SpeechHandle:
        return self.say(self._conversation.agent.say_canned(key), kind)

    def release(self, key: str) -> None:
        """The caller is back from hold: say these canned words (of an empty key: none), then what has waited."""
        text = self._conversation.agent.say_canned(key) if key and not self._conversation.ending else ""
        if not text:
            self.speaker.release()
            return
        utterance = self.fixed(text, "canned", SpeechHandle(self._interrupt_handle), allow_interruptions=True)
        utterance.sole = True
        self._conversation.history.attach(utterance.entry)
        self.speaker.release(utterance)

    def go_on(self, history: Sequence[ChatMessage]) -> None:
        """Take up a conversation that was cut off: a holding sentence, then what the caller waits for."""
        conversation = self._conversation
        for message in history:
            conversation.history.add(message)
        conversation.turns = sum(message.role == "user" for message in history)
        self.say_canned("one_moment")
        last = history[-1] if history else None
        if last is None:
            if conversation.agent.greeting:
                self.say(conversation.agent.greeting, "greeting")
        elif last.role != "assistant":
            self.reply(None, Waterfall(conversation.turns, decided_at=conversation.now()))
        elif last.text:
            self.say(last.text)  # most likely a question, of whose answer nothing was heard

    def play(self, pcm: bytes, text: str, name: str, *, allow_interruptions: bool) -> SpeechHandle:
        """Play 8 kHz audio after what is queued. `text`: its words, which the model is told; without, the transcript
        has the `name`."""
        handle = SpeechHandle(self._interrupt_handle)
        utterance = self.new_utterance("say", handle, allow_interruptions=allow_interruptions, audio=pcm)
        utterance.set_text(text or f"[{name}]", whole=True)
        utterance.sole = True
        if self._conversation.ending:
            utterance.finish(heard="", interrupted=True)
            return handle
        if text:
            self._conversation.history.attach(utterance.entry)
        self.speaker.add(utterance)
        return handle

    def new_utterance(
        self, kind: Kind, handle: SpeechHandle, *, allow_interruptions: bool, audio: bytes | None = None
    ) -> Utterance:
        """`audio`: its sound, instead of what the synthesis makes of its text."""
        voiced = self._conversation.tts is not None or (audio is not None and self._conversation.output is not None)
        utterance = Utterance(
            kind,
            handle,
            allow_interruptions=allow_interruptions,
            voiced=voiced,
            language=self._conversation.agent.language,
            max_characters=self._conversation.options.max_reply_characters,
        )
        if voiced:
            agent, tts = self._conversation.agent, self._conversation.tts  # these, also after a handoff
            utterance.synthesis = self._conversation.spawn(
                utterance.synthesize(
                    lambda text: self._speak(agent, tts, kind, text) if audio is None else played(audio)
                ),
                f"speak {kind}",
            )
        return utterance

    def speak(self, utterance: Utterance) -> None:
        self.speaker.add(utterance)

    def fixed(self, text: str, kind: Kind, handle: SpeechHandle, *, allow_interruptions: bool) -> Utterance:
        """An utterance of which all words are known; it is yet to be put into the history and to the speaker."""
        utterance = self.new_utterance(kind, handle, allow_interruptions=allow_interruptions)
        utterance.set_text(text, whole=kind in CANNED_KINDS)
        return utterance

    def _speak(self, agent: Agent, tts: TTS | None, kind: Kind, text: str) -> AsyncGenerator[SpokenAudio, None]:
        options = self._conversation.options
        if tts is None:
            raise ProviderError("session", "has no TTS")
        if kind not in CANNED_KINDS:
            return speak(tts, agent, text, options, lambda error, action: self._report(error, action))
        fallback = in_spoken_form(agent, "goodbye_error" if kind == "farewell" else "unavailable")
        return speak_canned(
            tts, agent, text, options, lambda error, action: self._report(error, action), self._canned, fallback
        )

    def _report(self, error: ProviderError, action: str) -> None:
        self._conversation.provider_failed("tts", error, "retry" if action == "retry" else "canned")

    # --- replying -------------------------------------------------------------------------------------------------

    def reply(
        self,
        user: ChatMessage | None,
        waterfall: Waterfall,
        *,
        instructions: str = "",
        allow_interruptions: bool = True,
    ) -> SpeechHandle:
        """Let the model answer, after the replies under way. One that was prepared for the same words is taken."""
        prepared, self._prepared = self._prepared, None
        fits = prepared is not None and user is not None and prepared.user == user and not prepared.lost
        if prepared is not None and fits and not self.busy and not instructions:
            prepared.waterfall.turn = waterfall.turn
            prepared.waterfall.decided_at = waterfall.decided_at
            self._active = prepared
            prepared.decide()
            self._owner.talk_changed()
            return prepared.handle
        if prepared is not None:
            prepared.stop()
        self._conversation.said += user is None
        reply = self._make(user, waterfall, instructions, allow_interruptions)
        if self._conversation.ending:
            reply.stop()
            return reply.handle
        self._queue.append(reply)
        self._begin_next()
        return reply.handle

    def prepare(self, user: ChatMessage, waterfall: Waterfall) -> None:
        """The caller is probably done: begin to answer, unheard. Only when nothing else is under way."""
        if self.busy or self._conversation.ending:
            return
        self.drop_prepared()
        self._prepared = self._make(user, waterfall, "", True)
        self._prepared.begin()

    def drop_prepared(self) -> None:
        """The caller goes on."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.stop()

    def interrupt(self, *, force: bool = False) -> bool:
        """Stop what may be stopped; whether anything was."""
        stopped = self.stop_replies(force=force)
        return self.speaker.interrupt(force=force) or stopped

    def disallow_interruptions(self) -> None:
        """The reply under way comes to its end, whatever the caller says."""
        if self._active is not None:
            self._active.disallow_interruptions()

    def stop_replies(self, *, force: bool = False) -> bool:
        """No more of the replies; what is being said goes on."""
        kept: deque[Reply] = deque()
        waiting, self._queue = self._queue, kept
        for reply in waiting:
            if force or reply.allow_interruptions:
                reply.stop()
            else:
                kept.append(reply)
        self.drop_prepared()
        if self._active is not None and (force or self._active.allow_interruptions):
            self._active.stop()
            return True
        return len(kept) < len(waiting)

    def _make(self, user: ChatMessage | None, waterfall: Waterfall, instructions: str, allow: bool) -> Reply:
        return Reply(
            self._conversation,
            self,
            user=user,
            instructions=instructions,
            waterfall=waterfall,
            allow_interruptions=allow,
            over=self._reply_over,
            handle=SpeechHandle(self._interrupt_handle),
        )

    def _begin_next(self) -> None:
        if self._active is None and self._queue:
            self._active = self._queue.popleft()
            self._active.begin()
            self._active.decide()
        self._owner.talk_changed()

    def _reply_over(self, reply: Reply) -> None:
        if reply is self._active:
            self._active = None
            self._begin_next()

    def _interrupt_handle(self, handle: SpeechHandle) -> None:
        for reply in (self._active, *self._queue):
            if reply is not None and reply.handle is handle:
                reply.stop()
        self._queue = deque(reply for reply in self._queue if reply.handle is not handle)
        self.speaker.drop_handle(handle)

    def fill(self, key: str) -> None:
        """Bridge a wait with canned words. They are no part of the conversation that the model reads."""
        conversation = self._conversation
        tts, options, agent = conversation.tts, conversation.options, conversation.agent
        text = agent.say_canned(key)
        if tts is None or not text:
            return
        utterance = Utterance("canned", SpeechHandle(), allow_interruptions=True, voiced=True, language=agent.language)
        utterance.set_text(text, whole=True)
        utterance.synthesis = conversation.spawn(
            utterance.synthesize(lambda text: speak_filler(tts, agent, text, options, self._canned)), "speak filler"
        )
        self.speaker.fill(utterance)

    # --- what replies ask for -------------------------------------------------------------------------------------

    def apologize(self, key: str, handle: SpeechHandle, *, failure: bool) -> Utterance | None:
        """Say canned words within a reply; after too many failures in a row the call ends instead (None)."""
        agent = self._conversation.agent
        if self._conversation.ending:
            return None
        if failure and self._conversation.failures.failed():
            self._owner.end("error", agent.say_canned("goodbye_error"))
            return None
        utterance = self.fixed(agent.say_canned(key), "canned", handle, allow_interruptions=True)
        self._conversation.history.attach(utterance.entry)
        self.speaker.add(utterance)
        return utterance

    def fail(self) -> None:
        """Something that was to be answered or said failed outside a reply."""
        self.apologize("unavailable", SpeechHandle(), failure=True)

    def _utterance_failed(self, utterance: Utterance) -> None:
        if utterance.kind in CANNED_KINDS:
            return
        if self._active is not None and self._active.handle is utterance.handle:
            self._active.failed = True
            self._active.stop()
        self.fail()

    async def hand_over(self, agent: Agent, words: str, handle: SpeechHandle) -> Utterance | None:
        """Another persona goes on: says `words` or its greeting; if it has neither and its `on_enter` says nothing,
        its model is asked."""
        old = self._conversation.agent
        await self._conversation.run_hook(old.on_exit(self._conversation.context()), "on_exit")
        self._conversation.emit(AgentHandoff(self._conversation.now(), old.name, agent.name))
        self.drop_prepared()
        self._conversation.become(agent)
        self._owner.agent_changed()
        utterance = None
        if text := words or agent.greeting:
            utterance = self.fixed(text, "reply" if words else "greeting", handle, allow_interruptions=True)
            self._conversation.history.attach(utterance.entry)
            self.speaker.add(utterance)
        self._conversation.entering += 1
        self._conversation.spawn(self._enter(agent, asked=not text), "on_enter")
        return utterance

    async def _enter(self, agent: Agent, *, asked: bool) -> None:
        turn = self._conversation.turns
        said = self._conversation.said
        self._entering_silently += asked
        try:
            await self._conversation.run_hook(agent.on_enter(self._conversation.context()), "on_enter")
        finally:
            self._conversation.entering -= 1
            self._entering_silently -= asked
        active = self._conversation.agent is agent
        if asked and active and self._conversation.said == said and self._conversation.turns == turn:
            self.reply(None, Waterfall(turn))
        self._owner.talk_changed()

    def begin_ending(self) -> None:
        self._owner.begin_ending()

    def end(self) -> None:
        self._owner.end("agent_ended", "")
