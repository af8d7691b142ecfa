"""The parts of a session that runs: what one of them tells becomes verbs of the others, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from agent.clock import ThreadOffload, has_real_time
from agent.events import CallerBack, CallerHeld, SessionEvent
from agent.loop_watch import watch_of
from agent.persona import Agent
from agent.pipeline.alarm import Alarm
from agent.pipeline.bridging import Bridging
from agent.pipeline.canned import CannedAudio
from agent.pipeline.conversation import Conversation
from agent.pipeline.ending import Ending
from agent.pipeline.holding import Holding
from agent.pipeline.talk_events import (
    EndReached,
    FarewellBegan,
    PersonaChanged,
    SituationChanged,
    TalkChanged,
    TalkEvent,
    TurnEvent,
)
from agent.pipeline.talker import Talker
from agent.pipeline.task_runs import TaskRuns
from agent.pipeline.turn_taking import TurnTaking
from agent.pipeline.watching import WatchedSession
from agent.providers.base import STT, VAD, ProviderError
from agent.turns.limits import CallTooLong, LengthLimit

__all__ = ["RunningSession"]


class RunningSession:
    def __init__(
        self,
        conversation: Conversation,
        *,
        vad: VAD | None,
        stt: STT | None,
        canned_audio: CannedAudio,
        max_call_ms: float | None,
        changed: Callable[[], None],
        close: Callable[[str], object],
    ) -> None:
        """`changed` is called when the agent begins or ends being busy, `close` when the last word has been said."""
        self.conversation = conversation
        self._canned_audio = canned_audio
        self._changed = changed
        self.talker = Talker(conversation, canned_audio, self._talk)
        reported = conversation.casting.reporting("stt", stt) if stt is not None else None
        self.turns = TurnTaking(conversation, self.talker, vad, reported, self._turn)
        self.task_runs = TaskRuns(conversation, self.talker, self._talk)
        self._unwatch = self._watch()
        listener = self.turns.listener
        self._bridging = Bridging(conversation, self.talker, lambda: listener is not None and listener.busy)
        self.ending = Ending(conversation, self.talker, self.turns.stop, close)
        self.holding = Holding(conversation, self.talker, self.turns, self.ending)
        limit = LengthLimit(max_call_ms=max_call_ms, started_at=conversation.now())
        self._limit_alarm = Alarm(conversation.loop, limit, self._too_long)
        self._limit_alarm.set()

    def make_canned(self) -> None:
        """Make the canned words of the persona that is active ahead, if there is a voice for them."""
        if self.conversation.tts is not None:
            self.conversation.tasks.spawn(self._make_canned(self.conversation.agent), "canned audio")

    async def stop(self) -> None:
        """Nothing more is heard, said or done, but `on_exit`."""
        conversation = self.conversation
        conversation.ending = conversation.closing = True
        self.turns.stop()
        self._bridging.stop()
        self._limit_alarm.cancel()
        self.holding.stop()
        self.talker.stop_replies(force=True)
        self.talker.speaker.close()
        activities = reversed(tuple(conversation.activities.stack))
        await conversation.tasks.cancel()
        for activity in activities:
            await conversation.activities.leave(activity)
        await conversation.tasks.all_let_go()

    def happened(self, event: SessionEvent) -> None:
        """Each event of the session."""
        self.holding.happened(event)
        match event:
            case CallerHeld():
                self.task_runs.hold()
            case CallerBack():
                self.task_runs.resume()

    def unwatch(self) -> None:
        """What blocks the loop from now on is not this session's."""
        self._unwatch()

    @property
    def idle(self) -> bool:
        """The agent has nothing left to say or do before the caller says something."""
        top = self.conversation.activities.top
        talking = self.talker.speaker.busy if top.asking else self.talker.busy or top.entering
        return not (talking or self.conversation.ending)

    # --- what the parts tell --------------------------------------------------------------------------------------

    def _talk(self, event: TalkEvent) -> None:
        match event:
            case TalkChanged():
                self._changed()
                self.turns.changed()
                self._bridging.changed()
                self.task_runs.changed()
            case PersonaChanged():
                self.turns.agent_changed()
                self.make_canned()
            case FarewellBegan():
                self.ending.begin()
            case EndReached(reason=reason, farewell=farewell):
                self.ending.end(reason, farewell)

    def _turn(self, event: TurnEvent) -> None:
        match event:
            case SituationChanged():
                self._changed()
                self._bridging.changed()
            case EndReached(reason=reason, farewell=farewell):
                self.ending.end(reason, farewell)

    def _too_long(self, actions: tuple[CallTooLong, ...]) -> None:
        if actions:
            self.ending.end("max_length", self.conversation.agent.say_canned("goodbye_max_length"), cut=True)

    async def _make_canned(self, agent: Agent) -> None:
        conversation = self.conversation
        if conversation.tts is None:
            return
        # Nobody waits for it: a failure matters only when the sentence is needed, and is met then.
        with suppress(ProviderError):
            await self._canned_audio.make(
                agent,
                conversation.tts,
                conversation.options,
                lambda error, _: conversation.provider_failed("tts", error, "ignored"),
            )

    def _watch(self) -> Callable[[], None]:
        """Unless time is virtual: then nothing blocks, and no thread has a place."""
        conversation = self.conversation
        if not (isinstance(conversation.offload, ThreadOffload) and has_real_time(conversation.loop)):
            return lambda: None
        watch, watched = watch_of(conversation.loop), WatchedSession(conversation, self._canned_audio)
        conversation.tasks.watch = partial(watch.runs, watched)
        watch.join(watched)
        return partial(watch.leave, watched)
