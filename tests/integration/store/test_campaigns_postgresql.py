"""Campaigns in PostgreSQL: the rules of all books, and gateways that are at it at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest_asyncio

from gateway.store import CallStore
from tests.integration.store.postgres_server import PASSWORD, PostgresServer
from tests.unit.campaigns.book_rules import NOW, CampaignBookRules, attempt, begun


class TestPostgresql(CampaignBookRules):
    pass


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


async def test_gateways_that_take_at_once_never_have_one_contact_twice(stores: list[CallStore]) -> None:
    await begun(stores[0], contacts=60, calls_per_second=20, at_once=1000)
    taken: Counter[int] = Counter()
    for second in range(5):
        now = NOW + timedelta(seconds=second)
        for found in await asyncio.gather(
            *(store.campaigns.take("c", name, 30, now) for store, name in zip(stores, ("g1", "g2"), strict=True))
        ):
            taken.update(contact.contact_id for contact in found.contacts)
    assert len(taken) == 60 and set(taken.values()) == {1}


async def test_one_attempt_is_dialled_by_one_gateway(stores: list[CallStore]) -> None:
    await begun(stores[0], contacts=1)
    (contact,) = (await stores[0].campaigns.take("c", "g1", 1, NOW)).contacts
    both = await asyncio.gather(
        stores[0].campaigns.dialling(attempt(contact, "one"), "g1"),
        stores[1].campaigns.dialling(attempt(contact, "two"), "g1"),  # as if it were the same gateway, started twice
    )
    assert sorted(both) == [False, True]
