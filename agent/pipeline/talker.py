"""What the agent says and in which order: the model's replies in sequence, and other speech."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from agent.activity import Activity
from agent.events import AgentHandoff
from agent.history import History
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.canned import CannedAudio
from agent.pipeline.floor import Floor
from agent.pipeline.reply import Reply
from agent.pipeline.runtime import Runtime
from agent.pipeline.speaker import Speaker
from agent.pipeline.talk_events import EndReached, PersonaChanged, TalkChanged, TalkEvent
from agent.pipeline.utterance import Kind, Utterance
from agent.pipeline.voice import CANNED_KINDS, Voice
from agent.pipeline.waterfall import Waterfall
from agent.providers.base import ChatMessage
from agent.speech.characters import speakable
from agent.speech_handle import SpeechHandle
from agent.tasks.task import Task
from agent.within import Within, within

__all__ = ["Talker"]

_MOST_NESTED = 8  # replies that wait for each other; a deeper one has no tools


class Talker:
    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        history: History,
        canned: CannedAudio,
        happened: Callable[[TalkEvent], None],
    ) -> None:
        self._runtime = runtime
        self._activities = activities
        self._history = history
        self._happened = happened
        self._floors: list[Floor[Reply]] = [Floor(activities.top)]
        self._prepared: Reply | None = None
        self._entering_silently = 0
        self._caller_is_done = asyncio.Event()  # clear: waiting for what the caller has begun to say
        self._caller_is_done.set()
        self.turn = 0  # of the caller, so far
        self.speaker = Speaker(runtime, self._changed, self._utterance_failed)
        self.voice = Voice(runtime, activities, history, self.speaker, canned, self._failed_too_often)

    @property
    def _floor(self) -> Floor[Reply]:
        """The floor of whoever has the caller."""
        return self._floors[-1]

    @property
    def busy(self) -> bool:
        """Something is being said, or will be without the caller's doing."""
        return self.speaker.busy or self._floor.busy

    @property
    def owes(self) -> bool:
        """Something will be heard without the caller's doing."""
        return self.busy or self._entering_silently > 0

    @property
    def working(self) -> bool:
        """Functions are running and the caller waits for their outcome."""
        return self._floor.working

    @property
    def interruptible(self) -> bool:
        """Busy with something that may be interrupted."""
        if not self.busy or self.speaker.closed:
            return False
        return self.speaker.interruptible and self._floor.interruptible

    def next_turn(self) -> int:
        """The caller has said something; returns the number of that turn."""
        self.turn += 1
        return self.turn

    def caller_goes_on(self) -> None:
        """Functions' results wait until what the caller has begun to say is settled."""
        self._caller_is_done.clear()

    def caller_is_done(self) -> None:
        """It is settled."""
        self._caller_is_done.set()

    # --- saying ---------------------------------------------------------------------------------------------------

    def say(self, text: str, kind: Kind = "say", *, allow_interruptions: bool = True) -> SpeechHandle:
        """Say this text after the queued speech."""
        handle = SpeechHandle(self._interrupt_handle)
        utterance = self.voice.fixed(text, kind, handle, allow_interruptions=allow_interruptions)
        utterance.sole = True
        if self.speaker.closed and kind != "farewell":
            utterance.finish(heard="", interrupted=True)
            return handle
        self.voice.by_code += speakable(text)
        self.voice.speak(utterance)
        return handle

    def say_canned(self, key: str, kind: Kind = "canned") -> SpeechHandle:
        return self.say(self._activities.agent.say_canned(key), kind)

    def release(self, key: str) -> None:
        """The caller is back from hold: say this canned phrase (empty key: none), then pending speech."""
        text = self._activities.agent.say_canned(key) if key and not self.speaker.closed else ""
        if not text:
            self.speaker.release()
            return
        utterance = self.voice.fixed(text, "canned", SpeechHandle(self._interrupt_handle), allow_interruptions=True)
        utterance.sole = True
        self._history.attach(utterance.entry)
        self.speaker.release(utterance)

    def go_on(self, history: Sequence[ChatMessage]) -> None:
        """Resume an interrupted conversation: a holding phrase, then what the caller is waiting for."""
        for message in history:
            self._history.add(message)
        self.turn = sum(message.role == "user" for message in history)
        self.say_canned("one_moment")
        last = history[-1] if history else None
        if last is None:
            if self._activities.agent.greeting:
                self.say(self._activities.agent.greeting, "greeting")
        elif last.role != "assistant":
            self.reply(None, Waterfall(self.turn, decided_at=self._runtime.now()))
        elif last.text:
            self.say(last.text)  # most likely a question, of whose answer nothing was heard

    def play(self, pcm: bytes, text: str, name: str, *, allow_interruptions: bool) -> SpeechHandle:
        """Play 8 kHz audio after the queued speech. `text`: its words, for the model; without it, the transcript has
        the `name`."""
        handle = SpeechHandle(self._interrupt_handle)
        utterance = self.voice.new_utterance("say", handle, allow_interruptions=allow_interruptions, audio=pcm)
        utterance.set_text(text or f"[{name}]", whole=True)
        utterance.sole = True
        if self.speaker.closed:
            utterance.finish(heard="", interrupted=True)
            return handle
        if text:
            self._history.attach(utterance.entry)
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
        place: Within | None = None,
    ) -> SpeechHandle:
        """Let the model answer, after the current replies. Uses a reply prepared for the same words. `place`: of the
        requesting tool or hook."""
        prepared, self._prepared = self._prepared, None
        fits = prepared is not None and user is not None and prepared.user == user and not prepared.lost
        if prepared is not None and fits and not self.busy and not instructions:
            prepared.waterfall.turn = waterfall.turn
            prepared.waterfall.decided_at = waterfall.decided_at
            self._floor.under_way.append(prepared)
            prepared.decide()
            self._changed()
            return prepared.handle
        if prepared is not None:
            prepared.stop()
        self.voice.by_code += user is None
        floor = self._floor_of(place)
        reply = self._make(floor, user, waterfall, instructions, allow_interruptions)
        if self.speaker.closed:
            reply.stop()
            return reply.handle
        floor.waiting.append(reply)
        self._begin_next()
        return reply.handle

    def prepare(self, user: ChatMessage, waterfall: Waterfall) -> None:
        """The caller is probably done: begin to answer, unheard. Only when nothing else is under way."""
        if self.busy or self.speaker.closed:
            return
        self.drop_prepared()
        self._prepared = self._make(self._floor, user, waterfall, "", True)
        self._prepared.begin()

    def drop_prepared(self) -> None:
        """The caller continues."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.stop()

    def interrupt(self, *, force: bool = False) -> bool:
        """Stop everything that may be stopped; returns whether anything was."""
        stopped = self.stop_replies(force=force)
        return self.speaker.interrupt(force=force) or stopped

    def disallow_interruptions(self, place: Within | None = None) -> None:
        """The current reply (the one waiting for the tool of `place`) can no longer be interrupted."""
        if place is not None and isinstance(place.reply, Reply):
            place.reply.disallow_interruptions()
        elif self._floor.active is not None:
            self._floor.active.disallow_interruptions()

    def stop_replies(self, *, force: bool = False) -> bool:
        """Stop the replies of the activity that has the caller; current speech continues. `force`: all replies,
        including those that wait for tasks too."""
        self.drop_prepared()
        floors = self._floors if force else [self._floor]
        return self._stop(
            [reply for floor in reversed(floors) for reply in floor if force or reply.allow_interruptions]
        )

    def _stop(self, replies: Iterable[Reply]) -> bool:
        stopped = False
        for reply in replies:
            for floor in self._floors:
                floor.forget(reply)
            reply.stop()
            stopped = True
        return stopped

    def _make(
        self, floor: Floor[Reply], user: ChatMessage | None, waterfall: Waterfall, instructions: str, allow: bool
    ) -> Reply:
        return Reply(
            self._runtime,
            self._activities,
            self._history,
            floor.activity,
            self.voice,
            user=user,
            instructions=instructions,
            waterfall=waterfall,
            allow_interruptions=allow,
            # A reply within a tool of a reply ...: limit the depth, whatever models call.
            may_use_tools=sum(len(one.under_way) for one in self._floors) <= _MOST_NESTED,
            caller_is_done=self._caller_is_done.wait,
            hand_over=self._hand_over,
            happened=self._happened,
            over=self._reply_over,
            handle=SpeechHandle(self._interrupt_handle, self._handle_awaited),
        )

    def _begin_next(self) -> None:
        if (reply := self._floor.next()) is not None:
            reply.begin()
            reply.decide()
        self._changed()

    def _reply_over(self, reply: Reply) -> None:
        if any(floor.over(reply) for floor in self._floors):
            self._begin_next()

    def _reply_of(self, handle: SpeechHandle) -> Reply | None:
        return next((reply for floor in self._floors for reply in floor if reply.handle is handle), None)

    def _interrupt_handle(self, handle: SpeechHandle) -> None:
        if (reply := self._reply_of(handle)) is not None:
            self._stop((reply,))
        self.speaker.drop_handle(handle)

    def _handle_awaited(self, handle: SpeechHandle) -> None:
        """A tool or hook of one reply waits for another reply, which goes first."""
        place, inner = within(), self._reply_of(handle)
        if place is not None and inner is not None:
            for floor in self._floors:
                floor.awaits(inner, place.reply)
            self._begin_next()

    # --- activities -----------------------------------------------------------------------------------------------

    def _floor_of(self, place: Within | None) -> Floor[Reply]:
        """The floor of a reply requested at `place`: a persona's tool does not speak in the name of a task."""
        if place is None:
            return self._floor
        return next((floor for floor in self._floors if floor.activity is place.activity), self._floor)

    def free(self, place: Within) -> bool | None:
        """Whether a task awaited at `place` may begin: its activity has the caller and no other reply does. None:
        never, since its activity is over."""
        floor = next((floor for floor in self._floors if floor.activity is place.activity), None)
        if floor is None or self.speaker.closed:
            return None
        if place.reply is None:
            return floor is self._floor and not floor.under_way
        if place.reply not in floor.under_way:
            return None
        return floor is self._floor and floor.active is place.reply

    def begin_task(self, activity: Activity, place: Within) -> None:
        """A task has the caller: says its greeting. If it has none and its `on_enter` says nothing, its model is asked.
        For the reply waiting for it, these are the words that the caller has been waiting for."""
        self.drop_prepared()
        self._floors.append(Floor(activity))
        asker = place.reply if isinstance(place.reply, Reply) else None
        greets = speakable(activity.agent.greeting)
        if greets:
            utterance = self.voice.fixed(
                activity.agent.greeting, "greeting", SpeechHandle(self._interrupt_handle), allow_interruptions=True
            )
            utterance.sole = True
            if asker is not None:
                asker.hear_for(utterance)
            self.voice.speak(utterance)
        asks = not greets and getattr(activity.agent, "asks_at_once", True)
        self.enters(activity, asker.waterfall if asker is not None else None, asked=asks)

    def end_task(self, gone: Sequence[Activity], place: Within) -> list[Reply]:
        """A task and everything its tools started above it is over: current speech continues, nothing more is added.
        A waiter at `place` continues. Returns the task's replies whose functions are still running."""
        floors = [floor for floor in self._floors if floor.activity in gone]
        if self._activities.were_secret(gone):
            self._history.redact(gone)
        self._floors = [floor for floor in self._floors if floor not in floors]
        self.drop_prepared()
        last = floors[-1].active if floors else None
        if last is not None and isinstance(place.reply, Reply):
            place.reply.answers_for(last)
        retired = self.retire(floors)
        self._begin_next()
        return retired

    @staticmethod
    def retire(floors: Iterable[Floor[Reply]]) -> list[Reply]:
        """Abandon these replies for good."""
        retired: list[Reply] = []
        for floor in floors:
            for reply in floor.waiting:
                reply.stop()
            for reply in floor.under_way:
                reply.retire()
            retired += floor.under_way
        return retired

    # --- what becomes of replies ----------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._happened(TalkChanged())

    def _failed_too_often(self) -> None:
        self._happened(EndReached("error", self._activities.agent.say_canned("goodbye_error")))

    def _utterance_failed(self, utterance: Utterance) -> None:
        if utterance.kind in CANNED_KINDS:
            return
        reply = self._reply_of(utterance.handle)
        if reply is not None and any(reply in floor.under_way for floor in self._floors):
            reply.failed = True
            reply.stop()
        self.voice.fail()

    async def _hand_over(self, agent: Agent, words: str, handle: SpeechHandle) -> Utterance | None:
        """Another persona takes over: it says `words` or its greeting; if it has neither and its `on_enter` says
        nothing, its model is asked. Running tasks, and whatever waits for them, end with the previous persona."""
        activities, reply = self._activities, self._reply_of(handle)
        old = activities.top
        for activity in reversed(tuple(activities.stack)):
            await activities.leave(activity, reply)
        if reply is None:
            return None  # its task has ended meanwhile
        return self._takes_over(agent, words, handle, self._floor, old)

    async def hand_over(self, agent: Agent, words: str = "") -> None:
        """As a tool that returns `agent`, but for other code: whatever the previous persona was about to say is
        dropped. Raises ValueError for an unknown provider name."""
        activities = self._activities
        old = activities.top
        for activity in reversed(tuple(activities.stack)):
            await activities.leave(activity)
        if self.speaker.closed or activities.top is not old:
            return
        self._takes_over(agent, words, SpeechHandle(self._interrupt_handle), Floor(old), old)

    def _takes_over(
        self, agent: Agent, words: str, handle: SpeechHandle, floor: Floor[Reply], old: Activity
    ) -> Utterance | None:
        activities = self._activities
        activities.hand_over(agent)
        self._runtime.emit(AgentHandoff(self._runtime.now(), old.name, agent.name))
        self.drop_prepared()
        self.retire(each for each in self._floors if each is not floor)
        floor.activity = activities.top
        self._floors = [floor]
        self._happened(PersonaChanged())
        utterance = None
        words = words if speakable(words) else ""
        if speakable(text := words or agent.greeting):
            utterance = self.voice.fixed(text, "reply" if words else "greeting", handle, allow_interruptions=True)
            self.voice.speak(utterance)
        self.enters(floor.activity, None, asked=utterance is None)
        return utterance

    async def replace(self, agent: Agent) -> None:
        """As `_hand_over`, on nobody's reply: what is being replied is given up."""
        activities = self._activities
        old = activities.top
        for activity in reversed(tuple(activities.stack)):
            await activities.leave(activity)
        self._stop([reply for floor in self._floors for reply in floor])
        self._runtime.emit(AgentHandoff(self._runtime.now(), old.name, agent.name))
        self.drop_prepared()
        floor = self._floor
        activities.hand_over(agent)
        self.retire(self._floors[:-1])
        floor.activity = activities.top
        self._floors = [floor]
        self._happened(PersonaChanged())
        if greets := speakable(agent.greeting):
            self.say(agent.greeting, "greeting")
        self.enters(floor.activity, None, asked=not greets)

    def enters(self, activity: Activity, waterfall: Waterfall | None, *, asked: bool) -> None:
        self._entering_silently += asked
        self._runtime.tasks.spawn(self._enter(activity, waterfall, asked), "on_enter")

    async def _enter(self, activity: Activity, waterfall: Waterfall | None, asked: bool) -> None:
        activities, agent = self._activities, activity.agent
        turn, said = self.turn, self.voice.by_code
        try:
            failed = await activities.enter(activity)
        finally:
            self._entering_silently -= asked
        if failed is not None and isinstance(agent, Task):
            agent.fail(failed)
        quiet = self.voice.by_code == said and self.turn == turn
        if asked and quiet and activities.top is activity and not (isinstance(agent, Task) and agent.done):
            self.reply(None, waterfall or Waterfall(turn))
        self._changed()
