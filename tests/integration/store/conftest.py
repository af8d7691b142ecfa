from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from gateway.store import CallStore, migrate
from tests.integration.store.postgres_server import PASSWORD, PostgresServer


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def made_database(server: PostgresServer) -> str:
    """With tables of the newest schema; others are copies of it."""
    name = server.database()
    migrate.upgrade(server.url(name), PASSWORD)
    return name


@pytest.fixture
def database(server: PostgresServer, made_database: str) -> str:
    return server.database(made_database)


@pytest_asyncio.fixture
async def store(server: PostgresServer, database: str) -> AsyncIterator[CallStore]:
    store = await CallStore.open(server.url(database), password=PASSWORD)
    yield store
    await store.close()
