"""A conversation in text for tests: no audio, no phone. `expect` walks through what the agent did in one turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeVar

from agent.events import (
    AgentHandoff,
    AgentMessage,
    FunctionCall,
    FunctionCallOutput,
    SessionClosed,
    SessionEvent,
    TaskCompleted,
)
from agent.factory import PersonaMaker, SharedByCalls, cast_for
from agent.options import SessionOptions
from agent.persona import Agent
from agent.providers.base import LLM
from agent.session import AgentSession
from agent.tasks import Task
from agent.testing.expectation import normalized
from agent.testing.judge import judge
from telephony.call import CallInfo, Direction

__all__ = ["EventExpectation", "EventType", "RunExpectation", "TextCall", "TurnResult"]

T = TypeVar("T")
EventType = Literal["message", "function_call", "function_call_output", "agent_handoff"]
_TYPES: dict[type[SessionEvent], EventType] = {
    AgentMessage: "message",
    FunctionCall: "function_call",
    FunctionCallOutput: "function_call_output",
    AgentHandoff: "agent_handoff",
}


class EventExpectation:
    """One thing that the agent did. Each `is_…` raises AssertionError with everything that happened in the turn."""

    def __init__(self, event: SessionEvent | None, run: RunExpectation) -> None:
        self.event = event
        self._run = run

    def is_message(self, *, role: Literal["assistant"] = "assistant", contains: str = "") -> EventExpectation:
        """Words of the agent. `contains`: these, in any case and punctuation."""
        event = self.event
        if not isinstance(event, AgentMessage):
            self._fail(f"expected a message of the {role}")
        if contains and not _has_words(event.text, contains):
            self._fail(f'expected a message containing "{contains}"')
        return self

    def is_function_call(self, *, name: str = "", arguments: Mapping[str, Any] | None = None) -> EventExpectation:
        """A tool was called. `arguments`: the ones to check; there may be others."""
        event = self.event
        if not isinstance(event, FunctionCall) or (name and event.name != name):
            self._fail(f"expected a call of {name or 'a function'}")
        for key, value in (arguments or {}).items():
            if key not in event.arguments or event.arguments[key] != value:
                self._fail(f"expected {name or 'the function'} to be called with {key}={value!r}")
        return self

    def is_function_call_output(
        self, *, name: str = "", contains: str = "", is_error: bool | None = None
    ) -> EventExpectation:
        event = self.event
        if not isinstance(event, FunctionCallOutput) or (name and event.name != name):
            self._fail(f"expected the output of {name or 'a function'}")
        if contains and not _has_words(event.output, contains):
            self._fail(f'expected an output containing "{contains}"')
        if is_error is not None and event.is_error is not is_error:
            self._fail(f"expected the function {'to fail' if is_error else 'to succeed'}")
        return self

    def is_agent_handoff(self, *, to: str | type[Agent] = "") -> EventExpectation:
        """`to`: the persona, or its name."""
        wanted = to if isinstance(to, str) else to.__name__
        event = self.event
        if not isinstance(event, AgentHandoff) or (wanted and event.to_persona != wanted):
            self._fail(f"expected a handoff to {wanted or 'another persona'}")
        return self

    async def judge(self, llm: LLM, *, intent: str) -> EventExpectation:
        """Let a model decide whether this message does what `intent` says, as in "offers a time". Raises AssertionError
        with its reason; ProviderError if the model cannot be asked."""
        event = self.event
        if not isinstance(event, AgentMessage):
            self._fail("expected a message to judge")
        verdict = await judge(llm, event.text, intent)
        if not verdict.passed:
            self._fail(f'expected a message that "{intent}"; the judge says: {verdict.reason}')
        return self

    def _fail(self, what: str) -> NoReturn:
        raise self._run.failure(what, self.event)


class RunExpectation:
    """The events of one turn, from the first on. Messages, function calls and their outputs, handoffs count."""

    def __init__(self, events: Sequence[SessionEvent]) -> None:
        self._events = [event for event in events if type(event) in _TYPES]
        self._tasks = [event for event in events if isinstance(event, TaskCompleted)]
        self._position = 0

    def next_event(self, *, type: EventType | None = None) -> EventExpectation:
        """Step to the next event; with `type`, to the next one of that type."""
        while self._position < len(self._events):
            event = self._events[self._position]
            self._position += 1
            if type is None or _TYPES[event.__class__] == type:
                return EventExpectation(event, self)
        raise self.failure(f"expected {f'a {type}' if type else 'another event'}, but there was nothing more", None)

    def skip_next(self, count: int = 1) -> RunExpectation:
        """Skip events. Raises AssertionError if there are fewer."""
        for _ in range(count):
            self.next_event()
        return self

    def skip_next_event_if(self, *, type: EventType) -> RunExpectation:
        """Skip the next event if it is of that type."""
        if self._position < len(self._events) and _TYPES[self._events[self._position].__class__] == type:
            self._position += 1
        return self

    def no_more_events(self) -> None:
        if self._position < len(self._events):
            raise self.failure("expected nothing more", self._events[self._position])

    def contains_message(self, *, contains: str = "") -> EventExpectation:
        """Anywhere in the turn; the position does not change."""
        return self._find("message", lambda each: each.is_message(contains=contains))

    def contains_function_call(self, *, name: str = "", arguments: Mapping[str, Any] | None = None) -> EventExpectation:
        return self._find("function_call", lambda each: each.is_function_call(name=name, arguments=arguments))

    def contains_function_call_output(
        self, *, name: str = "", contains: str = "", is_error: bool | None = None
    ) -> EventExpectation:
        return self._find(
            "function_call_output",
            lambda each: each.is_function_call_output(name=name, contains=contains, is_error=is_error),
        )

    def contains_agent_handoff(self, *, to: str | type[Agent] = "") -> EventExpectation:
        return self._find("agent_handoff", lambda each: each.is_agent_handoff(to=to))

    def contains_task(self, *, name: str | type[Task[Any]] = "", outcome: str = "completed", result: str = "") -> None:
        """A task has ended in this turn. `name`: its class, or the name of that; `result`: these words."""
        wanted = name if isinstance(name, str) else name.__name__
        for event in self._tasks:
            if (
                wanted in ("", event.task)
                and event.outcome == outcome
                and (not result or _has_words(event.result, result))
            ):
                return
        ended = ", ".join(f"{event.task} {event.outcome}: {event.result}" for event in self._tasks) or "none"
        raise self.failure(f"expected {wanted or 'a task'} to be {outcome}; tasks that ended: {ended}", None)

    def failure(self, what: str, event: SessionEvent | None) -> AssertionError:
        """The error with the expectation, the turn's events, and the test's position."""
        lines = [what, "what happened in this turn:"]
        lines += [f"{'->' if each is event else '  '} {_describe(each)}" for each in self._events] or ["   nothing"]
        return AssertionError("\n".join(lines))

    def _find(self, type: EventType, check: Any) -> EventExpectation:
        last: AssertionError | None = None
        for event in self._events:
            if _TYPES[event.__class__] == type:
                found = EventExpectation(event, self)
                try:
                    check(found)
                except AssertionError as error:
                    last = error
                else:
                    return found
        raise last or self.failure(f"expected a {type}, but there was none", None)


class TurnResult:
    """The result of one turn."""

    def __init__(self, events: Sequence[SessionEvent]) -> None:
        self.events = tuple(events)
        self.expect = RunExpectation(self.events)

    @property
    def text(self) -> str:
        """Everything the agent said."""
        return " ".join(event.text for event in self.events if isinstance(event, AgentMessage) and event.text)

    @property
    def closed(self) -> SessionClosed | None:
        """Set when this turn ended the conversation."""
        return next((event for event in self.events if isinstance(event, SessionClosed)), None)


class TextCall:
    """A conversation with a persona, in text. The first `run` starts it; the greeting is in `greeting`."""

    def __init__(
        self,
        persona: Agent | PersonaMaker,
        llm: LLM,
        *,
        options: SessionOptions | None = None,
        userdata: Any = None,
        info: CallInfo | None = None,
    ) -> None:
        """`persona`: an instance, a class, or a factory, which gets `info` when the conversation starts. `userdata`:
        replaces the factory's."""
        self._maker: PersonaMaker | None = None
        self._persona: Agent | None = None
        if isinstance(persona, Agent):
            self._persona = persona
        elif isinstance(persona, type):
            self._persona = persona()
        else:
            self._maker = persona
        self._info = info or CallInfo("text", Direction.INBOUND, "", None, "text")
        self.session = AgentSession(llm=llm, options=options, userdata=userdata, offload=_in_thread)
        self.events: list[SessionEvent] = []
        """All since the beginning."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The conversation's session; None before it has started."""
        self.session.subscribe(self.events.append, unmasked=True)

    @property
    def agent(self) -> Agent:
        """The active persona. Raises LookupError if a factory has not created it yet."""
        if self.loop is not None:
            return self.session.agent
        if self._persona is None:
            raise LookupError("the factory makes the persona when the conversation starts: run a turn first")
        return self._persona

    @property
    def greeting(self) -> str:
        return next(
            (event.text for event in self.events if isinstance(event, AgentMessage) and event.kind == "greeting"), ""
        )

    async def start(self) -> None:
        """Begin the conversation. Idempotent."""
        if self.loop is not None:
            return
        if self._persona is None and self._maker is not None:
            cast = await cast_for(self._maker, self._info, SharedByCalls(_in_thread), _in_thread)
            self._persona = cast.agent
            if self.session.userdata is None:
                self.session.userdata = cast.userdata
        assert self._persona is not None, "it was given, or has just been made"
        self.loop = asyncio.get_running_loop()
        await self.session.start(agent=self._persona)

    async def run(self, *, user_input: str) -> TurnResult:
        """The caller says something; returns when the agent is done with it."""
        await self.start()
        result = await self.session.run(user_input=user_input)
        return TurnResult(result.events)

    async def aclose(self) -> None:
        """End it. Idempotent."""
        if self.loop is not None:
            await self.session.aclose()


async def _in_thread(work: Callable[[], T], *, modelled_ms: float) -> T:
    """An `Offload` in threads known to the loop: the clock of text conversations waits for them."""
    return await asyncio.to_thread(work)


def _has_words(text: str, words: str) -> bool:
    return f" {normalized(words)} " in f" {normalized(text)} "


def _describe(event: SessionEvent) -> str:
    match event:
        case AgentMessage():
            return f'message "{event.text}"'
        case FunctionCall():
            return f"function_call {event.name}({json.dumps(event.arguments, default=str)})"
        case FunctionCallOutput():
            return f"function_call_output {event.name}{' failed' if event.is_error else ''}: {event.output}"
        case AgentHandoff():
            return f"agent_handoff {event.from_persona} -> {event.to_persona}"
        case _:
            return event.type
