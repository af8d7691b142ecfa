"""The queues' book in memory and in SQLite."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.queues.fake_book import FakeQueueBook
from gateway.queues.model import OfferEnd, WaitingEnd
from gateway.store import CallStore
from gateway.store.schema import queue_waits
from tests.unit.queues.book_rules import LEASE_S, T0, Books, QueueBookRules, at, joined
from tests.unit.store.conftest import store

__all__ = ["store"]


class TestInMemory(QueueBookRules):
    @pytest.fixture
    def books(self) -> Books:
        first = FakeQueueBook()
        return Books(first.beside)


class TestSqlite(QueueBookRules):
    @pytest.fixture
    def books(self, store: CallStore) -> Books:
        return Books(store.queues)

    @pytest.mark.parametrize("how", ["answered", "missed", "cancelled"])
    async def test_a_persons_number_is_kept_no_longer_than_the_callback(
        self,
        books: Books,
        store: CallStore,
        how: str,
    ) -> None:
        await joined(books.one, at("k", callback_to="+15550100"))
        numbers = select(queue_waits.c.callback_to)
        for _ in range(2):
            assert await store.read(lambda connection: connection.execute(numbers).scalars().all()) == ["+15550100"]
            assert await books.one.claim("k", "anna", T0, LEASE_S)
            if how == "missed":
                await books.one.callback_missed("k", "anna", T0)
            else:
                await books.one.offer_ended("k", "anna", OfferEnd.NO_ANSWER, T0)
        if how == "answered":
            assert await books.one.claim("k", "anna", T0, LEASE_S)
            assert await books.one.offer_ended("k", "anna", OfferEnd.ACCEPTED, T0)
        elif how == "cancelled":
            assert await books.one.leave("k", WaitingEnd.CANCELLED, T0)
        assert await store.read(lambda connection: connection.execute(numbers).scalars().all()) == [""]
