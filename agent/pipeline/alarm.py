"""Calls a pure machine's `tick` at its deadline: connects turn taking to the loop's timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["Alarm", "Machine"]

A_co = TypeVar("A_co", covariant=True)
A = TypeVar("A")


class Machine(Protocol[A_co]):
    @property
    def deadline(self) -> float | None: ...

    def tick(self, now: float) -> tuple[A_co, ...]: ...


class Alarm(Generic[A]):
    """Call `set` after each event given to the machine; `perform` gets the actions of each tick."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, machine: Machine[A], perform: Callable[[tuple[A, ...]], None]
    ) -> None:
        self._loop = loop
        self._machine = machine
        self._perform = perform
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None

    def set(self) -> None:
        due = self._machine.deadline
        if due == self._due:
            return
        self.cancel()
        if due is not None:
            self._due = due
            self._timer = self._loop.call_at(due, self._fire, due)

    def cancel(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, due: float) -> None:
        self._timer = self._due = None
        # A timer may fire a clock tick early: pass the machine the due time.
        self._perform(self._machine.tick(max(due, self._loop.time())))
        self.set()
