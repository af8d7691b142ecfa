from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.store import CallStore, SchemaTooNew, StoreUnavailable, migrate
from gateway.store.revision import NEWEST, bring_up_to_date


def test_the_known_revision_is_the_last_migration(tmp_path: Path) -> None:
    assert migrate.upgrade(f"sqlite:///{tmp_path}/calls.db") == NEWEST


async def test_a_store_can_be_migrated_by_a_process_of_its_own(tmp_path: Path) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db", migrate_apart=True)
    assert (await store.list_calls()).calls == ()
    await store.close()


@pytest.mark.parametrize("apart", [True, False])
def test_a_newer_schema_is_named_and_left_alone(tmp_path: Path, apart: bool) -> None:
    path = tmp_path / "calls.db"
    bring_up_to_date(path, apart=False)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaTooNew, match="9999"):
        bring_up_to_date(path, apart=apart)


def test_a_migration_that_fails_apart_says_why(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (mine TEXT)")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.close()
    with pytest.raises(StoreUnavailable, match="events"):
        bring_up_to_date(path, apart=True)
