"""Events to URLs: kept in the store until accepted, retried for a day. Used on the loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from gateway.config.webhooks import WebhookSettings
from gateway.events.catalogue import Event, matches
from gateway.events.posting import Answer, EventPoster
from gateway.events.retrying import EndpointHealth, next_attempt
from gateway.store.deliveries import Delivery, DeliveryQueue, Retry
from gateway.store.errors import StoreUnavailable

__all__ = ["EndpointState", "Webhooks"]

log = structlog.get_logger(__name__)

AT_ONCE = 8  # deliveries to one endpoint
LEASE_MARGIN_S = 30.0  # beyond the time-out of one attempt
MOST_PENDING = 20_000  # events that wait for the store
LONGEST_NAP_S = 30.0
STORE_RETRY_S = 1.0
CLOSE_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """`url` without its query, which may hold a secret. `parked`: only failures came; one delivery every few minutes
    asks whether it is back."""

    url: str
    events: tuple[str, ...]
    waiting: int
    delivered: int  # since the start
    failures: int  # in a row
    parked: bool
    error: str  # the last one; empty while it works


class Webhooks:
    def __init__(
        self,
        webhooks: Sequence[WebhookSettings],
        queue: DeliveryQueue,
        poster: EventPoster,
        *,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`now`: Unix seconds."""
        self._webhooks = {each.url: each for each in webhooks}
        self._queue = queue
        self._poster = poster
        self._now = now
        self._chance = chance
        self._health = {url: EndpointHealth() for url in self._webhooks}
        self._pending: deque[Delivery] = deque()
        self._delivered: list[Delivery] = []
        self._failed: list[Retry] = []
        self._posting: dict[asyncio.Task[None], str] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter(delivered=0, failed=0, given_up=0, dropped=0)
        self._delivered_to: Counter[str] = Counter()

    def deliver(self, event: Event, text: str) -> None:
        """To all who want it. Never waits and never raises."""
        for url, webhook in self._webhooks.items():
            if matches(event.type, webhook.events):
                self.put(Delivery(event.id, url, event.type, text, event.at.timestamp()))

    def put(self, delivery: Delivery) -> None:
        """To one endpoint of the settings, at `created` or now; replaces a waiting one of the same event. Never waits
        and never raises."""
        if len(self._pending) >= MOST_PENDING:
            self.counts["dropped"] += 1
            if self.counts["dropped"] == 1:
                log.error("webhook_events_dropped", waiting=len(self._pending))
            return
        self._pending.append(delivery)
        self._wake.set()

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
        return tuple(self._state(url, waiting) for url in self._webhooks)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for /healthz."""
        return tuple(
            f"the webhook {_shown(url)} takes no events: {health.error}"
            for url, health in self._health.items()
            if health.parked
        )

    def _state(self, url: str, waiting: Mapping[str, int]) -> EndpointState:
        health = self._health[url]
        return EndpointState(
            url=_shown(url),
            events=self._webhooks[url].events,
            waiting=waiting.get(url, 0),
            delivered=self._delivered_to[url],
            failures=health.failures,
            parked=health.parked,
            error=health.error,
        )

    async def _run(self) -> None:
        while True:
            try:
                nap_s = await self.step()
            except StoreUnavailable as error:
                log.warning("webhooks_wait_for_store", error=str(error), waiting=len(self._pending))
                nap_s = STORE_RETRY_S
            except Exception as error:
                log.error("webhooks_failed", error=repr(error), exc_info=error)
                nap_s = STORE_RETRY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(nap_s):
                    await self._wake.wait()

    async def step(self) -> float:
        """Store new events and post due ones; returns the seconds until the next check, unless woken."""
        self._wake.clear()
        await self._keep_books()
        now = self._now()
        under_way = Counter(self._posting.values())
        shares = {url: health.share(now, AT_ONCE) - under_way[url] for url, health in self._health.items()}
        lease_s = LEASE_MARGIN_S + max((each.timeout_s for each in self._webhooks.values()), default=0.0)
        for delivery in await self._queue.claim(shares, now, lease_s):
            task = asyncio.create_task(self._attempt(delivery), name="webhook delivery")
            self._posting[task] = delivery.endpoint
            task.add_done_callback(self._posted)
        return await self._until_next(now)

    async def _until_next(self, now: float) -> float:
        under_way = Counter(self._posting.values())
        free = [url for url, health in self._health.items() if not health.parked and under_way[url] < AT_ONCE]
        times = [health.probe_at for health in self._health.values() if health.parked]
        due = await self._queue.next_due(free) if free else None
        times += [] if due is None else [due]
        return min(LONGEST_NAP_S, max(0.0, min(times, default=now + LONGEST_NAP_S) - now))

    def _posted(self, task: asyncio.Task[None]) -> None:
        self._posting.pop(task, None)
        self._wake.set()

    async def _attempt(self, delivery: Delivery) -> None:
        answer = await self._poster.post(self._webhooks[delivery.endpoint], delivery)
        if answer.error:
            self._has_failed(delivery, answer)
            return
        self._health[delivery.endpoint].succeeded()
        self._delivered.append(delivery)
        self._delivered_to[delivery.endpoint] += 1
        self.counts["delivered"] += 1

    def _has_failed(self, delivery: Delivery, answer: Answer) -> None:
        now = self._now()
        due = next_attempt(delivery.attempts + 1, delivery.created, now, self._chance(), answer.asked_s)
        self._failed.append(Retry(delivery, due, answer.error))
        self.counts["failed" if due is not None else "given_up"] += 1
        if due is None:
            log.error("webhook_given_up", url=_shown(delivery.endpoint), event_id=delivery.event_id, error=answer.error)
        if self._health[delivery.endpoint].failed(now, answer.error):
            log.error("webhook_parked", url=_shown(delivery.endpoint), error=answer.error)

    async def _keep_books(self) -> None:
        """Store delivered, failed and new events. Raises StoreUnavailable without losing any."""
        if self._delivered or self._failed:
            delivered, failed = list(self._delivered), list(self._failed)
            await self._queue.settle(delivered, failed)
            del self._delivered[: len(delivered)], self._failed[: len(failed)]
        if self._pending:
            new = list(self._pending)
            await self._queue.add(new)
            for _ in new:
                self._pending.popleft()


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
