"""The webhooks of live calls, and changes not yet in the store. Pure; times are Unix seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.events.catalogue import Event, matches
from gateway.events.endpoints import place_of
from gateway.events.kinds import EventType
from gateway.store.call_hooks import CallHook
from gateway.store.deliveries import Delivery

__all__ = ["CallHooks"]

LATE_S = 600.0  # for events after the call's end, such as a repaired recording


class CallHooks:
    def __init__(self) -> None:
        self._hooks: dict[str, CallHook] = {}
        self._over: deque[tuple[float, str]] = deque()  # when to forget, in order
        self.new: list[CallHook] = []  # not stored yet
        self.old: list[str] = []  # calls to forget

    def __len__(self) -> int:
        return len(self._hooks)

    def follow(self, hook: CallHook) -> None:
        self._hooks[hook.call_id] = hook
        self.new.append(hook)

    def unfollow(self, call_id: str) -> None:
        if self._hooks.pop(call_id, None) is not None:
            self.old.append(call_id)

    def found(self, hooks: Sequence[CallHook], now: float) -> None:
        """Load hooks of the previous process. Each call's end has been reported or is about to be."""
        for hook in hooks:
            self._hooks[hook.call_id] = hook
            self._over.append((now + LATE_S, hook.call_id))

    def delivery(self, event: Event, text: str) -> Delivery | None:
        """None: the event's call has no webhook, or that does not ask for it."""
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
        """Forget those whose call ended a while ago."""
        while self._over and self._over[0][0] <= now:
            self.unfollow(self._over.popleft()[1])
