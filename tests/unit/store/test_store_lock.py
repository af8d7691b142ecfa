"""One gateway a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.store import StoreError, StoreInUse, StoreLock


def test_a_store_is_held_once(tmp_path: Path) -> None:
    store = tmp_path / "new" / "trunkline.db"
    lock = StoreLock.take(store)
    with pytest.raises(StoreInUse, match=r"trunkline\.db is in use by another gateway"):
        StoreLock.take(store)
    StoreLock.take(tmp_path / "other.db").release()
    lock.release()
    lock.release()
    StoreLock.take(store).release()


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        StoreLock.take(tmp_path / "file" / "trunkline.db")
