"""One gateway per store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store import CallStore, StoreError, StoreInUse, StoreLock
from tests.unit.store.records import opened


def test_a_store_is_held_once(tmp_path: Path) -> None:
    store = tmp_path / "new" / "trunkline.db"
    lock = StoreLock.take(store)
    with pytest.raises(StoreInUse, match=r"trunkline\.db is in use by another gateway"):
        StoreLock.take(store)
    StoreLock.take(tmp_path / "other.db").release()
    lock.release()
    lock.release()
    StoreLock.take(store).release()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_another_name_of_the_same_file_is_the_same_store(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    store, elsewhere = tmp_path / "trunkline.db", tmp_path / "elsewhere"
    elsewhere.mkdir()
    lock = StoreLock.take(store)
    link(store, elsewhere / "same.db")
    with pytest.raises(StoreInUse):
        StoreLock.take(elsewhere / "same.db")
    lock.release()
    StoreLock.take(elsewhere / "same.db").release()


def test_a_folder_reached_by_a_link_is_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    lock = StoreLock.take(tmp_path / "real" / "trunkline.db")
    with pytest.raises(StoreInUse):
        StoreLock.take(tmp_path / "linked" / "trunkline.db")
    lock.release()


async def test_sqlite_does_not_see_the_lock(tmp_path: Path) -> None:
    store = tmp_path / "trunkline.db"
    lock = StoreLock.take(store)
    assert store.stat().st_mode & 0o777 == 0o600
    records = await CallStore.open(f"sqlite:///{store}")
    await records.apply([opened()])
    assert len((await records.list_calls()).calls) == 1
    await records.close()
    lock.release()


def test_an_agent_worker_shares_the_store_with_a_gateway(tmp_path: Path) -> None:
    store = tmp_path / "trunkline.db"
    gateway, worker = StoreLock.take(store), StoreLock.beside(store, "worker")
    with pytest.raises(StoreInUse):
        StoreLock.beside(store, "worker")
    gateway.release()
    worker.release()


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        StoreLock.take(tmp_path / "file" / "trunkline.db")
