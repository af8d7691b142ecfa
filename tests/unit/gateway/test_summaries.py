"""The summary of a call that is over, up to the queue of deliveries to webhooks."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.config.summary import SummarySettings
from gateway.config.webhooks import CallWebhookSettings
from gateway.events.endpoints import Endpoints
from gateway.events.posting import FakePoster
from gateway.events.webhooks import Webhooks
from gateway.record import CallClosed, CallDetail, Outcome, ToolUse, Turn, WorkerLost
from gateway.store import CallStore, StoreUnavailable
from gateway.store.deliveries import Delivery
from gateway.summaries import TEMPLATE_AFTER_S, CallSummaries, template_summary
from gateway.summary_words import summary_message
from telephony.call import Direction, EndedBy
from tests.unit.store.conftest import store as store

URL = "http://127.0.0.1:9/calls"
TOLD = SummarySettings(url=URL)
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def detail(**changes: Any) -> CallDetail:
    known: dict[str, Any] = {
        "call_id": "c1", "direction": Direction.INBOUND, "trunk": "t", "called": "+15550100", "caller": "+15550123",
        "started_at": NOW, "answered_at": NOW, "persona": "clinic.reception", "duration_ms": 83_400,
        "outcome": Outcome.ANSWERED, "ended_by": EndedBy.CALLER, "end_reason": "hung up",
        "turns": (
            said("caller", "an appointment please", tool_calls=(ToolUse(name="free_slots", arguments={}, at_ms=0),)),
            said("agent", "I have 9:30."),
            said("caller", "thank you"),
        ),
    }  # fmt: skip
    return CallDetail(**{**known, **changes})


def said(speaker: Any, text: str, **more: Any) -> Turn:
    return Turn(speaker=speaker, text=text, start_ms=0, end_ms=1, **more)


def closed(call_id: str = "c1", outcome: Outcome = Outcome.ANSWERED) -> CallClosed:
    return CallClosed(call_id=call_id, outcome=outcome, ended_by=EndedBy.CALLER, ended_at=NOW)


class World:
    """Summaries whose deliveries end in `put`, unless `hooks` get them."""

    def __init__(self, read: Any = None, hooks: Webhooks | None = None, told: Any = None, **how: Any) -> None:
        self.put: list[Delivery] = []
        put = self.put.append if hooks is None else hooks.put
        self.summaries = CallSummaries(told or (lambda *_: TOLD), read or self.read, put, now=lambda: 1000.0, **how)

    async def read(self, call_id: str) -> CallDetail | None:
        return detail(call_id=call_id)

    async def until_put(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.put) < count:
                await asyncio.sleep(0.005)

    @property
    def made(self) -> list[tuple[str, str, float]]:
        """Call, author and when it is due."""
        return [(each.event_id, json.loads(each.body)["summary"]["by"], each.created) for each in self.put]


async def test_the_worker_s_words_replace_the_template_that_waits_for_them() -> None:
    world = World()
    world.summaries.observe(closed())
    await world.until_put(1)
    world.summaries.words(summary_message("c1", ("An appointment was booked.", "model")))
    await world.until_put(2)
    assert world.made == [("c1", "template", 1000.0 + TEMPLATE_AFTER_S), ("c1", "model", 1000.0)]
    assert {(each.endpoint, each.type) for each in world.put} == {(URL, "call.summary")}
    sent = json.loads(world.put[-1].body)
    assert sent["type"] == "call.summary"
    assert sent["summary"] == {"text": "An appointment was booked.", "by": "model"}
    assert sent["call"]["call_id"] == "c1"
    assert [turn["text"] for turn in sent["call"]["turns"]][1] == "I have 9:30."


async def test_without_words_the_gateway_has_its_own() -> None:
    world = World()
    world.summaries.observe(closed())
    world.summaries.words(summary_message("c1", ("", "")))
    world.summaries.observe(WorkerLost(call_ids=("c2",), at=NOW))
    await world.until_put(3)
    assert {made[:2] for made in world.made if made[2] == 1000.0} == {("c1", "template"), ("c2", "template")}
    assert json.loads(world.put[0].body)["summary"]["text"] == template_summary(detail())


async def test_a_record_that_is_written_late_is_waited_for() -> None:
    asked: list[str] = []

    async def read(call_id: str) -> CallDetail | None:
        asked.append(call_id)
        if len(asked) == 1:
            raise StoreUnavailable("locked")
        return detail(outcome=None) if len(asked) == 2 else detail()

    world = World(read, words_come=False)
    world.summaries.observe(closed())
    world.summaries.observe(closed())
    await world.until_put(1)
    assert (asked, world.made) == (["c1"] * 3, [("c1", "template", 1000.0)])


@pytest.mark.parametrize("unanswered", [True, False])
async def test_a_call_that_nobody_answered_is_told_of_without_waiting_for_words_if_wanted(unanswered: bool) -> None:
    async def read(call_id: str) -> CallDetail | None:
        return (
            detail(call_id=call_id, answered_at=None, duration_ms=0, outcome=Outcome.BUSY, turns=())
            if call_id == "c9"
            else detail()
        )

    world = World(read, told=lambda *_: SummarySettings(url=URL, unanswered=unanswered))
    world.summaries.observe(closed("c9", Outcome.BUSY))
    world.summaries.observe(closed())
    await world.until_put(1 + unanswered)
    assert {made for made in world.made if made[0] == "c9"} == ({("c9", "template", 1000.0)} if unanswered else set())
    if unanswered:
        assert "not answered: busy" in json.loads(world.put[0].body)["summary"]["text"]
    await world.summaries.close()


async def test_each_call_is_told_to_whom_its_rule_says_and_a_lost_one_too() -> None:
    async def read(call_id: str) -> CallDetail | None:
        return detail(call_id=call_id, rule=f"plan.yaml:{call_id[1:]} always")

    told = {"plan.yaml:1 always": SummarySettings(url="https://one.test/"), "plan.yaml:2 always": None}
    world = World(read, told=lambda rule, persona: told.get(rule, TOLD), words_come=False)
    world.summaries.observe(closed("c1"))
    world.summaries.observe(closed("c2"))
    world.summaries.were_lost(["c3", "c3"])
    await world.until_put(2)
    assert {(each.event_id, each.endpoint) for each in world.put} == {("c1", "https://one.test/"), ("c3", URL)}


async def test_a_stop_of_the_gateway_is_not_held_up() -> None:
    async def read(call_id: str) -> CallDetail | None:
        await asyncio.sleep(3600)
        return None

    world = World(read, words_come=False)
    world.summaries.observe(closed())
    async with asyncio.timeout(5):
        await world.summaries.close()
    assert world.put == []


@pytest.mark.parametrize("killed", [False, True])
async def test_a_summary_outlives_the_gateway_that_waited_for_its_words(store: CallStore, killed: bool) -> None:
    endpoints = Endpoints([SummarySettings(url=URL).as_webhook()], CallWebhookSettings())
    poster = FakePoster()
    hooks = Webhooks(endpoints, store.deliveries, store.call_hooks, poster, now=lambda: 1000.0)
    world = World(hooks=hooks)
    world.summaries.observe(closed())
    async with asyncio.timeout(5):
        while await store.deliveries.waiting() != {URL: 1}:
            await hooks.step()
            await asyncio.sleep(0.005)
    if not killed:
        await world.summaries.close()
        await hooks._keep_books()
    assert poster.posted == []

    later = 1000.0 + (TEMPLATE_AFTER_S if killed else 0.0)
    after = Webhooks(endpoints, store.deliveries, store.call_hooks, poster, now=lambda: later)
    await after.step()
    await asyncio.sleep(0)
    ((url, delivery),) = poster.posted
    assert (url, delivery.event_id, json.loads(delivery.body)["summary"]["by"]) == (URL, "c1", "template")
    await world.summaries.close()


def test_the_gateway_s_own_words() -> None:
    assert template_summary(detail()) == (
        "Call from +15550123 to +15550100, answered by clinic.reception, 1 min 23 s. Ended by the caller: hung up. "
        'Functions used: free_slots. The caller said first: "an appointment please", and last: "thank you".'
    )
