"""A task: something asked of the caller, as a conversation within the conversation, with a typed result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeVar

from agent.persona import Agent
from agent.run_result import SessionMisuse
from agent.tools import ToolError
from agent.within import within

__all__ = ["Task", "TaskAbandoned", "TaskTimedOut"]

T = TypeVar("T")
_FROM_PERSONA = ("voice", "language", "llm", "tts", "canned", "silence_ladder", "turn_detection")


class TaskAbandoned(ToolError):
    """Raised where a task is awaited: it can no longer be answered, since the caller has been handed over or the call
    ends."""


class TaskTimedOut(ToolError):
    """Raised where a task is awaited: its `timeout_s` has expired."""


class Task(Agent, Generic[T]):
    """Subclass it as a persona, with instructions, tools and hooks of its own, and await it in a tool or in a hook:

        address = await ConfirmedAddress("Where shall we send it?")

    From then on the task talks and listens, until `complete` or `fail` is called; then the reply and the persona
    waiting for it continue. What the task does not set itself (`voice`, `language`, `llm`, `tts`, `canned`,
    `silence_ladder`, `turn_detection`) is taken from whoever awaits it. A task is awaited once.

    `asks_at_once`: without a greeting, its model speaks first; False: it waits for the caller.
    `heeds_sounds`: speech without words is asked about, and ends the call in the end.
    `timeout_s`: limits the time without holds; None: the call's other limits are enough. `secret`: until it is over the
    recording is silent, and what the caller keys and says is masked in everything that leaves the conversation.
    """

    timeout_s: float | None = None
    asks_at_once: bool = True
    heeds_sounds: bool = True
    secret: bool = False
    _result: asyncio.Future[T] | None = None

    def __init__(
        self,
        *,
        instructions: str | None = None,
        greeting: str | None = None,
        tools: Iterable[Callable[..., Any]] = (),
    ) -> None:
        super().__init__(instructions=instructions, greeting=greeting, tools=tools)

    def complete(self, result: T) -> None:
        """The task is done; what awaits it gets `result`. The first result counts."""
        if not self._open().done():
            self._open().set_result(result)

    def fail(self, error: Exception) -> None:
        """The task is over without a result; `error` is raised where it is awaited. The model reads a ToolError's
        text."""
        if not self._open().done():
            self._open().set_exception(error)
            self._open().exception()  # marks it as read: whoever awaited it may have been cancelled by now

    @property
    def done(self) -> bool:
        """It has a result, or has failed."""
        return self._result is not None and self._result.done()

    @property
    def result(self) -> asyncio.Future[T]:
        """For the session, which awaits it. Raises SessionMisuse before the task has begun."""
        return self._open()

    def begin(self, asker: Agent) -> None:
        """For the session: it begins, with the voice of `asker`. Raises SessionMisuse the second time."""
        if self._result is not None:
            raise SessionMisuse(f"the task {self.name} was awaited before: create another one")
        self._result = asyncio.get_running_loop().create_future()
        for attribute in _FROM_PERSONA:
            if not self._sets(attribute):
                setattr(self, attribute, getattr(asker, attribute))

    def __await__(self) -> Generator[Any, None, T]:
        place = within()
        if place is None:
            raise SessionMisuse(f"the task {self.name} is not awaited in a tool or hook of a conversation")
        result: T = yield from place.run_task(self).__await__()
        return result

    def _open(self) -> asyncio.Future[T]:
        if self._result is None:
            raise SessionMisuse(f"the task {self.name} has not begun: it is not being awaited")
        return self._result

    def _sets(self, attribute: str) -> bool:
        own = type(self).__mro__[: type(self).__mro__.index(Task)]
        return attribute in vars(self) or any(attribute in vars(cls) for cls in own)
