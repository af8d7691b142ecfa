"""Limits each trunk's simultaneous calls and calls per second, with a queue. `TrunkCaps` is pure; `TrunkQueue` is its
shell on the loop."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.warm.asking import Refused
from gateway.config.trunk_calls import TrunkCapSettings
from gateway.config.trunks import TrunkSettings
from gateway.dispatch import Dispatcher, SlotTaken
from gateway.live_calls import LiveCalls

__all__ = ["CapState", "TrunkCaps", "TrunkQueue"]

_MOST_WAITING = 1_000
_CLOCK_S = 1e-6  # a timer may be early by the resolution of the clock


@dataclass(frozen=True, slots=True)
class CapState:
    """For pages and metrics."""

    placed: int  # legs now
    came_in: int
    calls: int | None
    calls_per_second: float | None
    waiting: int
    refused: int  # since the start, because the trunk was full


class TrunkCaps:
    """`legs_on(trunk, placed=…)`: legs over the trunk now."""

    def __init__(self, trunks: Iterable[TrunkSettings], legs_on: Callable[..., int]) -> None:
        self._caps: Mapping[str, TrunkCapSettings] = {t.name: t.cap for t in trunks if t.cap is not None}
        self._legs_on = legs_on
        self._next_at: dict[str, float] = {}  # when the trunk takes another call

    def cap(self, trunk: str) -> TrunkCapSettings | None:
        return self._caps.get(trunk)

    def free_at(self, trunk: str, now: float) -> float | None:
        """When it takes another call: `now` or earlier if at once. None: not before one of its calls ends."""
        cap = self._caps.get(trunk)
        if cap is None:
            return now
        legs = self._legs_on(trunk, placed=True) + (self._legs_on(trunk, placed=False) if cap.inbound else 0)
        if cap.calls is not None and legs >= cap.calls:
            return None
        return self._next_at.get(trunk, now)

    def is_free(self, trunk: str, now: float) -> bool:
        at = self.free_at(trunk, now)
        return at is not None and at <= now + _CLOCK_S

    def took(self, trunk: str, now: float) -> None:
        cap = self._caps.get(trunk)
        if cap is not None and cap.calls_per_second is not None:
            self._next_at[trunk] = max(now, self._next_at.get(trunk, now)) + 1 / cap.calls_per_second

    def wait_s(self, trunks: Iterable[str]) -> float:
        """How long a call may wait for one of these."""
        return max((cap.queue_s for name in trunks if (cap := self._caps.get(name)) is not None), default=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    call_id: str
    leg_id: str
    trunks: tuple[str, ...]  # in the order to try them
    prefer: str  # worker
    until: float
    turn: asyncio.Future[tuple[str, SlotTaken]]


class TrunkQueue:
    """First come, first served on each trunk. A trunk and a slot are taken in one step."""

    def __init__(self, caps: TrunkCaps, live: LiveCalls, dispatcher: Dispatcher, now: Callable[[], float]) -> None:
        self._caps = caps
        self._live = live
        self._dispatcher = dispatcher
        self._now = now
        self._waiting: list[_Waiting] = []
        self._refused: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._looking = False
        live.slot_freed = self._freed

    async def take(
        self, call_id: str, leg_id: str, trunks: tuple[str, ...], *, prefer: str = "", most_s: float = math.inf
    ) -> tuple[str, SlotTaken]:
        """The trunk for the leg, and its slot. `most_s`: the longest wait, whatever the trunks allow. Raises Refused if
        no trunk becomes free in time, or no slot is left."""
        now = self._now()
        until = now + min(self._caps.wait_s(trunks), most_s)
        waiting = _Waiting(call_id, leg_id, trunks, prefer, until, asyncio.get_running_loop().create_future())
        if len(self._waiting) >= _MOST_WAITING:
            raise self._full(waiting)
        self._waiting.append(waiting)
        self._look()
        try:
            return await waiting.turn
        except asyncio.CancelledError:  # whoever asked has gone
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif waiting.turn.done() and not waiting.turn.cancelled() and waiting.turn.exception() is None:
                self._dispatcher.release(leg_id)
            raise

    def moves(self, leg_id: str, trunk: str) -> bool:
        """Move a leg that its trunk did not take to this one, if it has room and nobody is waiting for it."""
        now = self._now()
        if not self._caps.is_free(trunk, now):
            self._refused[trunk] += 1
            return False
        self._caps.took(trunk, now)
        self._live.put_on_trunk(leg_id, trunk, placed=True)
        return True

    def state(self, trunk: str) -> CapState:
        cap = self._caps.cap(trunk)
        return CapState(
            placed=self._live.legs_on(trunk, placed=True),
            came_in=self._live.legs_on(trunk, placed=False),
            calls=None if cap is None else cap.calls,
            calls_per_second=None if cap is None else cap.calls_per_second,
            waiting=sum(trunk in each.trunks for each in self._waiting),
            refused=self._refused[trunk],
        )

    def _freed(self) -> None:
        if self._waiting and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Serve the queue with whatever is free, and check again when that may have changed."""
        self._looking = False
        now = self._now()
        wake: list[float] = []
        for waiting in tuple(self._waiting):
            if waiting.turn.done() or self._served(waiting, now):
                self._waiting.remove(waiting)
                continue
            if now >= waiting.until - _CLOCK_S:
                self._waiting.remove(waiting)
                waiting.turn.set_exception(self._full(waiting))
                continue
            times = [at for name in waiting.trunks if (at := self._caps.free_at(name, now)) is not None]
            wake.append(min([waiting.until, *times]))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(wake) - now), self._look)

    def _served(self, waiting: _Waiting, now: float) -> bool:
        trunk = next((name for name in waiting.trunks if self._caps.is_free(name, now)), None)
        if trunk is None:
            return False
        slot = self._dispatcher.take(waiting.call_id, now, leg_id=waiting.leg_id, prefer=waiting.prefer)
        if slot is None:
            why = f"all {self._dispatcher.total} call slots are taken"
            waiting.turn.set_exception(Refused("no_slot", why, retryable=True))
            return True
        self._live.put_on_trunk(slot.leg_id, trunk, placed=True)
        self._caps.took(trunk, now)
        waiting.turn.set_result((trunk, slot))
        return True

    def _full(self, waiting: _Waiting) -> Refused:
        for name in waiting.trunks:
            self._refused[name] += 1
        names = ", ".join(f'"{name}"' for name in waiting.trunks)
        which = "trunk" if len(waiting.trunks) == 1 else "trunks"
        return Refused("trunk_full", f"{which} {names} cannot take another call now (cap)", retryable=True)
