"""Passes every record message to the store, the registry of live calls, and everyone who watches calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from gateway.call_log import log_end
from gateway.live_calls import CallEnded, CallFact, LiveCalls
from gateway.record import RecordMessage

__all__ = ["Listener", "RecordFlow", "Watcher"]

log = structlog.get_logger(__name__)

Listener = Callable[[RecordMessage], None]
Watcher = Callable[[RecordMessage, Sequence[CallFact]], None]


class RecordFlow:
    """`listeners` get every record message as it arrives (terminal, bench, tests)."""

    def __init__(
        self,
        put: Listener,
        live: LiveCalls,
        *,
        watchers: Sequence[Watcher] = (),
        listeners: list[Listener] | None = None,
    ) -> None:
        """`put` writes to the store; `watchers` get each message with what it says about calls, and must not raise."""
        self._put = put
        self._live = live
        self._watchers = tuple(watchers)
        self.listeners: list[Listener] = [] if listeners is None else listeners

    def put(self, message: RecordMessage) -> None:
        self._put(message)
        facts = self._live.observe(message)
        for watcher in self._watchers:
            watcher(message, facts)
        for fact in facts:
            if isinstance(fact, CallEnded):
                log_end(fact)
        for listener in self.listeners:
            try:
                listener(message)
            except Exception as error:  # noqa: BLE001 - a broken terminal must not cost a worker its channel
                log.error("listener_failed", error=repr(error))
