"""One answer of the model: asked, spoken while it is still being written, tools run, asked again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Literal

from agent.activity import Activity
from agent.chat_context import build_context
from agent.history import Entry, History
from agent.persona import Agent, overrides
from agent.pipeline.activities import Activities
from agent.pipeline.attempts import AttemptLimits, ProviderEmpty, attempts
from agent.pipeline.model_text import without_reasoning
from agent.pipeline.outcomes import all_silent, end_of, end_refused, handoff_of, without_consequences
from agent.pipeline.runtime import Runtime
from agent.pipeline.talk_events import EndReached, FarewellBegan, TalkEvent, TokensUsed
from agent.pipeline.tool_runs import run_tools, tool_messages
from agent.pipeline.turn_hook import turn_completed
from agent.pipeline.utterance import Kind, Utterance
from agent.pipeline.voice import Voice
from agent.pipeline.waterfall import Waterfall
from agent.providers.base import ChatMessage, LLMEvent, ProviderError, TextDelta, ToolCall, ToolSpec
from agent.speech_handle import SpeechHandle
from agent.tasks.task import Task
from agent.tools import ToolOutcome
from agent.turns.farewell import left_to_say
from agent.within import enter

__all__ = ["Reply"]

_TOOLS_END_S = 1.0  # a task's last function has completed it, and has little left to do
_log = logging.getLogger(__name__)


class Reply:
    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        history: History,
        activity: Activity,
        voice: Voice,
        *,
        user: ChatMessage | None,
        instructions: str,
        waterfall: Waterfall,
        allow_interruptions: bool,
        may_use_tools: bool,
        caller_is_done: Callable[[], Awaitable[object]],
        hand_over: Callable[[Agent, str, SpeechHandle], Awaitable[Utterance | None]],
        happened: Callable[[TalkEvent], None],
        over: Callable[[Reply], None],
        handle: SpeechHandle,
    ) -> None:
        self._runtime = runtime
        self._activities = activities
        self._history = history
        self._activity = activity
        self._place = activities.within(activity, self)
        self._voice = voice
        self._may_use_tools = may_use_tools
        self._caller_is_done = caller_is_done
        self._instructions = instructions
        self._give_to = hand_over
        self._happened = happened
        self._over = over
        self._task: asyncio.Task[None] | None = None
        self._decided = asyncio.Event()
        self._phase: Literal["asking", "hook", "tools", "speaking"] = "asking"
        self._tools_over = asyncio.Event()
        self._utterances: list[Utterance] = []
        self._stopped = False
        self._retired = False
        self._user_entry: Entry | None = None
        self._may_be_silent = False
        self.user = user
        self.waterfall = waterfall
        self.allow_interruptions = allow_interruptions
        self.handle = handle
        self.failed = False

    def begin(self) -> None:
        """Ask the model. Until `decide`, nothing is heard, no tool runs and nothing is added to the history."""
        self._task = self._runtime.tasks.spawn(self._run(), "reply")
        self._task.add_done_callback(self._finished)

    def decide(self) -> None:
        """Commit it: its audio may be played."""
        if self.user is not None:
            self._user_entry = self._history.add(self.user)
        self._decided.set()
        for utterance in self._utterances:
            self._voice.speak(utterance)

    @property
    def lost(self) -> bool:
        """It ended before it was committed: by an internal failure, or cancelled."""
        return self._task is not None and self._task.done() and not self._decided.is_set()

    @property
    def working(self) -> bool:
        """Its functions are running, or their outcome waits for the caller to finish speaking."""
        return self._phase == "tools" and not self._stopped

    @property
    def suspended(self) -> bool:
        """It continues when a function or hook of the persona has finished."""
        return self._phase in ("tools", "hook")

    def retire(self) -> None:
        """Its activity is over: what it has said stays; running functions finish, but without effect."""
        self._retired = True
        if self._phase == "asking":
            self.stop()

    async def tools_over(self) -> None:
        """Wait until its functions have finished, for at most a second."""
        if self._phase == "tools":
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOOLS_END_S):
                    await self._tools_over.wait()

    def hear_for(self, utterance: Utterance) -> None:
        """A function of this reply has spoken in its place, so the caller is no longer waiting."""
        utterance.on_first_audio = self._first_audio
        utterance.on_started = self._first_packet

    def answers_for(self, inner: Reply) -> None:
        """The caller's last turn, to which `inner` had no words, is answered by this reply."""
        if not inner.waterfall.told and not inner._said and inner.waterfall.turn >= self.waterfall.turn:
            self.waterfall, inner.waterfall = inner.waterfall, self.waterfall
            inner.waterfall.told = True

    def stop(self) -> None:
        """Stop it. A running tool finishes and its output is kept, unspoken."""
        self._stopped = True
        if self._task is None:
            if self.user is not None:
                self._history.add(self.user)
            self.handle.finish(interrupted=True)
        elif self._phase != "tools":
            self._task.cancel()

    def disallow_interruptions(self) -> None:
        """It can no longer be interrupted."""
        self.allow_interruptions = False
        for utterance in self._utterances:
            utterance.allow_interruptions = False

    async def _run(self) -> None:
        enter(self._place)
        if not await self._turn_completed():
            return
        steps = self._runtime.options.max_tool_steps if self._may_use_tools else 0
        for step in range(steps + 1):
            calls = await self._ask(self._tool_specs() if step < steps else (), first=step == 0)
            if not calls or not await self._use_tools(calls) or self._stopped:
                break
        self._phase = "speaking"
        for utterance in self._utterances:
            await utterance.over.wait()
            self._stopped = self._stopped or utterance.interrupted

    async def _turn_completed(self) -> bool:
        """Show the caller's turn to the persona before the model; False: it wants no answer."""
        agent = self._activity.agent
        if self.user is None or not overrides(agent, "on_user_turn_completed"):
            return True
        await self._decided.wait()
        assert self._user_entry is not None, "it was added when the turn was decided"
        self._phase = "hook"
        context = self._activities.context(activity=self._activity)
        return await turn_completed(agent, context, self._user_entry) and not self._is_done_with()

    def _finished(self, task: asyncio.Task[None]) -> None:
        # Not in a `finally` of the task: a task cancelled before its first step never gets there.
        decided = self._decided.is_set()
        self._tools_over.set()
        for utterance in self._utterances:
            if not decided:
                utterance.finish(heard="", interrupted=True)
            elif not utterance.written.is_set():
                utterance.abort()
        if decided:
            self._tell_latency()
            broken = not self._stopped if task.cancelled() else task.exception() is not None
            if broken and not self._runtime.tasks.closing:
                self._voice.apologize("unavailable", self.handle, failure=True)
            elif not self.failed and not self._stopped:
                self._voice.succeeded()
        self.handle.finish(interrupted=self._stopped)
        self._over(self)

    async def _ask(self, tools: Sequence[ToolSpec], *, first: bool, kind: Kind = "reply") -> list[ToolCall] | None:
        """One request to the model; None: it failed (and the failure was handled)."""
        self._phase = "asking"
        utterance = self._new_utterance(kind, first=first)
        calls: list[ToolCall] = []
        try:
            await self._read(utterance, calls, tools)
        except ProviderError as error:
            utterance.broken = True
            await utterance.end()
            await self._decided.wait()
            # A function has done its work, so saying that it failed would be wrong.
            empty = isinstance(error, ProviderEmpty) and not first
            await self._apologize("lost_words" if empty else "unavailable", failure=True)
            return None
        await utterance.end()
        await self._decided.wait()
        if not utterance.voiced:
            await utterance.over.wait()  # text comes before the tools that follow it
        offered = {spec.name for spec in tools}
        if calls and not offered:
            calls = []  # no steps left, so it was offered no tools
        if calls:
            utterance.entry.update(tool_calls=tuple(calls))
        elif kind == "reply" and not (utterance.worded or utterance.interrupted or self._may_be_silent):
            await self._apologize("lost_words" if tools else "tool_failed", failure=False)
        return calls

    async def _read(self, utterance: Utterance, calls: list[ToolCall], tools: Sequence[ToolSpec]) -> None:
        llm = self._activity.cast.llm
        if llm is None:
            raise ProviderError("session", "has no LLM")
        options = self._runtime.options
        limits = AttemptLimits(
            options.llm_first_token_ms, options.llm_stall_ms, options.retries, options.retry_backoff_ms
        )
        stream = attempts(
            llm.name,
            lambda: without_reasoning(llm.chat(self._messages(), tools)),
            limits,
            lambda error, action: self._runtime.provider_failed("llm", error, action),
            _is_content,
            may_be_empty=self._may_be_silent or utterance.kind == "farewell",
        )
        async with aclosing(stream):
            async for event in stream:
                if _is_content(event) and self.waterfall.first_token_at is None:
                    self.waterfall.first_token_at = self._runtime.now()
                if isinstance(event, TextDelta):
                    await utterance.write(event.text)
                    if utterance.full:
                        _log.warning("the model's reply was cut off after %d characters", options.max_reply_characters)
                        return
                elif isinstance(event, ToolCall):
                    if len(calls) < options.max_tool_calls:
                        calls.append(event)
                    else:
                        _log.warning("not running a call of %s: too many calls in one answer", event.name)
                else:
                    self._happened(TokensUsed(event.prompt_tokens, event.completion_tokens))

    async def _use_tools(self, calls: list[ToolCall]) -> bool:
        """Whether the model is to be asked again."""
        self._phase = "tools"
        self._tools_over.clear()
        entry = self._utterances[-1].entry
        said = self._voice.by_code
        outcomes = await run_tools(self._runtime, self._activities, self._activity, self._place, calls)
        if self._is_done_with():
            outcomes = [without_consequences(outcome) for outcome in outcomes]
            self._history.add_after(entry, tool_messages(calls, outcomes))
            self._tools_over.set()
            return False
        self._may_be_silent = self._voice.by_code > said and self._voice.speaking_or_just_over
        if end_of(outcomes) is not None:
            await self._caller_is_done()
            if self._stopped and not self._voice.closed:
                outcomes = [end_refused(outcome, "since the caller has said something more.") for outcome in outcomes]
        self._history.add_after(entry, tool_messages(calls, outcomes))
        await self._caller_is_done()
        if self._is_done_with():
            return False
        if (end := end_of(outcomes)) is not None:
            await self._end(end.farewell)
            return False
        return not await self._hand_over(outcomes) and not all_silent(outcomes)

    async def _hand_over(self, outcomes: Sequence[ToolOutcome]) -> bool:
        for outcome in outcomes:
            if (handoff := handoff_of(outcome)) is not None:
                self._follow(await self._give_to(*handoff, self.handle))
                return True
        return False

    async def _end(self, farewell: str) -> None:
        self._happened(FarewellBegan())
        self._stopped = False
        farewell = farewell if any(map(str.isalnum, farewell)) else ""
        if not farewell and not self._said:
            asked = await self._ask((), first=False, kind="farewell")
            if asked is None or not self._said:
                farewell = self._activity.agent.say_canned("goodbye")
        farewell = left_to_say(farewell, self._history.said_since_user())
        if farewell:
            utterance = self._voice.fixed(farewell, "farewell", self.handle, allow_interruptions=False)
            self._follow(utterance)
            self._voice.speak(utterance)
        self._happened(EndReached("agent_ended"))

    async def _apologize(self, key: str, *, failure: bool) -> None:
        self.failed = self.failed or failure
        self._follow(self._voice.apologize(key, self.handle, failure=failure))

    def _follow(self, utterance: Utterance | None) -> None:
        """It is part of this answer: it counts for the latency, and the answer is not over before it is."""
        if utterance is not None:
            self.hear_for(utterance)
            self._utterances.append(utterance)

    def _is_done_with(self) -> bool:
        """Its task is complete, so the model has nothing more to say for it."""
        agent = self._activity.agent
        return self._retired or (isinstance(agent, Task) and agent.done)

    @property
    def _said(self) -> bool:
        return any(utterance.worded for utterance in self._utterances)

    def _tool_specs(self) -> list[ToolSpec]:
        return [tool.spec for tool in self._activity.agent.tools.values()]

    def _new_utterance(self, kind: Kind, *, first: bool) -> Utterance:
        interruptible = self.allow_interruptions and kind != "farewell"
        utterance = self._voice.new_utterance(kind, self.handle, allow_interruptions=interruptible)
        self._follow(utterance)
        if self._decided.is_set():
            self._voice.speak(utterance)
        return utterance

    def _messages(self) -> list[ChatMessage]:
        follows_rules = getattr(self._activity.cast.llm, "whole_context", False)
        heard = self._activity.follows if follows_rules else lambda _: True
        return build_context(
            self._history.messages(heard),
            prompt=self._activity.agent.prompt,
            user=self.user if not self._decided.is_set() else None,
            instructions=self._instructions,
            limits=None if follows_rules else self._runtime.options.context_limits,
        )

    def _first_audio(self) -> None:
        if self.waterfall.first_audio_at is None:
            self.waterfall.first_audio_at = self._runtime.now()

    def _first_packet(self, at: float) -> None:
        if self.waterfall.first_packet_at is None:
            self.waterfall.first_packet_at = at
            self._tell_latency()

    def _tell_latency(self) -> None:
        if not self.waterfall.told:
            self.waterfall.told = True
            self._runtime.emit(self.waterfall.event(self._runtime.now()))


def _is_content(event: LLMEvent) -> bool:
    """Whether it is something to say or to do: a lone "*" or a space is not."""
    return isinstance(event, ToolCall) or (isinstance(event, TextDelta) and any(map(str.isalnum, event.text)))
