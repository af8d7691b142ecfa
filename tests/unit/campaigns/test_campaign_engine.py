"""The engine over a book in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.campaigns import measured
from gateway.campaigns.book import LEASE
from gateway.campaigns.engine import CampaignEngine
from gateway.campaigns.memory import MemoryBook
from gateway.campaigns.model import Attempt, CampaignState, Contact, DoneReason, Number
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.ordering import call_order
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.record import Outcome
from telephony.media.answering.model import AnsweredBy

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)


class World:
    """A book, two gateways' engines, and what they were asked to call."""

    def __init__(self, contacts: int = 10, **order: Any) -> None:
        order = {"windows": ("00:00-24:00",), "holidays": (), "rule_sets": "none", **order}
        self.order = CampaignOrder(name="x", persona="a.B", **order)
        self.book = MemoryBook()
        people = [
            Contact(n, f"k{n}", (Number(f"+4420794600{n:02d}", ("Europe/London",), "GB"),)) for n in range(contacts)
        ]
        self.book.add("c", self.order, people, NOW)
        self.now = NOW
        self.placed: list[tuple[str, CallOrder, str]] = []
        self.refuse: OrderRefused | None = None
        self.room = 100
        self.engines = {name: self._engine(name) for name in ("one", "two")}

    def _engine(self, name: str) -> CampaignEngine:
        async def place(order: CallOrder, call_id: str, /) -> None:
            if self.refuse is not None:
                raise self.refuse
            self.placed.append((name, order, call_id))

        numbers = iter(range(10_000))
        return CampaignEngine(
            self.book, place, lambda _: {}, name, room=lambda _: self.room, wall=lambda: self.now,
            new_call_id=lambda: f"{name}-{next(numbers)}",
        )  # fmt: skip

    async def turn(self, name: str = "one", after_s: float = 0.0) -> float:
        self.now += timedelta(seconds=after_s)
        rest = await self.engines[name].turn()
        await self.engines[name].placed()
        return rest

    def end(self, outcome: Outcome, *, who: AnsweredBy | None = None, **fields: Any) -> None:
        """All calls that were placed."""
        for _, order, call_id in self.placed:
            self.book.end(call_id, Attempt(order.to, self.now, outcome, who, call_id=call_id), **fields)
        self.placed.clear()

    @property
    def state(self) -> tuple[CampaignState, str]:
        return self.book.state("c")


async def test_calls_begin_at_the_pace_that_was_asked_for() -> None:
    world = World(pacing={"calls_per_second": 2, "at_once": 100})
    assert await world.turn() == pytest.approx(0.5)
    counts = []
    for _ in range(8):
        await world.turn(after_s=0.5)
        counts.append(len(world.placed))
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_calls_at_once_are_bounded_over_all_gateways() -> None:
    world = World(pacing={"calls_per_second": 50, "at_once": 3})
    await world.turn("one", after_s=1)
    await world.turn("two", after_s=1)
    assert len(world.placed) == 3


async def test_no_contact_is_called_by_two_gateways() -> None:
    world = World(pacing={"calls_per_second": 4, "at_once": 100})
    for _ in range(4):
        await asyncio.gather(world.turn("one", after_s=0.5), world.turn("two"))
        await asyncio.gather(world.turn("two", after_s=0.5), world.turn("one"))
    assert sorted(order.to for _, order, _ in world.placed) == sorted({order.to for _, order, _ in world.placed})
    assert len(world.placed) == 10 and {name for name, *_ in world.placed} == {"one", "two"}


async def test_what_was_reached_is_done_and_then_the_campaign() -> None:
    world = World(contacts=2)
    await world.turn(after_s=1)
    await world.turn(after_s=1)
    world.end(Outcome.ANSWERED, who=AnsweredBy.HUMAN)
    await world.turn(after_s=60)
    await world.turn()
    assert {world.book.done(n).reason for n in range(2)} == {DoneReason.REACHED}  # type: ignore[union-attr]
    assert world.state == (CampaignState.DONE, "")


async def test_who_was_busy_is_called_again() -> None:
    world = World(contacts=1)
    await world.turn(after_s=1)
    world.end(Outcome.BUSY)
    await world.turn(after_s=3)
    await world.turn(after_s=290)
    assert not world.placed
    await world.turn(after_s=10)
    assert len(world.placed) == 1 and len(world.book.contact(0).attempts) == 2


async def test_a_number_that_opts_out_between_planning_and_dialling_is_not_called() -> None:
    world = World(contacts=1)
    await world.turn()
    world.book.listed["+442079460000"] = "own"
    await world.turn(after_s=1)
    assert not world.placed
    assert world.book.done(0).reason is DoneReason.LISTED  # type: ignore[union-attr]


async def test_a_gateway_that_dies_frees_its_contacts_and_its_attempts_count() -> None:
    world = World(contacts=1)
    await world.turn("one", after_s=1)
    assert len(world.placed) == 1
    await world.turn("two", after_s=10)
    assert len(world.placed) == 1, "its lease lives"
    await world.turn("two", after_s=LEASE.total_seconds())
    assert [attempt.outcome for attempt in world.book.contact(0).attempts] == [None]
    await world.turn("two", after_s=16 * 60)
    assert [name for name, *_ in world.placed] == ["one", "two"]


async def test_a_gateway_that_lives_keeps_its_contacts() -> None:
    world = World(contacts=1)
    await world.turn("one", after_s=1)
    for _ in range(10):
        await world.turn("one", after_s=30)
        await world.turn("two")
    assert len(world.placed) == 1 and len(world.book.contact(0).attempts) == 1


@pytest.mark.parametrize("kind", ["no_slot", "trunk_full", "draining"])
async def test_without_room_nothing_is_an_attempt(kind: str) -> None:
    world = World(contacts=1)
    world.refuse = OrderRefused(kind, "Full.", retryable=True)
    await world.turn(after_s=1)
    assert world.book.contact(0).attempts == ()
    world.refuse = None
    await world.turn(after_s=1)
    assert len(world.placed) == 1


async def test_a_trunk_that_is_down_is_waited_for() -> None:
    world = World(contacts=3)
    world.refuse = OrderRefused("no_trunk", "No host of trunk lab can be reached.", retryable=True)
    await world.turn(after_s=1)
    world.refuse = None
    await world.turn(after_s=5)
    assert not world.placed
    assert world.state == (CampaignState.RUNNING, "No host of trunk lab can be reached.")
    await world.turn(after_s=6)
    assert world.placed
    assert world.state == (CampaignState.RUNNING, "")


async def test_a_mistake_of_the_order_pauses_it() -> None:
    world = World()
    world.refuse = OrderRefused("unknown_persona", "No dialplan lists a.B.")
    await world.turn(after_s=1)
    assert world.state == (CampaignState.PAUSED, "No dialplan lists a.B.")
    assert world.book.contact(0).attempts == ()


async def test_a_persona_that_fails_every_call_stops_it() -> None:
    world = World(stop_after_failures=3)
    for _ in range(3):
        await world.turn(after_s=1)
        world.end(Outcome.FAILED, our_fault=True)
    await world.turn(after_s=1)
    assert world.state == (CampaignState.PAUSED, "3 calls in a row failed on our side")


async def test_a_carrier_that_is_overloaded_slows_it_down() -> None:
    world = World(contacts=50, pacing={"calls_per_second": 10, "at_once": 100})
    await world.turn(after_s=1)
    world.end(Outcome.FAILED, sip_status=503)
    await world.turn()
    assert (await world.book.pace("c")).share == pytest.approx(0.5)


async def test_pause_and_stop_are_effective_at_once() -> None:
    world = World()
    await world.turn(after_s=1)
    await world.book.set_state("c", CampaignState.PAUSED, "by hand", world.now)
    placed = len(world.placed)
    await world.turn(after_s=5)
    assert len(world.placed) == placed


async def test_finishing_lets_calls_end() -> None:
    world = World()
    await world.turn(after_s=1)
    await world.book.set_state("c", CampaignState.FINISHING, "", world.now)
    await world.turn(after_s=5)
    assert world.state[0] is CampaignState.FINISHING
    world.end(Outcome.ANSWERED, who=AnsweredBy.HUMAN)
    await world.turn(after_s=5)
    await world.turn()
    assert world.state[0] is CampaignState.DONE


async def test_it_begins_and_ends_when_it_should() -> None:
    world = World(starts_at=NOW + timedelta(seconds=2), ends_at=NOW + timedelta(hours=1))
    await world.turn(after_s=1)
    assert not world.placed
    await world.turn(after_s=2)
    assert world.placed
    world.end(Outcome.NO_ANSWER)
    await world.turn(after_s=3600)
    await world.turn()
    assert world.state == (CampaignState.DONE, "its end has come")


async def test_full_gateways_leave_contacts_to_others() -> None:
    world = World(contacts=2)
    world.room = 0
    await world.turn("one", after_s=1)
    assert not world.placed
    world.room = 1
    await world.turn("two")
    assert [name for name, *_ in world.placed] == ["two"]


def test_callers_rotate_or_are_of_the_same_area() -> None:
    rotating = CampaignOrder(name="x", persona="a.B", callers=("+442079460001", "+12125550100"), variables={})
    number = Number("+12125550199", ("America/New_York",), "US")
    first = Contact(0, "a", (number,), {"name": "Ada"})
    assert call_order("c", rotating, first, number).from_ == "+442079460001"
    local = rotating.model_copy(update={"choose_caller": "area_code"})
    made = call_order("c", local, first, number)
    assert made.from_ == "+12125550100"
    assert made.variables == {"campaign": "c", "contact": "a", "name": "Ada"}


async def test_a_whole_campaign_is_as_an_independent_count_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert await measured(400, 7) == 0, capsys.readouterr().out
