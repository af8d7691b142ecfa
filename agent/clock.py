"""Where blocking work is done in a live call. Its counterpart for virtual time is `agent.testing.virtual_clock`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

__all__ = ["ThreadOffload"]

T = TypeVar("T")


class ThreadOffload:
    """An `Offload` that runs work in a thread; `modelled_ms` is not looked at, the work takes what it takes."""

    def __init__(self, executor: Executor | None = None) -> None:
        """`executor` None: the loop's default one."""
        self._executor = executor

    async def __call__(self, work: Callable[[], T], *, modelled_ms: float) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
