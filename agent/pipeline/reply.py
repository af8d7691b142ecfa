"""One answer of the model: asked, spoken while it is still being written, tools run, asked again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from agent.chat_context import build_context
from agent.events import TurnLatency
from agent.history import Entry
from agent.persona import Agent, overrides
from agent.pipeline.attempts import AttemptLimits, ProviderEmpty, attempts
from agent.pipeline.conversation import Conversation
from agent.pipeline.model_text import without_reasoning
from agent.pipeline.outcomes import all_silent, end_of, end_refused, handoff_of
from agent.pipeline.talk_events import EndReached, FarewellBegan, TalkEvent
from agent.pipeline.tool_runs import run_tools, tool_messages
from agent.pipeline.turn_hook import turn_completed
from agent.pipeline.utterance import Kind, Utterance
from agent.pipeline.voice import Voice
from agent.providers.base import ChatMessage, LLMEvent, ProviderError, TextDelta, ToolCall, ToolSpec
from agent.speech_handle import SpeechHandle
from agent.tools import ToolOutcome
from agent.turns.farewell import left_to_say

__all__ = ["Reply", "Waterfall"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Waterfall:
    """When each step of an answer happened; see `TurnLatency`."""

    turn: int
    speech_ended_at: float | None = None
    decided_at: float | None = None
    transcript_at: float | None = None
    first_token_at: float | None = None
    first_audio_at: float | None = None
    first_packet_at: float | None = None

    def event(self, at: float) -> TurnLatency:
        return TurnLatency(
            at,
            self.turn,
            self.speech_ended_at,
            self.decided_at,
            self.transcript_at,
            self.first_token_at,
            self.first_audio_at,
            self.first_packet_at,
        )


class Reply:
    def __init__(
        self,
        conversation: Conversation,
        voice: Voice,
        *,
        user: ChatMessage | None,
        instructions: str,
        waterfall: Waterfall,
        allow_interruptions: bool,
        hand_over: Callable[[Agent, str, SpeechHandle], Awaitable[Utterance | None]],
        happened: Callable[[TalkEvent], None],
        over: Callable[[Reply], None],
        handle: SpeechHandle,
    ) -> None:
        self._conversation = conversation
        self._voice = voice
        self._instructions = instructions
        self._give_to = hand_over
        self._happened = happened
        self._over = over
        self._task: asyncio.Task[None] | None = None
        self._decided = asyncio.Event()
        self._phase: Literal["asking", "tools", "speaking"] = "asking"
        self._utterances: list[Utterance] = []
        self._stopped = False
        self._latency_told = False
        self._user_entry: Entry | None = None
        self._may_be_silent = False
        self.user = user
        self.waterfall = waterfall
        self.allow_interruptions = allow_interruptions
        self.handle = handle
        self.failed = False

    def begin(self) -> None:
        """Ask the model. Until `decide` nothing is heard, no tool runs and the history does not know of it."""
        self._task = self._conversation.tasks.spawn(self._run(), "reply")
        self._task.add_done_callback(self._finished)

    def decide(self) -> None:
        """It counts: what is there goes out."""
        if self.user is not None:
            self._user_entry = self._conversation.history.add(self.user)
        self._decided.set()
        for utterance in self._utterances:
            self._voice.speak(utterance)

    @property
    def lost(self) -> bool:
        """It has come to an end before it counted: something of ours failed, or it was cancelled."""
        return self._task is not None and self._task.done() and not self._decided.is_set()

    @property
    def working(self) -> bool:
        """Its functions run, or their outcome waits for what the caller is saying."""
        return self._phase == "tools" and not self._stopped

    def stop(self) -> None:
        """No more of it. A tool that is running comes to its end and its output is kept, unspoken."""
        self._stopped = True
        if self._task is None:
            if self.user is not None:
                self._conversation.history.add(self.user)
            self.handle.finish(interrupted=True)
        elif self._phase != "tools":
            self._task.cancel()

    def disallow_interruptions(self) -> None:
        """What has been said of it and what is to come is said to its end."""
        self.allow_interruptions = False
        for utterance in self._utterances:
            utterance.allow_interruptions = False

    async def _run(self) -> None:
        if not await self._turn_completed():
            return
        steps = self._conversation.options.max_tool_steps
        for step in range(steps + 1):
            calls = await self._ask(self._tool_specs() if step < steps else (), first=step == 0)
            if not calls or not await self._use_tools(calls) or self._stopped:
                break
        self._phase = "speaking"
        for utterance in self._utterances:
            await utterance.over.wait()
            self._stopped = self._stopped or utterance.interrupted

    async def _turn_completed(self) -> bool:
        """The persona sees the caller's turn before the model does; False: it wants no answer."""
        if self.user is None or not overrides(self._conversation.agent, "on_user_turn_completed"):
            return True
        await self._decided.wait()
        assert self._user_entry is not None, "it was added when the turn was decided"
        return await turn_completed(self._conversation, self._user_entry)

    def _finished(self, task: asyncio.Task[None]) -> None:
        # Not a `finally` in the task: one that is cancelled before its first step never gets there.
        decided = self._decided.is_set()
        for utterance in self._utterances:
            if not decided:
                utterance.finish(heard="", interrupted=True)
            elif not utterance.written.is_set():
                utterance.abort()
        if decided:
            self._tell_latency()
            broken = not self._stopped if task.cancelled() else task.exception() is not None
            if broken and not self._conversation.closing:
                self._voice.apologize("unavailable", self.handle, failure=True)
            elif not self.failed and not self._stopped:
                self._conversation.failures.succeeded()
        self.handle.finish(interrupted=self._stopped)
        self._over(self)

    async def _ask(self, tools: Sequence[ToolSpec], *, first: bool, kind: Kind = "reply") -> list[ToolCall] | None:
        """One request to the model; None: it failed (and that was dealt with)."""
        self._phase = "asking"
        utterance = self._new_utterance(kind, first=first)
        calls: list[ToolCall] = []
        try:
            await self._read(utterance, calls, tools)
        except ProviderError as error:
            utterance.broken = True
            await utterance.end()
            await self._decided.wait()
            # A function has done its work: that it can't be done would be wrong.
            empty = isinstance(error, ProviderEmpty) and not first
            await self._apologize("lost_words" if empty else "unavailable", failure=True)
            return None
        await utterance.end()
        await self._decided.wait()
        if not utterance.voiced:
            await utterance.over.wait()  # text takes no time: it comes before the tools that follow it
        offered = {spec.name for spec in tools}
        if calls and not offered:
            calls = []  # out of steps: it was not offered any
        if calls:
            utterance.entry.update(tool_calls=tuple(calls))
        elif kind == "reply" and not utterance.worded and not self._may_be_silent:
            await self._apologize("lost_words" if tools else "tool_failed", failure=False)
        return calls

    async def _read(self, utterance: Utterance, calls: list[ToolCall], tools: Sequence[ToolSpec]) -> None:
        llm = self._conversation.llm
        if llm is None:
            raise ProviderError("session", "has no LLM")
        options = self._conversation.options
        limits = AttemptLimits(
            options.llm_first_token_ms, options.llm_stall_ms, options.retries, options.retry_backoff_ms
        )
        stream = attempts(
            llm.name,
            lambda: without_reasoning(llm.chat(self._messages(), tools)),
            limits,
            lambda error, action: self._conversation.provider_failed("llm", error, action),
            _is_content,
            may_be_empty=self._may_be_silent or utterance.kind == "farewell",
        )
        async with aclosing(stream):
            async for event in stream:
                if _is_content(event) and self.waterfall.first_token_at is None:
                    self.waterfall.first_token_at = self._conversation.now()
                if isinstance(event, TextDelta):
                    await utterance.write(event.text)
                    if utterance.full:
                        _log.warning("the model's reply was cut off after %d characters", options.max_reply_characters)
                        return
                elif isinstance(event, ToolCall):
                    if len(calls) < options.max_tool_calls:
                        calls.append(event)
                    else:
                        _log.warning("a call of %s is not run: it is one too many of one answer", event.name)
                else:
                    prompt, completion = self._conversation.tokens
                    self._conversation.tokens = (prompt + event.prompt_tokens, completion + event.completion_tokens)

    async def _use_tools(self, calls: list[ToolCall]) -> bool:
        """Whether the model is to be asked again."""
        self._phase = "tools"
        entry = self._utterances[-1].entry
        said = self._conversation.said
        outcomes = await run_tools(self._conversation, calls)
        self._may_be_silent = self._conversation.said > said and self._voice.speaking_or_just_over
        if end_of(outcomes) is not None:
            await self._conversation.goes_on.wait()
            if self._stopped and not self._conversation.ending:
                outcomes = [end_refused(outcome, "since the caller has said something more.") for outcome in outcomes]
        self._conversation.history.add_after(entry, tool_messages(calls, outcomes))
        await self._conversation.goes_on.wait()
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
                farewell = self._conversation.agent.say_canned("goodbye")
        farewell = left_to_say(farewell, self._conversation.history.said_since_user())
        if farewell:
            utterance = self._voice.fixed(farewell, "farewell", self.handle, allow_interruptions=False)
            self._follow(utterance)
            self._voice.speak(utterance)
        self._happened(EndReached("agent_ended"))

    async def _apologize(self, key: str, *, failure: bool) -> None:
        self.failed = self.failed or failure
        self._follow(self._voice.apologize(key, self.handle, failure=failure))

    def _follow(self, utterance: Utterance | None) -> None:
        """It is part of this answer: it counts for its latency, and the answer is not over before it."""
        if utterance is not None:
            utterance.on_first_audio = self._first_audio
            utterance.on_started = self._first_packet
            self._utterances.append(utterance)

    @property
    def _said(self) -> bool:
        return any(utterance.worded for utterance in self._utterances)

    def _tool_specs(self) -> list[ToolSpec]:
        return [tool.spec for tool in self._conversation.agent.tools.values()]

    def _new_utterance(self, kind: Kind, *, first: bool) -> Utterance:
        interruptible = self.allow_interruptions and kind != "farewell"
        utterance = self._voice.new_utterance(kind, self.handle, allow_interruptions=interruptible)
        self._follow(utterance)
        if self._decided.is_set():
            self._voice.speak(utterance)
        return utterance

    def _messages(self) -> list[ChatMessage]:
        conversation = self._conversation
        return build_context(
            conversation.history.messages(),
            prompt=conversation.agent.prompt,
            user=self.user if not self._decided.is_set() else None,
            instructions=self._instructions,
            limits=None if getattr(conversation.llm, "whole_context", False) else conversation.options.context_limits,
        )

    def _first_audio(self) -> None:
        if self.waterfall.first_audio_at is None:
            self.waterfall.first_audio_at = self._conversation.now()

    def _first_packet(self, at: float) -> None:
        if self.waterfall.first_packet_at is None:
            self.waterfall.first_packet_at = at
            self._tell_latency()

    def _tell_latency(self) -> None:
        if not self._latency_told:
            self._latency_told = True
            self._conversation.emit(self.waterfall.event(self._conversation.now()))


def _is_content(event: LLMEvent) -> bool:
    """Whether it is something to hear or to do: a lone "*" or a space is not."""
    return isinstance(event, ToolCall) or (isinstance(event, TextDelta) and any(map(str.isalnum, event.text)))
