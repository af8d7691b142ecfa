"""The context in which a persona's code runs: its activity, the reply waiting for it, and its time limit.

A tool or hook may wait for the conversation itself (speech, a reply, the caller, a task), which must know about it, or
the two would wait for each other; its time limit pauses meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any

__all__ = ["TimeLimit", "Within", "enter", "waiting_for_conversation", "within"]


@dataclass(frozen=True, slots=True)
class Within:
    """`activity`: the owner of the tool or hook. `reply`: the reply waiting for it, if any. `run_task` has the session
    run a task and returns its result."""

    activity: object
    reply: object | None
    run_task: Callable[[Any], Awaitable[Any]]


_within: ContextVar[Within | None] = ContextVar("within", default=None)
_limit: ContextVar[TimeLimit | None] = ContextVar("limit", default=None)


def within() -> Within | None:
    """The context of the calling code, or of whatever created its task."""
    return _within.get()


def enter(place: Within) -> None:
    """From now on the calling task runs a persona's code."""
    _within.set(place)


@contextmanager
def waiting_for_conversation() -> Iterator[None]:
    """Pauses the time limit of the running tool or hook."""
    limit = _limit.get()
    if limit is not None:
        limit.pause()
    try:
        yield
    finally:
        if limit is not None:
            limit.go_on()


class TimeLimit:
    """Like `asyncio.timeout`, for a persona's code: `async with` it. `limit_s` None: no limit."""

    def __init__(self, limit_s: float | None) -> None:
        self._left_s = limit_s
        self._timeout = asyncio.timeout(None)
        self._runs_since: float | None = None  # loop time
        self._pauses = 0
        self._open = False

    def expired(self) -> bool:
        return self._timeout.expired()

    def pause(self) -> None:
        """Pause until `go_on` has been called as often as this."""
        self._pauses += 1
        if self._runs_since is not None and self._left_s is not None and not self.expired():
            self._left_s -= asyncio.get_running_loop().time() - self._runs_since
            self._runs_since = None
            self._timeout.reschedule(None)

    def go_on(self) -> None:
        self._pauses -= 1
        self._run()

    def _run(self) -> None:
        if self._open and not self._pauses and self._left_s is not None and not self.expired():
            self._runs_since = asyncio.get_running_loop().time()
            self._timeout.reschedule(self._runs_since + self._left_s)

    async def __aenter__(self) -> TimeLimit:
        await self._timeout.__aenter__()
        self._token = _limit.set(self)
        self._open = True
        self._run()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        self._runs_since = None
        _limit.reset(self._token)
        await self._timeout.__aexit__(kind, error, traceback)
