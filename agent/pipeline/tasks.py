"""The tasks of one session: what it runs, the persona's hooks, and what providers still have to close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.clock import is_our_end
from agent.hooks import outcome_of

__all__ = ["SessionTasks"]

LET_GO_LIMIT_S = 1.0  # for providers to close what they have open, when the session closes
_log = logging.getLogger(__name__)


class SessionTasks:
    def __init__(self, loop: asyncio.AbstractEventLoop, persona: Callable[[], str]) -> None:
        """`persona`: the name of the one that is active, for the names of its hooks."""
        self.loop = loop
        self.watch: Callable[[str], None] | None = None  # told the name of a persona's code by the task that runs it
        self._persona = persona
        self._tasks: set[asyncio.Task[Any]] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._hooks: set[asyncio.Task[None]] = set()  # of the persona that is active

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task of this session: it is cancelled when the session closes, and its failure is logged."""
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def let_go(self, closing: Coroutine[Any, Any, None]) -> None:
        """Close what a provider has open. Unlike other tasks this goes on while the session closes."""
        task = self.loop.create_task(closing, name="let go")
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    def end_hooks(self) -> None:
        """What hooks of the persona that was active still do ends with it."""
        hooks, self._hooks = self._hooks, set()
        for hook in hooks:
            hook.cancel()

    async def cancel(self) -> None:
        tasks = [task for task in (*self._tasks, *self._hooks) if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # of tasks that were over already, Python 3.12 does not wait for the callbacks

    async def all_let_go(self) -> None:
        """Wait until all is closed; what takes more than a second is given up."""
        if self._letting_go:
            _, slow = await asyncio.wait(self._letting_go, timeout=LET_GO_LIMIT_S)
            for task in slow:
                _log.warning("a provider's stream was not closed within %g s", LET_GO_LIMIT_S)
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    def user_code(self, name: str) -> None:
        """The task that calls this runs code of the persona from now on."""
        if self.watch is not None:
            self.watch(name)

    async def run_hook(self, hook: Callable[[], object], name: str) -> None:
        """A hook of the active persona, a coroutine function or not: its failure, or taking longer than 10 s, ends
        nothing. Another persona's becoming active ends it."""
        task = self.loop.create_task(self._guarded(hook, name), name=f"{self._persona()}.{name}")
        self._hooks.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._hooks.discard(task)

    async def _guarded(self, hook: Callable[[], object], name: str) -> None:
        persona = self._persona()
        self.user_code(f"{persona}.{name}")
        try:
            async with asyncio.timeout(10):
                await outcome_of(hook())
        except BaseException as error:
            if is_our_end(error):
                raise
            _log.exception("%s.%s failed", persona, name)
