"""Webhooks that come with calls: the same events, posted and signed the same way, and a restart loses none."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.events.call_hooks import LATE_S
from gateway.events.following import FakeFollower, follow_call
from gateway.events.kinds import EventType
from gateway.events.retrying import PARK_AFTER
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.store import CallStore, StoreUnavailable
from gateway.store.call_hooks import CallHook, FakeHooks, HookStore, StoredHooks
from tests.unit.events.test_webhooks import URL, World

OWN = "https://crm.test/calls/7?token=t"
HOOK = CallHook("c7", OWN, 1_000_000.0, ("call.*",), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def order(**fields: object) -> CallOrder:
    return CallOrder.model_validate_json(json.dumps({"to": "+15551234567", "persona": "clinic.Reminder", **fields}))


async def test_a_calls_own_webhook_gets_its_events_and_nobody_elses() -> None:
    world = World(urls=())
    world.hooks.follow(HOOK)
    for kind, call_id in (
        (EventType.CALL_QUEUED, "c7"), (EventType.CALL_QUEUED, "c8"), (EventType.TRANSFER_STARTED, "c7"),
        (EventType.TRUNK_DOWN, ""), (EventType.CALL_ENDED, "c7"),
    ):  # fmt: skip
        world.tell(kind, call_id)
    await world.go_on()
    assert [(url, delivery.type) for url, delivery in world.poster.posted] == [
        (OWN, "call.queued"), (OWN, "call.ended"),
    ]  # fmt: skip
    assert {target.secret for target in world.poster.targets} == {HOOK.secret}
    assert not any(target.allow_private for target in world.poster.targets)


async def test_settings_and_the_calls_own_get_the_same() -> None:
    world = World()
    world.hooks.follow(HOOK)
    world.tell(EventType.CALL_ENDED, "c7")
    await world.go_on()
    first, second = (delivery for _, delivery in world.poster.posted)
    assert (first.event_id, first.body) == (second.event_id, second.body)
    assert {url for url, _ in world.poster.posted} == {URL, OWN}


async def test_it_is_forgotten_some_time_after_the_calls_end() -> None:
    world = World(urls=())
    world.hooks.follow(HOOK)
    world.tell(EventType.CALL_ENDED, "c7")
    await world.go_on()
    assert await world.kept.kept(world.clock) == [HOOK]
    await world.go_on(LATE_S + 1)
    assert await world.kept.kept(world.clock) == []
    assert len(world.hooks._hooks) == 0


async def test_a_restart_amid_the_call_loses_none(store: CallStore) -> None:
    before = World("500", urls=(), queue=store.deliveries, hooks=store.call_hooks)
    before.hooks.follow(HOOK)
    before.tell(EventType.CALL_QUEUED, "c7")
    await before.go_on()
    after = World(urls=(), queue=store.deliveries, hooks=store.call_hooks)
    await after.hooks.load()
    after.told = 10
    after.tell(EventType.CALL_ENDED, "c7")  # lost with the gateway
    await after.go_on(3.0)
    await after.go_on(60.0)
    assert [delivery.event_id for _, delivery in after.poster.posted] == ["e11", "e1"]
    assert {(target.url, target.secret) for target in after.poster.targets} == {(OWN, HOOK.secret)}


async def test_a_host_that_is_dead_is_parked_for_all_calls_and_shown_without_paths() -> None:
    world = World("500", urls=())
    for n in range(PARK_AFTER + 1):
        world.hooks.follow(CallHook(f"c{n}", f"https://crm.test/calls/{n}?token=t", world.clock))
        world.tell(EventType.CALL_QUEUED, f"c{n}")
    for _ in range(PARK_AFTER):
        await world.go_on(61.0)
    (state,) = await world.hooks.states()
    assert (state.url, state.of_calls, state.parked, state.error) == ("https://crm.test", True, True, "500")
    assert state.waiting == PARK_AFTER + 1
    (warning,) = world.hooks.warnings
    assert "https://crm.test takes no events" in warning


async def test_while_the_store_is_away_it_is_known_all_the_same() -> None:
    world = World(urls=())
    assert isinstance(world.kept, FakeHooks)
    world.kept.fail_next = [StoreUnavailable("gone")]
    world.hooks.follow(HOOK)
    world.tell(EventType.CALL_QUEUED, "c7")
    with pytest.raises(StoreUnavailable):
        await world.hooks.step()
    await world.go_on()
    assert world.posted == ["e1"]
    assert await world.kept.kept(0.0) == [HOOK]


@pytest.mark.parametrize("kind", ["stored", "fake"])
async def test_hook_stores(kind: str, store: CallStore) -> None:
    """The store's and the fake one do the same."""
    hooks: HookStore = store.call_hooks if kind == "stored" else FakeHooks()
    other = CallHook("c8", OWN, 1_000_000.0)
    await hooks.keep([HOOK, other])
    await hooks.keep([HOOK])
    assert sorted(await hooks.kept(1_000_001.0), key=lambda hook: hook.call_id) == [HOOK, other]
    await hooks.forget(["c8", "c9"])
    assert await hooks.kept(1_000_001.0) == [HOOK]


async def test_gateways_on_one_database_know_their_own_and_what_is_forgotten_goes(store: CallStore) -> None:
    one, two = StoredHooks(store._database, "one"), StoredHooks(store._database, "two")
    await one.keep([HOOK])
    assert await two.kept(1_000_001.0) == []
    assert await one.kept(1_000_001.0) == [HOOK]
    assert await two.kept(1_000_001.0 + 4 * 86_400) == []
    assert await one.kept(1_000_001.0) == []


def test_an_order_may_name_a_url_or_say_more() -> None:
    follower = FakeFollower()
    follow_call(follower, order(webhook=OWN), "c1")
    secret = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "events": ["call.ended"]}
    follow_call(follower, order(webhook={"url": OWN, **secret}), "c2")
    follow_call(follower, order(), "c3")
    first, second = follower.followed["c1"], follower.followed["c2"]
    assert (first.url, first.events, first.secret) == (OWN, ("*",), "")
    assert (second.url, second.events, second.secret) == (OWN, ("call.ended",), secret["secret"])
    assert "c3" not in follower.followed
    assert "MfKQ" not in repr(order(webhook={"url": OWN, **secret})) + repr(second)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://[::1]:80/x",
        "https://10.0.0.1",
        "http://localhost:8080/",
        "http://169.254.169.254/",
    ],
)
def test_one_inside_a_private_network_is_refused_before_anything_is_dialled(url: str) -> None:
    follower = FakeFollower()
    with pytest.raises(OrderRefused) as refused:
        follow_call(follower, order(webhook=url), "c1")
    assert (refused.value.kind, follower.followed) == ("closed_webhook", {})
    follower.calls_may_be_private = True
    follow_call(follower, order(webhook=url), "c1")
    assert set(follower.followed) == {"c1"}


def test_brackets_without_an_address_are_refused_in_any_network() -> None:
    follower = FakeFollower()
    follower.calls_may_be_private = True
    with pytest.raises(OrderRefused):
        follow_call(follower, order(webhook="http://[:::::]/"), "c1")


@pytest.mark.parametrize(
    "webhook",
    [
        "ftp://x.test/",
        "https://user:pass@x.test/",
        "",
        "http://[C/",
        "http://caf\u00e9.test/",
        "http://x.test:99999999/",
        {},
        {"url": OWN, "secret": "whsec_-"},
        {"url": OWN, "secret": ""},
        {"url": OWN, "events": []},
        {"url": OWN, "more": 1},
    ],
)
def test_what_is_no_webhook(webhook: object) -> None:
    with pytest.raises(ValidationError):
        order(webhook=webhook)
