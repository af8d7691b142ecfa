"""The subscribers of a session: each gets every event, masked unless it asked for unmasked ones."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.events import SessionEvent
from agent.privacy import Privacy

__all__ = ["Watchers"]

_log = logging.getLogger(__name__)


class Watchers:
    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self._callbacks: list[tuple[Callable[[SessionEvent], None], bool]] = []

    def subscribe(self, callback: Callable[[SessionEvent], None], *, unmasked: bool = False) -> Callable[[], None]:
        """Call `callback` with each event from now on; call the result to unsubscribe."""
        entry = (callback, unmasked)
        self._callbacks.append(entry)

        def unsubscribe() -> None:
            if entry in self._callbacks:
                self._callbacks.remove(entry)

        return unsubscribe

    def emit(self, event: SessionEvent) -> None:
        told = self._privacy.masked(event)
        for callback, unmasked in tuple(self._callbacks):
            try:
                callback(event if unmasked else told)
            except Exception:  # noqa: BLE001  a watcher must not end the conversation that it watches
                _log.exception("an event callback failed")
