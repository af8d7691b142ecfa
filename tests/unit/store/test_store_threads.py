"""During a running transaction: callers give up, and the store is closed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from gateway.store import CallStore, StoreUnavailable
from tests.unit.store.records import closed, conversation, opened, talked


@pytest.fixture
def other(store: CallStore, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another writing process: our writes wait until it commits."""
    with closing(sqlite3.connect(tmp_path / "calls.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def connections_out(store: CallStore) -> int:
    return store._database.engine.pool.checkedout()  # type: ignore[attr-defined, no-any-return]


async def begun(store: CallStore, call_id: str) -> asyncio.Task[None]:
    """A write that has a connection, and waits for the write lock."""
    task = asyncio.create_task(store.apply([opened(call_id)]))
    while not connections_out(store):
        await asyncio.sleep(0)
    return task


async def stored(store: CallStore) -> set[str]:
    return {call.call_id for call in (await store.list_calls()).calls}


async def test_a_write_that_is_given_up_leaves_nothing(store: CallStore, other: sqlite3.Connection) -> None:
    under_way = await begun(store, "under way")
    waiting = asyncio.create_task(store.apply([opened("waiting")]))
    await asyncio.sleep(0)
    for task in (under_way, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    other.execute("COMMIT")
    await store.apply([opened("next")])
    assert await stored(store) == {"next"}
    assert connections_out(store) == 0


async def test_a_read_that_is_given_up_leaves_no_connection_behind(store: CallStore) -> None:
    await store.apply([opened()])
    for _ in range(10):
        reading = asyncio.create_task(store.get_call("c1"))
        while not connections_out(store) and not reading.done():
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
    assert await stored(store) == {"c1"}
    await store.close()
    assert connections_out(store) == 0


async def test_closing_waits_for_what_is_being_written(
    store: CallStore, other: sqlite3.Connection, tmp_path: Path
) -> None:
    writing = await begun(store, "c1")
    closing_it = asyncio.create_task(store.close())
    done, _ = await asyncio.wait({writing, closing_it}, timeout=0.05)
    assert not done
    other.execute("COMMIT")
    await asyncio.gather(writing, closing_it)
    again = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    assert await stored(again) == {"c1"}
    await again.close()


async def test_a_closed_store_says_so_and_has_no_threads(tmp_path: Path) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    await store.apply([opened()])
    await store.list_calls()
    assert any(thread.name.startswith("store-") for thread in threading.enumerate())
    await store.close()
    assert not any(thread.name.startswith("store-") for thread in threading.enumerate())
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.apply([opened("c2")])
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get_record("c1")


async def test_a_store_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable):
        await CallStore.open(f"sqlite:///{tmp_path}/file/calls.db")
    assert not any(thread.name.startswith("store-") for thread in threading.enumerate())


async def test_no_statement_is_executed_on_the_loop(store: CallStore) -> None:
    seen: set[int] = set()
    for engine in (store._database._backend.engine, store._database._backend.write_engine):
        event.listen(engine, "before_execute", lambda *_: seen.add(threading.get_ident()))
    await store.apply([opened()])
    await store.apply([talked("c1", conversation())])
    await store.apply([closed()])
    assert len(seen) == 1, "one thread writes"
    await store.get_call("c1")
    await store.list_calls()
    await store.fail_open()
    assert threading.get_ident() not in seen


async def test_an_error_that_is_logged_does_not_tell_what_callers_said(store: CallStore) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)not.null") as caught:
        await store.apply([opened(called=None, persona="secret.Persona")])
    assert "secret" not in str(caught.value) and "+15557777" not in str(caught.value)
