"""Recent events, for current and reconnecting listeners. Belongs to the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.events.catalogue import Event, matches

__all__ = ["EventStream", "SentEvent", "Subscription"]

_KEPT = 2_000  # events
_KEPT_BYTES = 1 << 20
_WAITING = 1_000  # events that one listener may be behind


@dataclass(frozen=True, slots=True)
class SentEvent:
    id: str
    type: str
    call_id: str
    text: str  # JSON


@dataclass(frozen=True, slots=True)
class Wish:
    """A listener's filter. `call_id`: empty for all calls."""

    patterns: Sequence[str] = ("*",)
    call_id: str = ""

    def wants(self, event: SentEvent) -> bool:
        return (not self.call_id or event.call_id == self.call_id) and matches(event.type, self.patterns)


class Subscription:
    """One listener. `next` returns events in order; None once it is too far behind, or the gateway stops."""

    def __init__(self, wish: Wish, leave: Callable[[Subscription], None]) -> None:
        self._wish = wish
        self._leave = leave
        self._waiting: deque[SentEvent] = deque()
        self._something = asyncio.Event()
        self.missed = False  # events between its last one and now are gone
        self.over = False

    def put(self, event: SentEvent) -> None:
        if self.over or not self._wish.wants(event):
            return
        if len(self._waiting) >= _WAITING:
            self.end()
            return
        self._waiting.append(event)
        self._something.set()

    def end(self) -> None:
        self.over = True
        self._something.set()

    async def next(self) -> SentEvent | None:
        while not self._waiting:
            if self.over:
                return None
            self._something.clear()
            await self._something.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        """The listener is gone. Idempotent."""
        self.over = True
        self._leave(self)


class EventStream:
    def __init__(self, first_id: str) -> None:
        """`first_id`: an ID before all future ones; older IDs belong to another process."""
        self._recent: deque[SentEvent] = deque()
        self._bytes = 0
        self._gone = first_id  # the last ID that is no longer kept
        self._listeners: set[Subscription] = set()

    def __len__(self) -> int:
        """Listeners."""
        return len(self._listeners)

    def publish(self, event: Event, text: str) -> None:
        sent = SentEvent(event.id, event.type, event.call_id, text)
        self._recent.append(sent)
        self._bytes += len(text)
        while len(self._recent) > _KEPT or self._bytes > _KEPT_BYTES:
            dropped = self._recent.popleft()
            self._bytes -= len(dropped.text)
            self._gone = dropped.id
        for listener in tuple(self._listeners):
            listener.put(sent)

    def subscribe(self, patterns: Sequence[str] = ("*",), call_id: str = "", after: str = "") -> Subscription:
        """`after`: the last ID that the listener has seen, compared as text; empty: from now on."""
        listener = Subscription(Wish(patterns, call_id), self._listeners.discard)
        if after:
            listener.missed = after < self._gone
            for event in self._recent:
                if event.id > after:
                    listener.put(event)
        self._listeners.add(listener)
        return listener

    def close(self) -> None:
        for listener in tuple(self._listeners):
            listener.end()
