"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer.

A five-minute call takes only its computing time, and two runs are identical to the microsecond.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

__all__ = ["VirtualClockLoop", "VirtualOffload", "WouldBlockForever", "run_virtual"]

T = TypeVar("T")


class WouldBlockForever(RuntimeError):
    """Nothing is ready and no timer is set: the awaited event can never happen."""

    def __init__(self, at: float, waiting: list[str]) -> None:
        super().__init__(
            f"at {at:.3f} s of virtual time there is nothing left to run; waiting: {', '.join(waiting) or 'nobody'}"
        )


class _JumpingSelector(selectors.DefaultSelector):
    """Advances the clock instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.describe: Callable[[], list[str]] = list

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise WouldBlockForever(self.now, self.describe())
        if timeout > 0:
            # Rounded, so that sums of floats do not drift apart from the times that timers were set for.
            self.now = round(self.now + timeout, 9)
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """`time()` begins at `start` seconds. Real threads and sockets do not work with it: use `VirtualOffload`."""

    def __init__(self, start: float = 1000.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.now = start
        super().__init__(self._jumping)
        self._jumping.describe = lambda: sorted(task.get_name() for task in asyncio.all_tasks(self))

    def time(self) -> float:
        return self._jumping.now


class VirtualOffload:
    """An `Offload` that runs work at once, with the clock standing still, then lets `modelled_ms` pass."""

    async def __call__(self, work: Callable[[], T], *, modelled_ms: float) -> T:
        result = work()
        await asyncio.sleep(modelled_ms / 1000)
        return result


def run_virtual(coroutine: Coroutine[Any, Any, T], *, start: float = 1000.0) -> T:
    """Run to the end on a fresh `VirtualClockLoop`. Raises `WouldBlockForever` if it would never end, and RuntimeError
    naming an error that a callback or a forgotten task raised."""
    loop = VirtualClockLoop(start)
    errors: list[Mapping[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    try:
        result = loop.run_until_complete(coroutine)
        loop.run_until_complete(_cancel_rest())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    if errors:
        raise RuntimeError(f"unhandled in the loop: {errors[0].get('message')}") from errors[0].get("exception")
    return result


async def _cancel_rest() -> None:
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
