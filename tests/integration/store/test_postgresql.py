"""Specific to PostgreSQL: permissions, several gateways, and lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from gateway.record import Outcome
from gateway.store import (
    CallStore,
    RecordWriter,
    SchemaTooNew,
    Selection,
    Spill,
    StoreError,
    StoreInUse,
    StoreUnavailable,
    migrate,
)
from gateway.store.address import connect_url
from gateway.store.revision import NEWEST
from gateway.store.schema import metadata
from tests.integration.store.postgres_server import PASSWORD, PostgresServer
from tests.unit.store.records import START, closed, conversation, opened, talked
from tests.unit.store.test_redaction import said

Opener = Callable[..., Coroutine[Any, Any, CallStore]]


@pytest_asyncio.fixture
async def gateway(server: PostgresServer, database: str) -> AsyncIterator[Opener]:
    """Opens the test's database as the gateway of that name does."""
    stores: list[CallStore] = []

    async def opened_as(gateway_id: str, **more: Any) -> CallStore:
        store = await CallStore.open(
            server.url(database), password=PASSWORD, gateway_id=gateway_id, exclusive=True, **more
        )
        stores.append(store)
        return store

    yield opened_as
    for store in stores:
        await store.close()


# --- the schema -------------------------------------------------------------------------------------------------------


def test_migrations_make_the_tables_that_the_code_uses(server: PostgresServer, database: str) -> None:
    engine = create_engine(connect_url(server.url(database), PASSWORD))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.parametrize("apart", [True, False])
async def test_an_empty_database_gets_its_tables(server: PostgresServer, apart: bool) -> None:
    url = server.url(server.database())
    store = await CallStore.open(url, password=PASSWORD, migrate_apart=apart)
    await store.apply([opened()])
    await store.close()
    assert migrate.upgrade(url, PASSWORD) == NEWEST


async def test_two_that_migrate_at_once_wait_for_each_other(server: PostgresServer) -> None:
    url = server.url(server.database())
    done = await asyncio.gather(*(asyncio.to_thread(migrate.upgrade, url, PASSWORD) for _ in range(3)))
    assert done == [NEWEST] * 3


@pytest.mark.parametrize("apart", [True, False])
async def test_a_newer_schema_is_left_alone(server: PostgresServer, database: str, apart: bool) -> None:
    server.sql("UPDATE alembic_version SET version_num = '0099'", database=database)
    with pytest.raises(SchemaTooNew, match="0099"):
        await CallStore.open(server.url(database), password=PASSWORD, migrate_apart=apart)
    assert server.sql("SELECT version_num FROM alembic_version", database=database) == [("0099",)]


@pytest.mark.parametrize("apart", [True, False])
async def test_an_old_schema_that_its_user_may_not_change_is_named(
    server: PostgresServer, database: str, apart: bool
) -> None:
    server.sql(
        "ALTER TABLE calls DROP COLUMN gateway_id",
        "UPDATE alembic_version SET version_num = '0004'",
        f"CREATE ROLE {database}_user LOGIN PASSWORD '{PASSWORD}'",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {database}_user",
        database=database,
    )
    with pytest.raises(StoreError, match=rf"from schema 0004 to {NEWEST}: .*must be owner of table calls"):
        await CallStore.open(server.url(database, f"{database}_user"), password=PASSWORD, migrate_apart=apart)


# --- what is in the way -----------------------------------------------------------------------------------------------


async def refusal(url: str, password: str = PASSWORD) -> str:
    with pytest.raises(StoreError) as caught:
        await CallStore.open(url, password=password)
    assert password not in str(caught.value)
    return str(caught.value)


async def test_a_wrong_password_is_said(server: PostgresServer, database: str) -> None:
    text = await refusal(server.url(database), "not this one")
    assert text.startswith(f"PostgreSQL at 127.0.0.1:{server.port}/{database} cannot be opened as the store")
    assert "password authentication failed" in text and "store.password" in text
    assert "store.password" in await refusal(server.url(database).replace("trunkline@", "nobody@"))


async def test_no_password_is_said(server: PostgresServer, database: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"no password supplied.*store\.password"):
        await CallStore.open(server.url(database))


async def test_no_server_and_no_database_are_said(server: PostgresServer) -> None:
    assert "Connection refused" in await refusal("postgresql://trunkline@127.0.0.1:1/trunkline")
    assert 'database "nowhere" does not exist' in await refusal(server.url("nowhere"))


async def test_a_database_of_something_else_is_left_as_it_is(server: PostgresServer) -> None:
    name = server.database()
    server.sql("CREATE TABLE calls (mine text)", database=name)
    assert "the database of something else" in await refusal(server.url(name))
    latin = server.database()
    server.sql(f"DROP DATABASE {latin}", f"CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    assert "the encoding LATIN1" in await refusal(server.url(latin))


# --- several gateways -------------------------------------------------------------------------------------------------


async def test_each_gateway_ends_its_own_calls_only(gateway: Opener) -> None:
    one, two = await gateway("one"), await gateway("two")
    await one.apply([opened("c1")])
    await two.apply([opened("c2")])
    assert [call.call_id for call in await two.open_calls()] == ["c2"]
    await two.close()
    again = await gateway("two")
    assert await again.fail_open() == 1
    outcomes = {call.call_id: (call.outcome, call.gateway_id) for call in (await one.list_calls()).calls}
    assert outcomes == {"c1": (None, "one"), "c2": (Outcome.GATEWAY_LOST, "two")}


async def test_each_gateway_prunes_its_own_calls(gateway: Opener) -> None:
    one, two = await gateway("one"), await gateway("two")
    await one.apply([opened("c1"), closed("c1")])
    await two.apply([opened("c2"), closed("c2")])
    assert await one.find(Selection(gateway_id="one"), None, 10) == ["c1"]
    assert await one.find(Selection(), None, 10) == ["c1", "c2"]


async def test_an_id_has_one_gateway(gateway: Opener, server: PostgresServer, database: str) -> None:
    first = await gateway("one")
    with pytest.raises(StoreInUse, match=r"another gateway with the id 'one'.*store\.gateway_id"):
        await gateway("one")
    await gateway("one", role="worker")
    command = await CallStore.open(server.url(database), password=PASSWORD, gateway_id="one")
    await command.apply([opened()])  # a command works beside it
    await command.close()
    await first.close()
    await gateway("one")


async def test_an_id_that_was_taken_while_we_were_away_is_not_taken_back(
    gateway: Opener, server: PostgresServer, database: str
) -> None:
    first = await gateway("one")
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    server.sql(f"{query} AND pid <> pg_backend_pid()", database=database)
    await gateway("one")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await first.apply([opened()])  # the line is down
    with pytest.raises(StoreUnavailable, match="another gateway with the id 'one'"):
        await first.apply([opened()])


# --- a database that is away ------------------------------------------------------------------------------------------


async def test_records_wait_while_the_database_is_away(
    server: PostgresServer, store: CallStore, tmp_path: Path
) -> None:
    spill = Spill(tmp_path / "beside")
    writer = RecordWriter(store, spill=spill, every_s=0.01, sleep=lambda _: asyncio.sleep(0.02))
    await writer.start()
    writer.put(opened("before"))
    await writer.flush()
    server.stop()
    for n in range(20):
        for message in (opened(f"c{n}"), talked(f"c{n}", conversation()), closed(f"c{n}")):
            writer.put(message)
    while not spill.waiting.exists():
        await asyncio.sleep(0.02)
    assert not writer.state.healthy
    with pytest.raises(StoreUnavailable):
        await store.list_calls()
    server.start()
    await writer.flush()
    assert writer.state.healthy and writer.state.dropped_records == 0
    await writer.close()
    page = await store.list_calls(limit=200)
    assert len(page.calls) == 21 and not spill.waiting.exists()
    assert {call.outcome for call in page.calls} == {None, Outcome.ANSWERED}


async def test_a_server_that_does_not_answer_is_given_up(
    server: PostgresServer, store: CallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._database._backend, "patience_s", 0.3)
    await store.apply([opened()])
    await store.list_calls()
    server.freeze()
    try:
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            await store.apply([closed()])
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            await store.get_call("c1")
    finally:
        server.thaw()
    monkeypatch.undo()
    await store.apply([closed()])
    call = await store.get_record("c1")
    assert call is not None and call.outcome is Outcome.ANSWERED


async def test_a_table_that_is_gone_for_a_while_sets_nothing_aside(
    server: PostgresServer, store: CallStore, database: str
) -> None:
    server.sql("ALTER TABLE legs RENAME TO elsewhere", database=database)
    with pytest.raises(StoreUnavailable, match="legs"):
        await store.apply([opened()])
    server.sql("ALTER TABLE elsewhere RENAME TO legs", database=database)
    await store.apply([opened()])


# --- redaction --------------------------------------------------------------------------------------------------------


async def test_what_was_redacted_is_not_in_the_tables_files(
    server: PostgresServer, store: CallStore, database: str
) -> None:
    await store.apply([opened(), said("c1"), closed(recording=None)])

    def files() -> bytes:
        tables = ("calls", "turns", "events", "legs", "transfers")
        query = ", ".join(f"pg_relation_filepath('{table}')" for table in tables)
        (paths,) = server.sql("CHECKPOINT", f"SELECT {query}", database=database)
        return b"".join((server.data / str(path)).read_bytes() for path in paths)

    assert b"Hildegard" in files()
    await store.redact("c1", digits_only=False)
    await store.compact()
    assert b"Hildegard" not in files()
    call = await store.get_call("c1")
    assert call is not None and call.started_at == START
    await store.apply([opened("c2")])  # the writer's connection works on
