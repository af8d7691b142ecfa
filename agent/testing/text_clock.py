"""The clock of text conversations: it skips waits for timers, and keeps real time while something external is at work
(a real model's socket, a tool in a thread). So a tool that sleeps for a minute takes no time in a test, and a test with
a real model works, too.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from time import monotonic
from typing import Any, TypeVar, TypeVarTuple

from agent.testing.virtual_clock import WouldBlockForever

__all__ = ["TextClockLoop", "run_text"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_OWN_FILES = 1  # the loop's own socket, through which threads wake it


class _Selector(selectors.DefaultSelector):
    """Skips a wait, unless something external may end it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.in_threads = 0
        self.describe: Callable[[], list[str]] = list

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.in_threads or len(self.get_map()) > _OWN_FILES:
            began = monotonic()
            ready = super().select(timeout)
            self.now = round(self.now + monotonic() - began, 9)
            return ready
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise WouldBlockForever(self.now, self.describe())
        self.now = round(self.now + max(0.0, timeout), 9)
        return []


class TextClockLoop(asyncio.SelectorEventLoop):
    """`time()` begins at `start` seconds."""

    def __init__(self, start: float = 1000.0) -> None:
        self._clock = _Selector()
        self._clock.now = start
        super().__init__(self._clock)
        self._clock.describe = lambda: sorted(task.get_name() for task in asyncio.all_tasks(self))

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Real time while it runs."""
        future = super().run_in_executor(executor, func, *args)
        self._clock.in_threads += 1
        future.add_done_callback(self._back)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        self._clock.in_threads += 1  # a thread waits for the others
        try:
            await super().shutdown_default_executor()
        finally:
            self._clock.in_threads -= 1

    def _back(self, _: asyncio.Future[Any]) -> None:
        self._clock.in_threads -= 1


def run_text(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a fresh `TextClockLoop`, as `asyncio.run` does on the ordinary one. Raises WouldBlockForever
    if the awaited event can never happen."""
    with asyncio.Runner(loop_factory=TextClockLoop) as runner:
        return runner.run(coroutine)
