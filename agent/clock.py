"""Where blocking work is done in a live call. Its counterpart for virtual time is `agent.testing.virtual_clock`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from agent.providers.base import Offload
from agent.tool_threads import ToolThreads

__all__ = ["ThreadOffload", "has_real_time", "is_our_end", "offload_for_tools"]

T = TypeVar("T")


class ThreadOffload:
    """An `Offload` that runs work in a thread; `modelled_ms` is ignored."""

    def __init__(self, executor: Executor | None = None) -> None:
        """`executor` None: the process's threads for speech, which nothing else uses. The loop's default executor
        serves `asyncio.to_thread` and name lookups: a persona's function hanging there would silence speech."""
        self._executor = executor

    async def __call__(self, work: Callable[[], T], *, modelled_ms: float) -> T:
        executor = self._executor or _speech_threads(os.getpid())
        return await asyncio.get_running_loop().run_in_executor(executor, work)


def offload_for_tools(offload: Offload) -> Offload:
    """One call's share of the tools' threads; in virtual time tools are offloaded like everything else."""
    return _tool_threads(os.getpid()).share() if isinstance(offload, ThreadOffload) else offload


def is_our_end(error: BaseException) -> bool:
    """Whether the running task itself is being ended by `error`. Not so for a CancelledError from something it awaited
    that others cancelled."""
    if isinstance(error, GeneratorExit):
        return True
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def has_real_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop's clock is the machine's, as opposed to a virtual one, which jumps."""
    return abs(loop.time() - time.monotonic()) < 1.0


# By process: threads do not survive a fork.
@cache
def _speech_threads(pid: int) -> Executor:
    return ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), "speech")


@cache
def _tool_threads(pid: int) -> ToolThreads:
    return ToolThreads()
