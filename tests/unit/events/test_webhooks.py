from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config.webhooks import CallWebhookSettings, WebhookSettings
from gateway.events.catalogue import Event, EventType
from gateway.events.endpoints import Endpoints, Target
from gateway.events.posting import Answer, FakePoster
from gateway.events.reference import example
from gateway.events.retrying import GIVE_UP_S, PARK_AFTER, EndpointHealth, next_attempt
from gateway.events.webhooks import AT_ONCE, Webhooks
from gateway.store import CallStore, StoreUnavailable
from gateway.store.call_hooks import FakeHooks, HookStore
from gateway.store.deliveries import Delivery, DeliveryQueue, FakeDeliveries, Retry

URL = "https://example.test/hook?token=secret"
OTHER = "https://other.test/"


class World:
    """Webhooks on a clock that is set by hand."""

    def __init__(
        self,
        *answers: str,
        queue: DeliveryQueue | None = None,
        urls: tuple[str, ...] = (URL,),
        events: tuple[str, ...] = ("*",),
        hooks: HookStore | None = None,
        **calls: Any,
    ) -> None:
        """`calls`: settings of calls' own webhooks."""
        self.clock = 1_000_000.0
        self.poster = FakePoster([Answer(each) for each in answers] or [Answer()])
        self.queue = FakeDeliveries() if queue is None else queue
        settings = [WebhookSettings(url=url, events=events) for url in urls]
        self.kept = FakeHooks() if hooks is None else hooks
        endpoints = Endpoints(settings, CallWebhookSettings(**calls))
        self.hooks = Webhooks(endpoints, self.queue, self.kept, self.poster, now=lambda: self.clock, chance=lambda: 0.5)
        self.told = 0

    def tell(self, kind: EventType = EventType.CALL_ENDED, call_id: str = "c1") -> None:
        self.told += 1
        at = datetime.fromtimestamp(self.clock, UTC)
        data = example(kind, call_id=call_id) if call_id else example(kind)
        self.hooks.deliver(Event(f"e{self.told}", at, data), f'{{"n":{self.told}}}')

    async def go_on(self, seconds: float = 0.0) -> float:
        """Time passes, and due deliveries are posted and recorded."""
        self.clock += seconds
        await self.hooks.step()
        for _ in range(3):
            await asyncio.sleep(0)
        return await self.hooks.step()

    @property
    def posted(self) -> list[str]:
        return [delivery.event_id for _, delivery in self.poster.posted]


async def test_an_event_is_posted_and_then_forgotten() -> None:
    world = World()
    world.tell()
    await world.go_on()
    assert world.posted == ["e1"]
    assert await world.queue.waiting() == {}
    (state,) = await world.hooks.states()
    assert (state.url, state.delivered, state.waiting) == ("https://example.test/hook", 1, 0)


async def test_a_failure_is_tried_again_later_and_later() -> None:
    world = World("500 Internal Server Error", "timeout", "")
    world.tell()
    await world.go_on()
    await world.go_on(1.0)
    assert world.posted == ["e1"]
    await world.go_on(1.0)
    assert world.posted == ["e1", "e1"]
    await world.go_on(9.0)
    assert world.posted == ["e1", "e1"]
    await world.go_on(1.0)
    assert world.posted == ["e1", "e1", "e1"]
    assert await world.queue.waiting() == {}


async def test_only_events_that_are_asked_for() -> None:
    world = World(events=("transfer.*",))
    world.tell(EventType.CALL_ENDED)
    world.tell(EventType.TRANSFER_COMPLETED)
    await world.go_on()
    assert world.posted == ["e2"]


async def test_a_dead_endpoint_is_parked_probed_and_taken_back_with_all_that_waited() -> None:
    world = World("refused")
    for _ in range(PARK_AFTER):
        world.tell()
    await world.go_on()
    for _ in range(8):
        await world.go_on(15.0)
    (state,) = await world.hooks.states()
    assert state.parked
    assert world.hooks.warnings == ("the webhook https://example.test/hook takes no events: refused",)
    tried = len(world.posted)
    world.tell()
    await world.go_on(60.0)
    assert len(world.posted) == tried
    await world.go_on(250.0)
    assert len(world.posted) == tried + 1  # the probe
    world.poster.answers = [Answer()]
    await world.go_on(310.0)
    assert world.hooks.warnings == ()
    for _ in range(4):
        await world.go_on(1.0)
    assert await world.queue.waiting() == {}
    assert set(world.posted) == {f"e{n}" for n in range(1, PARK_AFTER + 2)}


async def test_a_dead_endpoint_does_not_hold_up_the_other() -> None:
    world = World(urls=(URL, OTHER))

    async def post(target: Target, delivery: Delivery) -> Answer:
        world.poster.posted.append((target.url, delivery))
        if target.url == URL:
            await asyncio.Event().wait()
        return Answer()

    world.poster.post = post  # type: ignore[method-assign]
    for _ in range(AT_ONCE * 3):
        world.tell()
    for _ in range(6):
        await world.go_on()
    urls = [url for url, _ in world.poster.posted]
    assert urls.count(OTHER) == AT_ONCE * 3
    assert urls.count(URL) == AT_ONCE
    for task in world.hooks._posting:
        task.cancel()


async def test_while_the_store_is_away_events_wait() -> None:
    world = World()
    assert isinstance(world.queue, FakeDeliveries)
    world.queue.fail_next = [StoreUnavailable("gone")]
    world.tell()
    with pytest.raises(StoreUnavailable):
        await world.hooks.step()
    await world.go_on()
    assert world.posted == ["e1"]


async def test_a_store_that_is_away_for_long_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.events.webhooks.STORE_RETRY_S", 0.001)
    world = World()
    assert isinstance(world.queue, FakeDeliveries)
    world.queue.fail_next = [StoreUnavailable("gone") for _ in range(5)]
    with capture_logs() as logs:
        world.tell()
        world.hooks.start()
        async with asyncio.timeout(5):
            while world.posted != ["e1"]:
                await asyncio.sleep(0.005)
        await world.hooks.close()
    assert [each["event"] for each in logs] == ["webhooks_wait_for_store"]


async def test_a_delivery_that_cannot_be_noted_down_is_not_forgotten() -> None:
    world = World()
    world.tell()
    await world.hooks.step()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(world.queue, FakeDeliveries)
    world.queue.fail_next = [StoreUnavailable("gone")]
    with pytest.raises(StoreUnavailable):
        await world.hooks.step()
    await world.go_on()
    assert world.posted == ["e1"]
    assert await world.queue.waiting() == {}


async def test_a_restart_loses_nothing(store: CallStore) -> None:
    before = World("refused", queue=store.deliveries)
    before.tell()
    await before.go_on()
    await before.hooks.close()
    after = World(queue=store.deliveries)
    after.clock = before.clock
    await after.go_on(3.0)
    assert [delivery.attempts for _, delivery in after.poster.posted] == [1]
    assert await store.deliveries.waiting() == {}


async def test_after_a_kill_its_claims_are_free_again_and_not_before(store: CallStore) -> None:
    queue = store.deliveries
    await queue.add([Delivery("e1", URL, "call.ended", "{}", 100.0)])
    assert [each.event_id for each in await queue.claim({URL: 8}, 100.0, 40.0)] == ["e1"]
    assert await queue.claim({URL: 8}, 139.0, 40.0) == []
    assert [each.event_id for each in await queue.claim({URL: 8}, 140.0, 40.0)] == ["e1"]


@pytest.fixture(params=["stored", "fake"])
def queue(request: pytest.FixtureRequest, store: CallStore) -> DeliveryQueue:
    return store.deliveries if request.param == "stored" else FakeDeliveries()


async def test_queues(queue: DeliveryQueue) -> None:
    """The store's and the fake one do the same."""
    first, second = Delivery("e1", URL, "call.ended", "{}", 100.0), Delivery("e2", URL, "call.ended", "{}", 101.0)
    await queue.add([first, second, Delivery("e1", OTHER, "call.ended", "{}", 100.0)])
    await queue.add([first])
    assert await queue.waiting() == {URL: 2, OTHER: 1}
    assert await queue.next_due([URL]) == 100.0
    assert await queue.claim({URL: 0, OTHER: -1}, 200.0, 1.0) == []
    (one,) = await queue.claim({URL: 1}, 200.0, 50.0)
    assert (one.event_id, one.attempts) == ("e1", 0)
    await queue.settle([], [Retry(one, 300.0, "500")])
    (two,) = await queue.claim({URL: 8}, 200.0, 50.0)
    await queue.settle([two], [])
    (again,) = await queue.claim({URL: 8}, 300.0, 50.0)
    assert (again.event_id, again.attempts) == ("e1", 1)
    await queue.settle([], [Retry(again, None, "500")])
    assert await queue.waiting() == {OTHER: 1}
    assert await queue.next_due([URL]) is None
    await queue.add([replace(first, endpoint=OTHER, body="[]", created=50.0)])  # replaces the waiting one
    (replaced,) = await queue.claim({OTHER: 8}, 60.0, 50.0)
    assert replaced.body == "[]"


def test_a_day_and_no_longer() -> None:
    now, attempts, times = 0.0, 0, []
    while True:
        attempts += 1
        due = next_attempt(attempts, 0.0, now, 0.5)
        if due is None:
            break
        times.append(due - now)
        now = due
    assert times[:6] == [2.0, 10.0, 60.0, 300.0, 1800.0, 3600.0]
    assert GIVE_UP_S - 3600.0 * 1.2 < now <= GIVE_UP_S


@pytest.mark.parametrize(("asked_s", "wait"), [(0.0, 2.0), (30.0, 30.0), (1e9, 3600.0)])
def test_an_endpoint_may_ask_for_time(asked_s: float, wait: float) -> None:
    assert next_attempt(1, 0.0, 0.0, 0.5, asked_s) == wait


def test_a_short_outage_parks_nobody() -> None:
    health = EndpointHealth()
    assert not any(health.failed(now, "refused") for now in range(50))
    assert health.failed(60.0, "refused")
    assert health.share(61.0, 8) == 0
    assert health.share(361.0, 8) == 1
    health.succeeded()
    assert health.share(362.0, 8) == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x/"},
        {"url": "https://user@host/"},
        {"url": URL, "events": ()},
        {"url": URL, "events": ("Call",)},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"url|events"):
        WebhookSettings.model_validate(wrong)
