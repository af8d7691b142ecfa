"""The queues' book in memory and in SQLite."""

from __future__ import annotations

import pytest

from gateway.queues.fake_book import FakeQueueBook
from gateway.store import CallStore
from tests.unit.queues.book_rules import Books, QueueBookRules
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
