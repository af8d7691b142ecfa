"""One conversation: the asyncio shell that connects hearing, thinking and talking, with one start and one end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.answering import Answering
from agent.bounds import shortened
from agent.clock import ThreadOffload, offload_for_tools
from agent.events import SessionClosed, SessionEvent, SessionStarted, UserMessage
from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.canned import CannedAudio
from agent.pipeline.recording import RecordingPauses
from agent.pipeline.running import Providers, RunningSession
from agent.pipeline.runtime import Runtime
from agent.pipeline.sound_file import load_sound
from agent.pipeline.tasks import SessionTasks
from agent.pipeline.turn_detection import detection_problem
from agent.pipeline.waterfall import Waterfall
from agent.privacy import Privacy
from agent.providers.base import LLM, STT, TTS, VAD, ChatMessage, Offload
from agent.providers.named import NamedProviders, default_providers
from agent.run_result import RunResult, SessionMisuse
from agent.session_answering import AnswersCalls, plan_of
from agent.session_input import TurnsByHand, TurnVerbs
from agent.session_leg import LegSignals
from agent.session_voice import SpeaksApart
from agent.speech_handle import SpeechHandle
from agent.tasks.task import Task
from agent.turns.expected import Expected
from agent.turns.signals import TurnDetection
from agent.watchers import Watchers
from agent.within import waiting_for_conversation, within
from telephony.media.answering.model import WhoAnswered
from telephony.rooms.protocol import TakesAgents

if TYPE_CHECKING:
    from telephony.call import CallVerbs
    from telephony.rooms.protocol import Participant

P = TypeVar("P", LLM, TTS)
R = TypeVar("R")
_SAME: Any = object()

__all__ = ["AgentSession", "RunResult", "SessionMisuse"]


class AgentSession(TurnsByHand, LegSignals, AnswersCalls, SpeaksApart):
    """Providers may be left out: without `vad` nothing is heard, without `tts` (or without a room) replies are text."""

    def __init__(
        self,
        *,
        llm: LLM | None = None,
        vad: VAD | None = None,
        stt: STT | None = None,
        tts: TTS | None = None,
        options: SessionOptions | None = None,
        userdata: Any = None,
        offload: Offload | None = None,
        canned_audio: CannedAudio | None = None,
        providers: NamedProviders | None = None,
        turn_detection: TurnDetection | None = None,
    ) -> None:
        """`canned_audio`: share one among a process's sessions, so each sentence is synthesised only once. `providers`:
        creates the providers that personas name; default: only those that need no account. `turn_detection`: overrides
        the one in `options`."""
        self._llm, self._vad, self._stt, self._tts = llm, vad, stt, tts
        options = options or SessionOptions()
        self._options = options if turn_detection is None else replace(options, turn_detection=turn_detection)
        self._userdata = userdata
        self._variables: dict[str, str] = {}
        self._offload = offload or ThreadOffload()
        self._canned_audio = canned_audio or CannedAudio()
        self._providers = providers
        self._privacy = Privacy(self._options.mask_digits)
        self._watchers = Watchers(self._privacy)
        self._recording = RecordingPauses(self._watchers.emit)
        self._closed: asyncio.Future[SessionClosed] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._running: RunningSession | None = None
        TurnsByHand.__init__(self)
        LegSignals.__init__(self)
        AnswersCalls.__init__(self)

    def beside(self, options: SessionOptions) -> AgentSession:
        """Another one by the same providers, for somebody else on the call; it has not started."""
        return AgentSession(
            llm=self._llm, vad=self._vad, stt=self._stt, tts=self._tts, options=options, offload=self._offload,
            canned_audio=self._canned_audio, providers=self._providers,
        )  # fmt: skip

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(
        self,
        *,
        agent: Agent,
        room: Participant | TakesAgents | None = None,
        call: CallVerbs | None = None,
        resumed: Sequence[ChatMessage] | None = None,
        answering: Answering | None = None,
        who_answered: WhoAnswered | None = None,
    ) -> None:
        """Start: listen from now on (including what the room has buffered), say the greeting, run `on_enter`. Without a
        room it returns when the greeting has been said.

        `room`: the agent's place in one, or a room, in which it takes the place `agent`.

        `resumed`: the history of a conversation continued here after its process was lost. Instead of the greeting the
        caller hears the canned "one_moment" and the last question again, or the pending answer. Raises SessionMisuse if
        it was started before, or if turns cannot be detected as `turn_detection` says.

        `who_answered`: detects who has answered a call that we have placed; start at the answer. Until it knows, the
        agent is silent, then it does what `answering` says (filled; default: the persona's). Returns at once. Raises
        BadAnswering if the persona's own texts name variables.
        """
        if self._running is not None:
            raise SessionMisuse("a session is started once")
        plan = plan_of(agent, answering) if who_answered is not None else Answering()
        if room is not None or self._stt is not None:
            detection = agent.turn_detection or self._options.turn_detection
            if problem := detection_problem(detection, vad=self._vad is not None, stt=self._stt):
                raise SessionMisuse(problem)
        if room is not None and isinstance(room, TakesAgents):
            room = room.add_agent("agent")
        loop = asyncio.get_running_loop()
        self._closed = loop.create_future()
        running = self._running = self._made(agent, room, call)
        self.subscribe(running.happened)
        if self.held_before_start is not None:
            running.holding.held(self.held_before_start)
        self._watchers.emit(SessionStarted(loop.time(), agent.name, self._llm.name if self._llm is not None else ""))
        running.talker.voice.ahead = self.ahead
        if who_answered is not None and plan.detect and room is not None and resumed is None:
            running.find_out(plan, who_answered, room.audio_input)
        elif resumed is not None:
            running.talker.go_on(resumed)
        elif agent.greeting:
            running.talker.say(agent.greeting, "greeting")
        if room is not None:
            running.turns.start(room.audio_input)
        running.turns.changed()
        running.make_canned()
        if not (resumed or running.finds_out):
            await self._entered()
        if room is None:
            await self._settled()

    async def _entered(self) -> None:
        """Wait until `on_enter` is over or waits for the caller (by a question or a task)."""
        running = self._started()
        activities, persona = running.activities, running.activities.top
        entering = running.runtime.tasks.spawn(activities.enter(persona), "on_enter")
        entering.add_done_callback(lambda _: self._changed.set())
        while not (entering.done() or persona.asking or activities.top is not persona or self._closing):
            self._changed.clear()
            await self._changed.wait()

    def _made(self, agent: Agent, room: Participant | None, call: CallVerbs | None) -> RunningSession:
        loop = asyncio.get_running_loop()
        runtime = Runtime(
            loop=loop,
            options=self._options,
            tasks=SessionTasks(loop),
            offload=self._offload,
            tool_offload=offload_for_tools(self._offload),
            output=room.audio_output if room is not None else None,
            call=call,
            emit=self._watchers.emit,
        )
        named = self._providers or default_providers(self._offload)
        return RunningSession(
            self,
            agent,
            runtime,
            Providers(self._vad, self._stt, self._llm, self._tts, named, self._canned_audio),
            userdata=self._userdata,
            privacy=self._privacy,
            recording=self._recording,
            changed=self._changed.set,
            close=self._close,
        )

    @property
    def closed(self) -> Awaitable[SessionClosed]:
        """Await it for the last event."""
        if self._closed is None:
            raise SessionMisuse("the session was not started")
        return asyncio.shield(self._closed)

    def leg_ended(self) -> None:
        """The caller has hung up. The session closes by itself."""
        if self._running is not None and not self._running.ending.hanging_up:
            self._close("leg_ended")

    async def drain(self, farewell: str = "", *, reason: str = "drained") -> None:
        """A polite end: the current sentence is finished, then `farewell` (default: canned "goodbye_drain"), then the
        call is hung up. Returns when the session has closed."""
        running = self._started()
        if self._closing is None:
            words = farewell or running.activities.agent.say_canned("goodbye_drain")
            running.ending.end(reason, words, cut=True)
        await self.closed

    async def update_agent(self, agent: Agent, *, words: str = "", userdata: Any = _SAME) -> None:
        """Hand the caller over to `agent`, as a tool does that returns it: it says `words` or its greeting. What the
        previous persona and its tasks were doing ends, hooks included. `userdata`: replaces the session's. Raises
        SessionMisuse for a task, ValueError for an unknown provider name."""
        running = self._started()
        if isinstance(agent, Task):
            raise SessionMisuse(f"{agent.name} is a task: tasks are awaited, not handed over to")

        async def hand_over() -> None:
            if userdata is not _SAME:
                self._userdata = running.activities.userdata = userdata
            await running.talker.hand_over(agent, words)

        # A separate task: the caller may be one of the hooks that it ends.
        await asyncio.shield(running.runtime.tasks.spawn(hand_over(), "hand over"))

    async def aclose(self, reason: str = "agent_ended", error: str = "") -> None:
        """End at once, silently and without hanging up. Idempotent; the first reason counts."""
        if self._running is not None:
            await asyncio.shield(self._close(reason, error))

    def _close(self, reason: str, error: str = "") -> asyncio.Task[None]:
        # A separate task: the caller may be one of the tasks that it cancels.
        if self._closing is None:
            self._closing = self._started().runtime.loop.create_task(self._close_all(reason, error), name="close")
        return self._closing

    async def _close_all(self, reason: str, error: str) -> None:
        running = self._started()
        await running.stop()
        closed = SessionClosed(running.runtime.now(), reason, error)
        self._watchers.emit(closed)
        running.unwatch()
        self._privacy.close()
        self._changed.set()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(closed)

    # --- talking --------------------------------------------------------------------------------------------------

    async def play(self, path: Path | str, *, text: str = "", allow_interruptions: bool = True) -> SpeechHandle:
        """Play a WAV file after the current speech; await the handle for its end. `text`: its words, of which the model
        sees what was heard. Raises OSError or BadWavFile."""
        talker = self._started().talker
        pcm = await self._offload(lambda: load_sound(path), modelled_ms=0.0)
        return talker.play(pcm, text, Path(path).name, allow_interruptions=allow_interruptions)

    def say(self, text: str, *, allow_interruptions: bool = True) -> SpeechHandle:
        """Say this text as it is, after the current speech."""
        return self._started().talker.say(text, allow_interruptions=allow_interruptions)

    def generate_reply(
        self, *, user_input: str = "", instructions: str = "", allow_interruptions: bool = True
    ) -> SpeechHandle:
        """Let the model speak. `instructions` apply to this reply only. It begins when the previous reply, with its
        tools, is over; but one awaited by a tool begins at once, and the reply that called the tool continues
        afterwards."""
        running = self._started()
        talker = running.talker
        user_input = shortened(user_input, self._options.max_user_characters)
        user = ChatMessage("user", user_input) if user_input else None
        waterfall = Waterfall(talker.turn, decided_at=running.runtime.now())
        return talker.reply(
            user, waterfall, instructions=instructions, allow_interruptions=allow_interruptions, place=within()
        )

    def interrupt(self, *, force: bool = False) -> bool:
        """Stop talking, as if the caller had interrupted; `force`: even if it may not be interrupted. Returns whether
        there was anything to stop."""
        return self._started().talker.interrupt(force=force)

    def disallow_interruptions(self) -> None:
        """The current reply can no longer be interrupted."""
        self._started().talker.disallow_interruptions(within())

    async def run(self, *, user_input: str) -> RunResult:
        """One turn of text, as in a test or a console: returns when the agent is done with it."""
        running = self._started()
        events: list[SessionEvent] = []
        unsubscribe = self.subscribe(events.append, unmasked=True)
        try:
            now = running.runtime.now()
            user_input = shortened(user_input, self._options.max_user_characters)
            self._watchers.emit(UserMessage(now, user_input, now, now, "text"))
            running.talker.next_turn()
            if not running.turns.answered(user_input):
                self.generate_reply(user_input=user_input)
            await self._settled()
            return RunResult(tuple(events))
        finally:
            unsubscribe()

    async def _settled(self) -> None:
        """Wait until the agent has nothing left to say or do, or the session has closed."""
        running = self._started()
        while self._closed is not None and not self._closed.done():
            if running.idle:
                break
            self._changed.clear()
            await self._changed.wait()

    async def next_message(self, *, expect: Expected | None = None) -> str:
        """For tools that ask something themselves: the caller's next words or keyed digits, which the model then does
        not answer. `expect`: what was asked for. The tool's time limit pauses meanwhile."""
        running = self._started()
        with waiting_for_conversation():
            return await running.turns.next_message(running.activities.asker(within()), expect)

    @property
    def over(self) -> bool:
        """It closes, or has closed."""
        return self._closing is not None

    async def ask(self, task: Task[R]) -> R:
        """For programs outside: have `task` ask the caller, as if a hook of the persona awaited it. It begins when the
        present reply is over. Raises what the task raises; SessionMisuse if another task has the caller."""
        running = self._started()
        if isinstance(running.activities.agent, Task):
            raise SessionMisuse("the caller is being asked something already")
        return await running.task_runs.run_for_others(task)

    async def spoken(self) -> None:
        """Wait until everything that is to be said has been, or cannot be."""
        running = self._started()
        while running.talker.speaker.busy and not running.talker.speaker.held and self._closing is None:
            self._changed.clear()
            await self._changed.wait()
        if running.runtime.output is not None:
            await running.runtime.output.drained()

    def note(self, text: str) -> None:
        """Tell the model something that was not spoken; it is not asked to answer."""
        self._started().history.add(ChatMessage("user", text, name="cue"))

    # --- recording ------------------------------------------------------------------------------------------------

    def pause_recording(self) -> None:
        """From now on the recording of the call is silent, on the same time axis. Idempotent."""
        self._recording.pause("asked", asyncio.get_running_loop().time())

    def resume_recording(self) -> None:
        """Resume the recording, unless hidden digits are being keyed. Idempotent."""
        self._recording.resume("asked", asyncio.get_running_loop().time())

    @property
    def recording_paused(self) -> bool:
        """Whether it is paused, for any reason."""
        return bool(self._recording)

    @property
    def variables(self) -> dict[str, str]:
        """What has been learnt about the call; with those that it came with, they are `ctx.call.variables`."""
        return self._variables

    @property
    def now(self) -> float:
        """Loop-clock time in seconds, as events have it."""
        return asyncio.get_running_loop().time()

    def tell(self, event: SessionEvent) -> None:
        """One more event of the conversation, from its persona."""
        self._watchers.emit(event)

    def keep_secret(self, digits: str) -> None:
        """From now on mask these digits wherever they appear, like keyed secrets."""
        self._privacy.keep(digits)

    @property
    def recording(self) -> RecordingPauses:
        """Whether, and why, the recording is paused."""
        return self._recording

    # --- watching -------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[SessionEvent], None], *, unmasked: bool = False) -> Callable[[], None]:
        """Call `callback` on the loop with each event from now on; call the result to unsubscribe. `unmasked`:
        including secret digits, for tests; never record or log such events."""
        return self._watchers.subscribe(callback, unmasked=unmasked)

    @property
    def history(self) -> list[ChatMessage]:
        """The conversation as the model sees it, without instructions."""
        return self._started().history.messages()

    def update_history(self, messages: Sequence[ChatMessage]) -> None:
        """Replace the conversation that the model sees from its next request on with an edited `history`."""
        self._started().history.replace(messages)

    @property
    def llm(self) -> LLM:
        """The active persona's model. Raises SessionMisuse if there is none."""
        return self._given(self._started().activities.top.cast.bare_llm, "LLM")

    @property
    def tts(self) -> TTS:
        """The active persona's synthesis. Raises SessionMisuse if there is none."""
        return self._given(self._started().activities.top.cast.bare_tts, "TTS")

    def _given(self, provider: P | None, part: str) -> P:
        if provider is None:
            raise SessionMisuse(f"the session has no {part}")
        return provider

    @property
    def privacy(self) -> Privacy:
        """What others may see of this conversation."""
        return self._privacy

    @property
    def agent(self) -> Agent:
        """Who has the caller: the persona, or an awaited task."""
        return self._started().activities.agent

    @property
    def persona(self) -> Agent:
        """The persona that has the call, below all tasks."""
        return self._started().activities.stack.persona.agent

    @property
    def tokens(self) -> tuple[int, int]:
        """Of prompts and completions so far, as the model's provider counts them."""
        return (0, 0) if self._running is None else self._running.tokens

    @property
    def userdata(self) -> Any:
        """What tools and hooks find in `ctx.userdata`; a factory creates it for each call. It may be set before the
        start."""
        return self._userdata

    @userdata.setter
    def userdata(self, value: Any) -> None:
        if self._running is not None:
            raise SessionMisuse("userdata is set before the session starts")
        self._userdata = value

    @property
    def options(self) -> SessionOptions:
        return self._options

    def _turn_taking(self) -> TurnVerbs:
        return self._started().turns

    def _live(self) -> RunningSession | None:
        return None if self._closing is not None else self._running

    def _started(self) -> RunningSession:
        if self._running is None:
            raise SessionMisuse("the session was not started")
        return self._running
