"""Events to URLs: kept in the store until accepted, retried for a day. Used on the loop."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from gateway.events.call_hooks import CallHooks
from gateway.events.catalogue import Event, matches
from gateway.events.endpoints import Endpoint, Endpoints, EndpointState
from gateway.events.posting import Answer, EventPoster
from gateway.events.retrying import next_attempt
from gateway.store.call_hooks import CallHook, HookStore
from gateway.store.deliveries import Delivery, DeliveryQueue, Retry
from gateway.store.errors import StoreUnavailable

__all__ = ["Webhooks"]

log = structlog.get_logger(__name__)

AT_ONCE = 8  # deliveries to one endpoint
LEASE_MARGIN_S = 30.0  # beyond the time-out of one attempt
MOST_PENDING = 20_000  # events that wait for the store
LONGEST_NAP_S = 30.0
STORE_RETRY_S = 1.0
CLOSE_LIMIT_S = 2.0


class Webhooks:
    def __init__(
        self,
        endpoints: Endpoints,
        queue: DeliveryQueue,
        hooks: HookStore,
        poster: EventPoster,
        *,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`now`: Unix seconds."""
        self._endpoints = endpoints
        self._queue = queue
        self._hook_store = hooks
        self._poster = poster
        self._now = now
        self._chance = chance
        self._hooks = CallHooks()
        self._looked_at = -math.inf
        self._pending: deque[Delivery] = deque()
        self._delivered: list[Delivery] = []
        self._failed: list[Retry] = []
        self._posting: dict[asyncio.Task[None], str] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter(delivered=0, failed=0, given_up=0, dropped=0)

    def follow(self, hook: CallHook) -> None:
        """Register the webhook of a call that is about to be placed. Never waits and never raises."""
        self._hooks.follow(hook)
        self._wake.set()

    def unfollow(self, call_id: str) -> None:
        self._hooks.unfollow(call_id)

    @property
    def calls_may_be_private(self) -> bool:
        return self._endpoints.calls_may_be_private

    def deliver(self, event: Event, text: str) -> None:
        """To all endpoints that ask for it. Never waits and never raises."""
        for endpoint in self._endpoints.fixed:
            if matches(event.type, endpoint.events):
                self.put(Delivery(event.id, endpoint.key, event.type, text, event.at.timestamp()))
        own = self._hooks.delivery(event, text)
        if own is not None:
            self.put(own)

    def put(self, delivery: Delivery) -> None:
        """To one endpoint, at `created` or now; replaces a waiting one of the same event. Never waits and never
        raises."""
        if len(self._pending) >= MOST_PENDING:
            self.counts["dropped"] += 1
            if self.counts["dropped"] == 1:
                log.error("webhook_events_dropped", waiting=len(self._pending))
            return
        self._endpoints.use(delivery.endpoint)
        self._pending.append(delivery)
        self._wake.set()

    async def load(self) -> None:
        """Load the calls' webhooks of the previous process. Raises StoreUnavailable."""
        self._hooks.found(await self._hook_store.kept(self._now()), self._now())

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def close(self) -> None:
        """Undelivered events wait in the store for the next start. Idempotent."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        if self._posting:
            await asyncio.wait(self._posting, timeout=CLOSE_LIMIT_S)
        for task in self._posting:
            task.cancel()
        with suppress(StoreUnavailable):
            await self._keep_books()
        await self._poster.close()

    async def states(self) -> tuple[EndpointState, ...]:
        """Raises StoreUnavailable."""
        waiting = await self._queue.waiting()
        return tuple(endpoint.state(waiting.get(endpoint.key, 0)) for endpoint in self._endpoints)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for /healthz."""
        return tuple(
            f"the webhook {endpoint.shown} takes no events: {endpoint.health.error}"
            for endpoint in self._endpoints
            if endpoint.health.parked
        )

    async def _run(self) -> None:
        trouble = ""  # the last one, logged once
        while True:
            try:
                nap_s, trouble = await self.step(), ""
            except Exception as error:
                if repr(error) != trouble and isinstance(error, StoreUnavailable):
                    log.warning("webhooks_wait_for_store", error=str(error), waiting=len(self._pending))
                elif repr(error) != trouble:
                    log.error("webhooks_failed", error=repr(error), exc_info=error)
                nap_s, trouble = STORE_RETRY_S, repr(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(nap_s):
                    await self._wake.wait()

    async def step(self) -> float:
        """Store new events and post due ones; returns the seconds until the next check, unless woken."""
        self._wake.clear()
        await self._keep_books()
        now = self._now()
        if now - self._looked_at > LONGEST_NAP_S:  # left by another process
            self._looked_at = now
            for key in await self._queue.waiting():
                self._endpoints.use(key)
        under_way = Counter(self._posting.values())
        shares = {each.key: each.health.share(now, AT_ONCE) - under_way[each.key] for each in self._endpoints}
        lease_s = LEASE_MARGIN_S + self._endpoints.longest_s
        for delivery in await self._queue.claim(shares, now, lease_s):
            task = asyncio.create_task(self._attempt(delivery), name="webhook delivery")
            self._posting[task] = delivery.endpoint
            task.add_done_callback(self._posted)
        return await self._until_next(now)

    async def _until_next(self, now: float) -> float:
        under_way = Counter(self._posting.values())
        free = [each.key for each in self._endpoints if not each.health.parked and under_way[each.key] < AT_ONCE]
        times = [each.health.probe_at for each in self._endpoints if each.health.parked]
        due = await self._queue.next_due(free) if free else None
        times += [] if due is None else [due]
        return min(LONGEST_NAP_S, max(0.0, min(times, default=now + LONGEST_NAP_S) - now))

    def _posted(self, task: asyncio.Task[None]) -> None:
        self._posting.pop(task, None)
        self._wake.set()

    async def _attempt(self, delivery: Delivery) -> None:
        endpoint = self._endpoints.get(delivery.endpoint)
        if endpoint is None:  # too many endpoints: try later
            self._failed.append(Retry(delivery, self._now() + LONGEST_NAP_S, "too many endpoints at once"))
            return
        answer = await self._poster.post(endpoint.target_of(delivery), delivery)
        if answer.error:
            self._has_failed(endpoint, delivery, answer)
            return
        endpoint.health.succeeded()
        endpoint.delivered += 1
        self._delivered.append(delivery)
        self.counts["delivered"] += 1

    def _has_failed(self, endpoint: Endpoint, delivery: Delivery, answer: Answer) -> None:
        now = self._now()
        due = next_attempt(delivery.attempts + 1, delivery.created, now, self._chance(), answer.asked_s)
        self._failed.append(Retry(delivery, due, answer.error))
        self.counts["failed" if due is not None else "given_up"] += 1
        if due is None:
            log.error("webhook_given_up", url=endpoint.shown, event_id=delivery.event_id, error=answer.error)
        if endpoint.health.failed(now, answer.error):
            log.error("webhook_parked", url=endpoint.shown, error=answer.error)

    async def _keep_books(self) -> None:
        """Store delivered, failed and new events, and which calls have webhooks. Raises StoreUnavailable without losing
        any."""
        await self._keep_hooks()
        if self._delivered or self._failed:
            delivered, failed = list(self._delivered), list(self._failed)
            await self._queue.settle(delivered, failed)
            del self._delivered[: len(delivered)], self._failed[: len(failed)]
        if self._pending:
            new = list(self._pending)
            await self._queue.add(new)
            for _ in new:
                self._pending.popleft()

    async def _keep_hooks(self) -> None:
        hooks = self._hooks
        hooks.forget(self._now())
        if hooks.new:
            new = list(hooks.new)
            await self._hook_store.keep(new)
            del hooks.new[: len(new)]
        if hooks.old:
            old = list(hooks.old)
            await self._hook_store.forget(old)
            del hooks.old[: len(old)]
