"""The webhooks that live calls were given, and what the store does not know yet. Pure; times are Unix seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.events.catalogue import Event, matches
from gateway.events.endpoints import place_of
from gateway.events.kinds import EventType
from gateway.store.call_hooks import CallHook
from gateway.store.deliveries import Delivery

__all__ = ["CallHooks"]

LATE_S = 600.0  # events after the call's end: a recording that had to be repaired


class CallHooks:
    def __init__(self) -> None:
        self._hooks: dict[str, CallHook] = {}
        self._over: deque[tuple[float, str]] = deque()  # when to forget, in order
        self.new: list[CallHook] = []  # not kept yet
        self.old: list[str] = []  # calls to be forgotten

    def __len__(self) -> int:
        return len(self._hooks)

    def follow(self, hook: CallHook) -> None:
        self._hooks[hook.call_id] = hook
        self.new.append(hook)

    def unfollow(self, call_id: str) -> None:
        if self._hooks.pop(call_id, None) is not None:
            self.old.append(call_id)

    def found(self, hooks: Sequence[CallHook], now: float) -> None:
        """Kept by the process before. Each call's end has been told, or is about to be."""
        for hook in hooks:
            self._hooks[hook.call_id] = hook
            self._over.append((now + LATE_S, hook.call_id))

    def delivery(self, event: Event, text: str) -> Delivery | None:
        """None: the event's call has no webhook, or that does not want it."""
        hook = self._hooks.get(event.call_id) if event.call_id else None
        if hook is None:
            return None
        at = event.at.timestamp()
        if event.type is EventType.CALL_ENDED:
            self._over.append((at + LATE_S, hook.call_id))
        if not matches(event.type, hook.events):
            return None
        return Delivery(event.id, place_of(hook.url), event.type, text, at, url=hook.url, secret=hook.secret)

    def forget(self, now: float) -> None:
        """Those whose call has been over for a while."""
        while self._over and self._over[0][0] <= now:
            self.unfollow(self._over.popleft()[1])
