"""The event loop of a process that serves several calls: nothing in one call ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["run_to_end"]

T = TypeVar("T")
COMMON_THREADS = 64  # for `asyncio.to_thread` and name lookups, created on demand
_log = logging.getLogger(__name__)


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, but a SystemExit or KeyboardInterrupt in another task, which asyncio lets through, ends only
    that task, and hanging threads are not awaited. For processes that end with `os._exit`."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(COMMON_THREADS, "common"))
    task = loop.create_task(main)
    try:
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                _log.error("a task tried to end the process: only the task ends", exc_info=error)
    finally:
        _wind_up(loop)


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    try:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()  # does not wait for the threads
