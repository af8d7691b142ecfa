"""A day of 50 callers, 10 members and two gateways, with everything that people and machines do. The umpire, who counts
for himself, checks every offer: its order, that nobody is passed over or offered twice, that nobody waits beside a free
member. Here is checked what became of all."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.queues.day import START, Day, Outcome, Scenario, ten_members
from bench.queues.umpire import Umpire
from gateway.queues.fake_book import FakeQueueBook
from gateway.queues.model import Queue, Strategy
from tests.unit.queues.people import caller, member, skills

SERVICE_LEVEL_S = 20.0


async def lived(scenario: Scenario, seed: int) -> tuple[Outcome, FakeQueueBook]:
    first = FakeQueueBook()
    return await Day(scenario, first.beside, seed).run(), first


async def check(outcome: Outcome, book: FakeQueueBook) -> None:
    """Nobody is forgotten, and the book's figures are what the umpire counted."""
    umpire = outcome.umpire
    state = await book.state(START + outcome.seconds)
    assert {each.call_id for each in state.waiting} == set(umpire.waiting)
    fates = Counter(fate.call_id for fate in umpire.fates)
    assert set(fates.values()) == {1} and not fates.keys() & umpire.waiting.keys()
    for figures in outcome.history.queues:
        callers = [each for each in umpire.fates if each.queue == figures.queue and not each.is_callback]
        how = Counter(each.how for each in callers)
        soon = Counter(each.how for each in callers if each.waited_s <= SERVICE_LEVEL_S)
        assert (figures.answered, figures.in_time) == (how["answered"], soon["answered"])
        assert (figures.abandoned, figures.abandoned_soon) == (how["abandoned"], soon["abandoned"])
        assert (figures.lost, figures.too_long, figures.left) == (how["lost"], how["too_long"], how["left"])
        assert figures.overflowed == how["too_long"] + how["full"] + how["no_members"]
        counted = how["answered"] + how["abandoned"] - soon["abandoned"] + how["too_long"] + how["lost"]
        assert figures.service_level == soon["answered"] / counted
        assert figures.wait_s == pytest.approx(sum(each.waited_s for each in callers if each.how == "answered"))
        assert figures.longest_wait_s == pytest.approx(max(each.waited_s for each in callers))
        backs = Counter(each.how for each in umpire.fates if each.queue == figures.queue and each.is_callback)
        assert (figures.callbacks_reached, figures.callbacks_missed) == (backs["answered"], backs["unreached"])
        assert backs["lost"] == 0
    for worker in umpire.members.values():
        work = [each for each in outcome.history.members if each.member == worker.it.name]
        assert sum(each.talk_s + each.wrap_up_s for each in work) == pytest.approx(worker.busy_s)


async def test_a_whole_day() -> None:
    outcome, book = await lived(Scenario.of(Strategy.LEAST_RECENT, between_s=1300), seed=1)
    await check(outcome, book)
    (desk,) = outcome.history.queues
    assert desk.answered > 2000 and desk.abandoned > 20 and desk.callbacks_reached > 10 and desk.left > 5
    assert outcome.gateway_deaths == 2
    assert min(outcome.umpire.offers.values()) > 50


@pytest.mark.parametrize("strategy", Strategy)
async def test_some_hours_of_each_strategy(strategy: Strategy) -> None:
    outcome, book = await lived(Scenario.of(strategy, hours=1.5, between_s=600), seed=2)
    await check(outcome, book)
    assert outcome.history.queues[0].answered > 100


@pytest.mark.parametrize("seed", range(4))
async def test_two_queues_that_share_members(seed: int) -> None:
    strategies = list(Strategy)
    first, second = strategies[seed], strategies[-1 - seed]
    outcome, book = await lived(Scenario.of_two(first, second, hours=1, between_s=400), seed)
    await check(outcome, book)
    assert all(figures.answered > 20 for figures in outcome.history.queues)


@pytest.mark.parametrize(("strategy", "spread"), [(Strategy.RANDOM, (1, 1, 1)), (Strategy.WEIGHTED, (1, 2, 3))])
async def test_chance_is_fair_over_a_quiet_day(strategy: Strategy, spread: tuple[int, ...]) -> None:
    """With so few calls that all members are free nearly always."""
    quiet = Scenario(
        (Queue("desk", strategy),), ten_members()[:3], callers=3, between_s=300, talk_s=2, accepts=1, chaos=False,
        with_skills=False, with_callbacks=False, hours=20,
    )  # fmt: skip
    outcome, _ = await lived(quiet, seed=3)
    offers = [outcome.umpire.offers[f"m{n}"] for n in range(3)]
    for count, share in zip(offers, spread, strict=True):
        assert count / sum(offers) == pytest.approx(share / sum(spread), abs=0.06), offers


async def test_what_callers_are_told_is_about_right() -> None:
    """All members are there, and callers are patient: then the formula holds but for phones that ring."""
    steady = Scenario.of(
        Strategy.LINEAR, hours=2, between_s=400, patience_s=1e9, accepts=1, chaos=False, with_skills=False
    )
    outcome, _ = await lived(steady, seed=4)
    late = [(told, real) for told, real in outcome.told if told > 60]
    assert len(late) > 100
    error = sum(told - real for told, real in late) / len(late)
    assert abs(error) < 0.25 * sum(real for _, real in late) / len(late)


# --- the umpire sees ------------------------------------------------------------------------------------------------

QUEUES = (Queue("desk", Strategy.LINEAR), Queue("vip", Strategy.LINEAR, weight=2))
MEMBERS = (member("anna", 0, queues=("desk", "vip")), member("ben", 1), member("cleo", 2, skills=skills(german=3)))


@pytest.fixture
def umpire() -> Umpire:
    umpire = Umpire(QUEUES, MEMBERS)
    umpire.joined(caller("a", 0))
    umpire.joined(caller("b", 1))
    return umpire


def test_a_wrong_order_of_members(umpire: Umpire) -> None:
    with pytest.raises(AssertionError, match="'ben'"):
        umpire.offered("a", ["ben"], 5)


def test_a_member_who_is_offered_twice(umpire: Umpire) -> None:
    umpire.offered("a", ["anna"], 5)
    with pytest.raises(AssertionError, match="anna"):
        umpire.offered("b", ["anna"], 5)


def test_a_caller_who_is_offered_twice(umpire: Umpire) -> None:
    umpire.offered("a", ["anna"], 5)
    with pytest.raises(AssertionError, match="while"):
        umpire.offered("a", ["ben"], 5)


def test_a_caller_who_is_passed_over(umpire: Umpire) -> None:
    with pytest.raises(AssertionError, match=r"'b'.*'ben'"):
        umpire.offered("b", ["anna"], 5)  # she is the first's


def test_a_heavier_queue_that_is_passed_over(umpire: Umpire) -> None:
    umpire.joined(caller("v", 3, queue="vip"))
    with pytest.raises(AssertionError, match=r"'a'.*'ben'"):
        umpire.offered("a", ["anna"], 5)


def test_a_caller_who_never_gets_what_was_kept_for_them(umpire: Umpire) -> None:
    umpire.offered("b", ["ben"], 5)
    with pytest.raises(AssertionError, match="a was passed over"):
        umpire.instant_over(5)


def test_a_caller_who_waits_beside_a_free_member(umpire: Umpire) -> None:
    umpire.offered("a", ["anna"], 5)
    with pytest.raises(AssertionError, match="b waits beside"):
        umpire.instant_over(5)


def test_a_member_who_does_not_suit(umpire: Umpire) -> None:
    umpire.joined(caller("g", -1, skills=skills(german=2)))
    with pytest.raises(AssertionError):
        umpire.offered("g", ["anna"], 5)
