"""The webhook in a request for a call."""

from __future__ import annotations

import time
from typing import Protocol

from gateway.events.endpoints import place_of
from gateway.events.guard import ForbiddenTarget, refuse_private_literal
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.store.call_hooks import CallHook

__all__ = ["FakeFollower", "Follower", "follow_call"]


class Follower(Protocol):
    """Delivers a call's events to its own webhook (`gateway.events.webhooks.Webhooks`)."""

    @property
    def calls_may_be_private(self) -> bool: ...

    def follow(self, hook: CallHook) -> None:
        """Before the call's first event."""

    def unfollow(self, call_id: str) -> None:
        """The call was not placed. Idempotent."""


class FakeFollower:
    calls_may_be_private = False

    def __init__(self) -> None:
        self.followed: dict[str, CallHook] = {}

    def follow(self, hook: CallHook) -> None:
        self.followed[hook.call_id] = hook

    def unfollow(self, call_id: str) -> None:
        self.followed.pop(call_id, None)


def follow_call(follower: Follower, order: CallOrder, call_id: str) -> None:
    """Raises OrderRefused for a webhook whose URL has a private address; host names are checked at each delivery."""
    webhook = order.own_webhook
    if webhook is None:
        return
    try:
        place_of(webhook.url)
        if not follower.calls_may_be_private:
            refuse_private_literal(webhook.url)
    except (ForbiddenTarget, ValueError) as error:
        raise OrderRefused("closed_webhook", f"webhook: {error}.") from None
    secret = webhook.secret.get_secret_value() if webhook.secret is not None else ""
    follower.follow(CallHook(call_id, webhook.url, time.time(), webhook.events, secret))
