"""Separate threads for synchronous tools, so that hanging ones don't affect speech, with a limit per call.

Each run has its own thread. Python cannot end a thread, so a hanging one counts against its call until it returns; as a
daemon it does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["TooManyRunning", "ToolShare", "ToolThreads"]

T = TypeVar("T")
_NUMBERS = itertools.count(1)


class TooManyRunning(RuntimeError):
    """The process has no thread left for another tool."""


class ToolThreads:
    """The threads of one process. `a_call`: how many of a call's synchronous tools run at once (others wait); `in_all`:
    the same for all calls together, including those still hanging after their call has ended. Used on one loop."""

    def __init__(self, *, a_call: int = 4, in_all: int = 64) -> None:
        self.a_call = a_call
        self.in_all = in_all
        self.running = 0

    def share(self) -> ToolShare:
        return ToolShare(self)


class ToolShare:
    """Implements `Offload` for the tools of one call."""

    def __init__(self, threads: ToolThreads) -> None:
        self._threads = threads
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.running = 0

    async def __call__(self, work: Callable[[], T], *, modelled_ms: float) -> T:
        """Raises what `work` raises, and TooManyRunning. `modelled_ms` is ignored."""
        await self._turn()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        context = contextvars.copy_context()

        def over(value: Any, error: BaseException | None) -> None:
            self._returned()
            if not outcome.done():
                outcome.set_result((value, error))

        def run() -> None:
            # Exceptions travel as values: a future rejects StopIteration, and SystemExit would end the loop.
            value, error = None, None
            try:
                value = context.run(work)
            except BaseException as raised:  # noqa: BLE001 - see above
                error = raised
            try:
                loop.call_soon_threadsafe(over, value, error)
            except RuntimeError:
                pass  # the loop is closed: nobody is waiting

        try:
            threading.Thread(target=run, name=f"tool-{next(_NUMBERS)}", daemon=True).start()
        except RuntimeError as error:
            self._returned()
            raise TooManyRunning(str(error)) from error
        value, raised = await outcome
        if raised is None:
            return cast(T, value)
        raise RuntimeError("the function raised StopIteration") if isinstance(raised, StopIteration) else raised

    async def _turn(self) -> None:
        """Wait until this call may have another thread. Raises TooManyRunning."""
        while self.running >= self._threads.a_call:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # it was our turn, and we don't take it
                else:
                    self._waiting.remove(waiter)
                raise
        if self._threads.running >= self._threads.in_all:
            raise TooManyRunning(f"{self._threads.running} functions are running")
        self.running += 1
        self._threads.running += 1

    def _returned(self) -> None:
        self.running -= 1
        self._threads.running -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
