"""The tasks of one session: its own work, the persona's hooks, and closing of providers."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.activity import Activity
from agent.clock import is_our_end
from agent.hooks import outcome_of
from agent.within import TimeLimit, Within, enter

__all__ = ["SessionTasks"]

HOOK_LIMIT_S = 10.0  # of a hook's own running time
LET_GO_LIMIT_S = 1.0  # for providers to close their streams when the session closes
_log = logging.getLogger(__name__)


class SessionTasks:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Session tasks inherit the session's context, not that of the tool or hook that started them.
        self._context = contextvars.copy_context()
        self.watch: Callable[[str], None] | None = None  # told the name of a persona's code by the task that runs it
        self.closing = False  # nothing that ends now counts as a failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._hooks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task of this session: it is cancelled when the session closes, and a failure is logged."""
        task = self.loop.create_task(coroutine, name=name, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def let_go(self, closing: Coroutine[Any, Any, None]) -> None:
        """Close a provider's stream. Unlike other tasks, this continues while the session closes."""
        task = self.loop.create_task(closing, name="let go", context=self._context.copy())
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def cancel(self) -> None:
        tasks = [task for task in (*self._tasks, *self._hooks) if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # Python 3.12 does not wait for the callbacks of tasks that were already done

    async def all_let_go(self) -> None:
        """Wait until everything is closed, at most a second."""
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
        """From now on the calling task runs the persona's code."""
        if self.watch is not None:
            self.watch(name)

    async def run_hook(
        self, place: Within, activity: Activity, hook: Callable[[], object], name: str
    ) -> Exception | None:
        """A hook of `activity`, a coroutine function or not. A failure, which is returned, or a time-out after 10 s
        ends nothing else. The end of its activity ends it."""
        run = self._guarded(place, activity, hook, name)
        task = self.loop.create_task(run, name=f"{activity.name}.{name}", context=self._context.copy())
        self._hooks.add(task)
        activity.hooks.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._hooks.discard(task)
            activity.hooks.discard(task)
        return None if task.cancelled() else task.result()

    async def _guarded(
        self, place: Within, activity: Activity, hook: Callable[[], object], name: str
    ) -> Exception | None:
        self.user_code(f"{activity.name}.{name}")
        enter(place)
        try:
            async with TimeLimit(HOOK_LIMIT_S):
                await outcome_of(hook())
        except BaseException as error:
            if is_our_end(error):
                raise
            _log.exception("%s.%s failed", activity.name, name)
            return error if isinstance(error, Exception) else RuntimeError(f"{name} failed")
        return None
