"""The queues' book in PostgreSQL: the rules of all books, and gateways that are at it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from bench.queues.day import START, Day, Scenario
from gateway.queues.model import OfferEnd, Strategy, WaitingEnd
from gateway.store import CallStore
from tests.integration.store.postgres_server import PASSWORD, PostgresServer
from tests.unit.queues.book_rules import LEASE_S, MEMBERS, QUEUES, T0, Books, QueueBookRules, at, joined


class TestPostgresql(QueueBookRules):
    @pytest.fixture
    def books(self, store: CallStore) -> Books:
        return Books(store.queues)


@pytest_asyncio.fixture
async def stores(server: PostgresServer, database: str) -> AsyncIterator[list[CallStore]]:
    """Of two gateways, with connections of their own."""
    both = [
        await CallStore.open(server.url(database), password=PASSWORD, gateway_id=name, exclusive=True)
        for name in ("g1", "g2")
    ]
    yield both
    for each in both:
        await each.close()


async def test_gateways_that_claim_at_once_never_have_one_member_twice(stores: list[CallStore]) -> None:
    books = [store.queues() for store in stores]
    for book in books:
        book.configure(QUEUES, MEMBERS)
    names = [f"c{n}" for n in range(40)]
    await joined(books[0], *(at(name, T0 + n, gateway=f"g{n % 2 + 1}") for n, name in enumerate(names)))
    for n in range(0, 40, 2):
        got = await asyncio.gather(
            books[0].claim(names[n], "anna", T0, LEASE_S),
            books[1].claim(names[n + 1], "anna", T0, LEASE_S),
            books[0].renew("g1", T0, LEASE_S),
            books[1].renew("g2", T0, LEASE_S),
        )
        assert sorted(got[:2]) == [False, True]  # type: ignore[type-var]
        winner, loser = (0, 1) if got[0] else (1, 0)
        ended = await asyncio.gather(
            books[winner].offer_ended(names[n + winner], "anna", OfferEnd.NO_ANSWER, T0),
            books[loser].leave(names[n + loser], WaitingEnd.ABANDONED, T0),
        )
        assert ended == [True, True]


async def test_a_caller_whom_two_gateways_want_to_offer_goes_to_one_member(stores: list[CallStore]) -> None:
    """A callback that has just been taken over."""
    books = [store.queues() for store in stores]
    for book in books:
        book.configure(QUEUES, MEMBERS)
    for n in range(20):
        await joined(books[0], at(f"k{n}", callback_to="+1555"))
        got = await asyncio.gather(
            books[0].claim(f"k{n}", "anna", T0, LEASE_S), books[1].claim(f"k{n}", "ben", T0, LEASE_S)
        )
        assert sorted(got) == [False, True]
        await books[0].leave(f"k{n}", WaitingEnd.CANCELLED, T0)
        for name in ("anna", "ben"):
            await books[0].offer_ended(f"k{n}", name, OfferEnd.WITHDRAWN, T0)


async def test_what_a_dead_gateway_held_is_freed_once(stores: list[CallStore]) -> None:
    books = [store.queues() for store in stores]
    await joined(books[0], *(at(f"c{n}", gateway="dead", callback_to="+1555" if n % 2 else "") for n in range(30)))
    for now in (T0 + 10, T0 + 20):
        await asyncio.gather(books[0].renew("g1", now, LEASE_S), books[1].renew("g2", now, LEASE_S))
    state = await books[0].state(T0)
    assert len(state.waiting) == 15 and {each.gateway for each in state.waiting} <= {"g1", "g2"}
    (desk,) = (await books[1].history(T0, T0 + 100)).queues
    assert desk.lost == 15


async def test_half_an_hour_of_two_gateways_that_die_and_restart(stores: list[CallStore]) -> None:
    """The simulated day of tests/unit/queues/test_day.py, shorter, with each gateway's own connections."""
    numbers = count()
    scenario = Scenario.of(Strategy.ROUND_ROBIN, hours=0.5, between_s=400)
    outcome = await Day(scenario, lambda: stores[next(numbers) % 2].queues(), seed=5).run()
    state = await stores[1].queues().state(START + outcome.seconds)
    assert {each.call_id for each in state.waiting} == set(outcome.umpire.waiting)
    (desk,) = outcome.history.queues
    assert desk.answered == sum(fate.how == "answered" and not fate.is_callback for fate in outcome.umpire.fates) > 50
