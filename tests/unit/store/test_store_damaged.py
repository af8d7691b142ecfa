"""Incomplete database files: at startup, and while a gateway runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.record import CallOpened
from gateway.store import CallStore, RecordWriter, StoreDamaged, StoreError, StoreUnavailable
from tests.unit.store.records import conversation, opened, talked


async def made(path: Path, calls: int = 300) -> None:
    store = await CallStore.open(f"sqlite:///{path}")
    await store.apply([opened(f"c{n}") for n in range(calls)])
    await store.apply([talked("c0", conversation())])
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def overwrite(path: Path, at: float, length: int, byte: bytes = b"\xa5") -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        file.write(byte * length)


def noise(path: Path) -> None:
    overwrite(path, 0, path.stat().st_size)


def torn_page(path: Path) -> None:
    overwrite(path, 0.5, 4096)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def no_database(path: Path) -> None:
    path.write_text("once upon a time\n" * 100)


@pytest.mark.parametrize("damage", [noise, torn_page, cut_short, no_database])
async def test_a_damaged_file_is_refused_at_the_start_and_left_as_it_is(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "t.db"
    await made(path)
    damage(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(StoreDamaged, match=r"t\.db is damaged.*left unchanged.*backup"):
        await CallStore.open(f"sqlite:///{path}", migrate_apart=True)
    assert path.read_bytes() == before


async def test_the_wal_of_a_file_that_is_gone_is_not_thrown_away(tmp_path: Path) -> None:
    path, wal = tmp_path / "t.db", tmp_path / "t.db-wal"
    path.touch()  # as StoreLock makes it
    wal.write_bytes(b"records that were never copied into the file")
    with pytest.raises(StoreDamaged, match="empty"):
        await CallStore.open(f"sqlite:///{path}")
    assert wal.read_bytes().startswith(b"records")


async def test_somebody_elses_database_gets_no_tables_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoices (id)")
    with pytest.raises(StoreError, match=r"something else.*invoices"):
        await CallStore.open(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("invoices",)]


@pytest.mark.parametrize("damage", [noise, no_database])
async def test_while_it_runs_records_wait_and_readers_are_told(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "t.db"
    await made(path)
    store = await CallStore.open(f"sqlite:///{path}")
    whole = path.read_bytes()
    damage(path)  # type: ignore[operator]
    with pytest.raises(StoreUnavailable):
        await store.apply([opened("new")])
    for read in (store.list_calls(), store.get_record("c1"), store.get_call("c0"), store.open_calls()):
        with pytest.raises(StoreUnavailable):
            await read
    path.write_bytes(whole)
    await store.apply([opened("new")])
    assert await store.get_record("new") is not None
    await store.close()


async def test_rows_that_are_damaged_are_no_fault_of_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await made(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET event = '{' WHERE call_id = 'c0'")
        connection.execute("UPDATE calls SET direction = 'sideways' WHERE call_id = 'c1'")
    store = await CallStore.open(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable):
        await store.get_call("c0")
    with pytest.raises(StoreUnavailable):
        await store.get_record("c1")
    assert await store.get_record("c2") is not None
    await store.close()


async def test_a_file_that_was_moved_away_gets_no_records_that_nobody_finds(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = await CallStore.open(f"sqlite:///{path}")
    path.rename(tmp_path / "old.db")
    with pytest.raises(StoreUnavailable, match="moved"):
        await store.apply([opened()])
    path.touch()
    with pytest.raises(StoreUnavailable, match="replaced"):
        await store.apply([opened()])
    path.unlink()
    (tmp_path / "old.db").rename(path)
    await store.apply([opened()])
    await store.close()


async def test_a_row_that_breaks_a_rule_is_no_trouble_of_the_store(tmp_path: Path) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/t.db")
    writer = RecordWriter(store)
    await writer.start()
    writer.put(opened("good"))
    writer.put(nameless())
    writer.put(opened("good2"))
    await writer.flush()
    assert writer.state.healthy
    assert {call.call_id for call in (await store.list_calls()).calls} == {"good", "good2"}
    await writer.close()
    await store.close()


def nameless() -> CallOpened:
    return opened("bad", called=None)
