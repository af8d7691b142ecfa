"""Creates events: each gets its id here and goes to all listeners. Belongs to the loop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from gateway.events.catalogue import Event
from gateway.events.kinds import EventData
from gateway.events.stream import EventStream
from gateway.events.translate import Translator, lost_call
from gateway.live_calls import CallFact
from gateway.record import CallRecord, RecordMessage

__all__ = ["EventHub"]

log = structlog.get_logger(__name__)


class EventHub:
    def __init__(
        self,
        *,
        deliver: Callable[[Event, str], None] | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`deliver(event, its JSON)`: to webhooks. `now_ms`: Unix time."""
        self._deliver = deliver
        self._now_ms = now_ms
        self._process = secrets.token_hex(4)  # ids of several gateways, and of a restarted one, differ
        self._ms = now_ms()
        self._count = 0
        self._translator = Translator()
        self.stream = EventStream(self._next_id())

    def observe(self, message: RecordMessage, facts: Sequence[CallFact]) -> None:
        """A record message, and its meaning for calls. Never raises: a listener must not affect a call."""
        try:
            for data in self._translator.events(message, facts):
                self.tell(data)
        except Exception as error:
            log.error("event_not_told", error=repr(error), exc_info=error)

    def were_lost(self, calls: Sequence[CallRecord]) -> None:
        """Calls of a gateway that died, found at the start."""
        for call in calls:
            self.tell(lost_call(call))

    def tell(self, data: EventData) -> None:
        event = Event(self._next_id(), datetime.fromtimestamp(self._ms / 1000, UTC), data)
        text = event.to_json()
        self.stream.publish(event, text)
        if self._deliver is not None:
            self._deliver(event, text)

    def _next_id(self) -> str:
        """Sorts by time as text, even if the clock is set back."""
        now = self._now_ms()
        if now > self._ms:
            self._ms, self._count = now, 0
        self._count += 1
        return f"{self._ms:012x}-{self._count:05x}-{self._process}"
