"""What the agent says and in which order: replies of the model one after another, and words said beside them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from agent.events import AgentHandoff
from agent.persona import Agent
from agent.pipeline.canned import CannedAudio
from agent.pipeline.conversation import Conversation
from agent.pipeline.reply import Reply, Waterfall
from agent.pipeline.speaker import Speaker
from agent.pipeline.talk_events import EndReached, PersonaChanged, TalkChanged, TalkEvent
from agent.pipeline.utterance import Kind, Utterance
from agent.pipeline.voice import CANNED_KINDS, Voice
from agent.providers.base import ChatMessage
from agent.speech.characters import speakable
from agent.speech_handle import SpeechHandle

__all__ = ["Talker"]


class Talker:
    def __init__(self, conversation: Conversation, canned: CannedAudio, happened: Callable[[TalkEvent], None]) -> None:
        self._conversation = conversation
        self._happened = happened
        self._queue: deque[Reply] = deque()
        self._active: Reply | None = None
        self._prepared: Reply | None = None
        self._entering_silently = 0
        self.speaker = Speaker(conversation, self._changed, self._utterance_failed)
        self.voice = Voice(conversation, self.speaker, canned, self._failed_too_often)

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

    # --- saying ---------------------------------------------------------------------------------------------------

    def say(self, text: str, kind: Kind = "say", *, allow_interruptions: bool = True) -> SpeechHandle:
        """Say these words after what is queued."""
        handle = SpeechHandle(self._interrupt_handle)
        utterance = self.voice.fixed(text, kind, handle, allow_interruptions=allow_interruptions)
        utterance.sole = True
        if self._conversation.ending and kind != "farewell":
            utterance.finish(heard="", interrupted=True)
            return handle
        self._conversation.said += speakable(text)
        self.voice.speak(utterance)
        return handle

    def say_canned(self, key: str, kind: Kind = "canned") -> SpeechHandle:
        return self.say(self._conversation.agent.say_canned(key), kind)

    def release(self, key: str) -> None:
        """The caller is back from hold: say these canned words (of an empty key: none), then what has waited."""
        text = self._conversation.agent.say_canned(key) if key and not self._conversation.ending else ""
        if not text:
            self.speaker.release()
            return
        utterance = self.voice.fixed(text, "canned", SpeechHandle(self._interrupt_handle), allow_interruptions=True)
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
        utterance = self.voice.new_utterance("say", handle, allow_interruptions=allow_interruptions, audio=pcm)
        utterance.set_text(text or f"[{name}]", whole=True)
        utterance.sole = True
        if self._conversation.ending:
            utterance.finish(heard="", interrupted=True)
            return handle
        if text:
            self._conversation.history.attach(utterance.entry)
        self.speaker.add(utterance)
        return handle

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
            self._changed()
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
            self.voice,
            user=user,
            instructions=instructions,
            waterfall=waterfall,
            allow_interruptions=allow,
            hand_over=self._hand_over,
            happened=self._happened,
            over=self._reply_over,
            handle=SpeechHandle(self._interrupt_handle),
        )

    def _begin_next(self) -> None:
        if self._active is None and self._queue:
            self._active = self._queue.popleft()
            self._active.begin()
            self._active.decide()
        self._changed()

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

    # --- what becomes of replies ----------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._happened(TalkChanged())

    def _failed_too_often(self) -> None:
        self._happened(EndReached("error", self._conversation.agent.say_canned("goodbye_error")))

    def _utterance_failed(self, utterance: Utterance) -> None:
        if utterance.kind in CANNED_KINDS:
            return
        if self._active is not None and self._active.handle is utterance.handle:
            self._active.failed = True
            self._active.stop()
        self.voice.fail()

    async def _hand_over(self, agent: Agent, words: str, handle: SpeechHandle) -> Utterance | None:
        """Another persona goes on: says `words` or its greeting; if it has neither and its `on_enter` says nothing,
        its model is asked."""
        old = self._conversation.agent
        await self._conversation.tasks.run_hook(lambda: old.on_exit(self._conversation.context()), "on_exit")
        self._conversation.emit(AgentHandoff(self._conversation.now(), old.name, agent.name))
        self.drop_prepared()
        self._conversation.become(agent)
        self._happened(PersonaChanged())
        utterance = None
        words = words if speakable(words) else ""
        if speakable(text := words or agent.greeting):
            utterance = self.voice.fixed(text, "reply" if words else "greeting", handle, allow_interruptions=True)
            self.voice.speak(utterance)
        self._conversation.entering += 1
        self._conversation.tasks.spawn(self._enter(agent, asked=utterance is None), "on_enter")
        return utterance

    async def _enter(self, agent: Agent, *, asked: bool) -> None:
        turn = self._conversation.turns
        said = self._conversation.said
        self._entering_silently += asked
        try:
            await self._conversation.tasks.run_hook(lambda: agent.on_enter(self._conversation.context()), "on_enter")
        finally:
            self._conversation.entering -= 1
            self._entering_silently -= asked
        active = self._conversation.agent is agent
        if asked and active and self._conversation.said == said and self._conversation.turns == turn:
            self.reply(None, Waterfall(turn))
        self._changed()
