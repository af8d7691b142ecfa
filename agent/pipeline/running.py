"""The parts of a running session: events of one part become calls to the others, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.activity import Activity
from agent.answering import Answering
from agent.clock import ThreadOffload, has_real_time
from agent.events import CallerBack, CallerHeld, SessionEvent, UserStoppedSpeaking
from agent.history import History
from agent.loop_watch import watch_of
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.alarm import Alarm
from agent.pipeline.answer_speech import AnswerSpeech
from agent.pipeline.answered_menu import AnsweredMenu
from agent.pipeline.answering import CallAnswering
from agent.pipeline.bridging import Bridging
from agent.pipeline.canned import CannedAudio
from agent.pipeline.casting import Casting
from agent.pipeline.ending import Ending
from agent.pipeline.holding import Holding
from agent.pipeline.keying import Keying
from agent.pipeline.messages import Messages
from agent.pipeline.recording import RecordingPauses
from agent.pipeline.runtime import Runtime
from agent.pipeline.talk_events import (
    EndReached,
    FarewellBegan,
    PersonaChanged,
    SituationChanged,
    TalkChanged,
    TalkEvent,
    TokensUsed,
    TurnEvent,
)
from agent.pipeline.talker import Talker
from agent.pipeline.task_runs import TaskRuns
from agent.pipeline.turn_taking import TurnTaking
from agent.pipeline.watching import WatchedSession
from agent.privacy import Privacy
from agent.providers.base import LLM, STT, TTS, VAD, ProviderError
from agent.providers.named import NamedProviders
from agent.session_verbs import SessionVerbs
from agent.tasks.task import Task
from agent.turns.limits import CallTooLong, LengthLimit
from agent.within import Within
from telephony.media.answering.model import WhoAnswered
from telephony.rooms.protocol import AudioInput

__all__ = ["Providers", "RunningSession"]


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers that hear, think and speak. `named`: creates those that personas name."""

    vad: VAD | None
    stt: STT | None
    llm: LLM | None
    tts: TTS | None
    named: NamedProviders
    canned_audio: CannedAudio


class RunningSession:
    def __init__(
        self,
        session: SessionVerbs,
        agent: Agent,
        runtime: Runtime,
        providers: Providers,
        *,
        userdata: Any,
        privacy: Privacy,
        recording: RecordingPauses,
        changed: Callable[[], None],
        close: Callable[[str], object],
    ) -> None:
        """`session`: what tools and hooks are given as it. `changed` is called when the agent begins or ends being
        busy, `close` when the last word has been said. Raises ValueError for an unknown provider name."""
        self.runtime = runtime
        self._canned_audio = providers.canned_audio
        self._changed = changed
        voiced = runtime.output is not None
        casting = Casting(providers.llm, providers.tts, providers.named, runtime.provider_failed, voiced=voiced)
        self.activities = self._activities(session, agent, casting, userdata)
        self.history = History(lambda: self.activities.top)
        self.tokens = (0, 0)  # of prompts and completions
        self.talker = Talker(runtime, self.activities, self.history, providers.canned_audio, self._talk)
        self.task_runs = TaskRuns(runtime, self.activities, self.talker, self._talk)
        stt = casting.reporting("stt", providers.stt) if providers.stt is not None and voiced else None
        self._messages = Messages(runtime, self.activities, self.history, self.talker, privacy)
        self.turns = turns = TurnTaking(
            runtime,
            self.activities,
            self.talker,
            self._messages,
            Keying(runtime, self.activities, privacy, recording),
            vad=providers.vad if voiced else None,
            stt=stt,
            happened=self._turn,
        )
        self.bridging = Bridging(
            runtime,
            self.activities,
            self.talker,
            caller_speaks=lambda: turns.speaking,
            caller_waits=lambda: turns.awaits_words,
        )
        self._unwatch = self._watch()
        self.ending = Ending(runtime, self.talker, self.turns.stop, close)
        self.holding = Holding(runtime, self.activities, self.talker, self.turns, self.ending)
        self._limit_alarm = self._length_limit()
        self._answering: CallAnswering | None = None

    def _activities(self, session: SessionVerbs, agent: Agent, casting: Casting, userdata: Any) -> Activities:
        return Activities(
            agent,
            casting=casting,
            tasks=self.runtime.tasks,
            run_task=self._run_task,
            session=session,
            userdata=userdata,
            call=self.runtime.call,
        )

    def _length_limit(self) -> Alarm[CallTooLong]:
        """A text conversation has no length limit."""
        runtime = self.runtime
        max_call_ms = runtime.options.max_call_ms if runtime.output is not None else None
        limit = LengthLimit(max_call_ms=max_call_ms, started_at=runtime.now())
        alarm = Alarm(runtime.loop, limit, self._too_long)
        alarm.set()
        return alarm

    async def _run_task(self, task: Task[Any], place: Within) -> Any:
        return await self.task_runs.run(task, place)

    def find_out(self, answering: Answering, who: WhoAnswered, audio: AudioInput) -> None:
        """Before the turns start: be silent until it is known who has answered."""
        runtime, activities, talker = self.runtime, self.activities, self.talker
        speech = AnswerSpeech(runtime, activities, talker, self.history, answering)
        menu = AnsweredMenu(
            activities, talker, self.turns, self.task_runs, self.history, self._messages, runtime.tasks.spawn
        )
        self._answering = CallAnswering(runtime, answering, who, speech, menu, self.turns, self.ending)
        self._answering.start(audio)
        runtime.tasks.spawn(self._speak_ahead(answering), "speech ahead")

    @property
    def finds_out(self) -> bool:
        """Whether the call is one whose answer is looked at."""
        return self._answering is not None

    async def _speak_ahead(self, answering: Answering) -> None:
        """What was not ready at the answer."""
        ahead = self.talker.voice.ahead
        await ahead.load(answering, self.runtime.offload)
        agent, tts = self.activities.agent, self.activities.top.cast.tts
        if tts is not None:
            await ahead.make_all(agent, tts, self.runtime.options, answering)

    def make_canned(self) -> None:
        """Make the active persona's canned words ahead, if there is a voice for them."""
        if self.activities.top.cast.tts is not None:
            self.runtime.tasks.spawn(self._make_canned(self.activities.top), "canned audio")

    async def stop(self) -> None:
        """Nothing more is heard, said or done, except `on_exit`."""
        tasks = self.runtime.tasks
        tasks.closing = True
        if self._answering is not None:
            self._answering.stop()
        self.talker.speaker.refuse()
        self.turns.stop()
        self.bridging.stop()
        self._limit_alarm.cancel()
        self.holding.stop()
        self.talker.stop_replies(force=True)
        self.talker.speaker.close()
        activities = reversed(tuple(self.activities.stack))
        await tasks.cancel()
        for activity in activities:
            await self.activities.leave(activity)
        await tasks.all_let_go()

    def happened(self, event: SessionEvent) -> None:
        """Called with each event of the session."""
        self.holding.happened(event)
        if self._answering is not None:
            self._answering.happened(event)
        match event:
            case CallerHeld():
                self.task_runs.hold()
            case CallerBack():
                self.task_runs.resume()
                self.bridging.sound(event.at)
            case UserStoppedSpeaking():
                self.bridging.sound(event.at)

    def unwatch(self) -> None:
        """From now on the session is not blamed for a blocked loop."""
        self._unwatch()

    @property
    def idle(self) -> bool:
        """The agent has nothing left to say or do before the caller says something."""
        top = self.activities.top
        talking = self.talker.speaker.busy if top.asking else self.talker.busy or top.entering
        return not (talking or self.talker.speaker.closed)

    # --- events from the parts --------------------------------------------------------------------------------------

    def _talk(self, event: TalkEvent) -> None:
        match event:
            case TalkChanged():
                self._changed()
                self.turns.changed()
                self.bridging.changed()
                self.task_runs.changed()
            case PersonaChanged():
                self.turns.agent_changed()
                self.make_canned()
            case FarewellBegan():
                self.ending.begin()
            case EndReached(reason=reason, farewell=farewell):
                self.ending.end(reason, farewell)
            case TokensUsed(prompt=prompt, completion=completion):
                self.tokens = (self.tokens[0] + prompt, self.tokens[1] + completion)

    def _turn(self, event: TurnEvent) -> None:
        match event:
            case SituationChanged():
                self._changed()
                self.bridging.changed()
            case EndReached(reason=reason, farewell=farewell):
                self.ending.end(reason, farewell)

    def _too_long(self, actions: tuple[CallTooLong, ...]) -> None:
        if actions:
            self.ending.end("max_length", self.activities.agent.say_canned("goodbye_max_length"), cut=True)

    async def _make_canned(self, activity: Activity) -> None:
        runtime, tts = self.runtime, activity.cast.tts
        if tts is None:
            return
        # Nobody waits for it: a failure only matters when the sentence is needed, and is handled then.
        with suppress(ProviderError):
            await self._canned_audio.make(
                activity.agent, tts, runtime.options, lambda error, _: runtime.provider_failed("tts", error, "ignored")
            )

    def _watch(self) -> Callable[[], None]:
        """Not in virtual time, where nothing blocks and threads do not belong."""
        runtime, speaker = self.runtime, self.talker.speaker
        if not (isinstance(runtime.offload, ThreadOffload) and has_real_time(runtime.loop)):
            return lambda: None
        watched = WatchedSession(
            runtime,
            lambda: self.activities.agent,
            self._canned_audio,
            unheard=lambda: speaker.held,
            announced=self.bridging.sound,
        )
        watch = watch_of(runtime.loop)
        runtime.tasks.watch = partial(watch.runs, watched)
        watch.join(watched)
        return partial(watch.leave, watched)
