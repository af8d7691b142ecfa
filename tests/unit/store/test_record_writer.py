from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import event

from gateway.record import CallEvents, CallRecord, Outcome, WorkerLost, refused_record
from gateway.store import CallStore, FakeSink, RecordWriter, StoreUnavailable
from gateway.store.backlog import Backlog
from telephony.call import CallInfo, Direction
from tests.unit.store.records import START, closed, conversation, opened, talked


class Naps:
    """A sleep that takes no time and notes how long it would have been."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def some_events(call_id: str, count: int) -> CallEvents:
    return CallEvents(call_id=call_id, events=tuple({"type": "x", "t_ms": n} for n in range(count)))


async def test_what_is_put_is_written_in_order_and_in_one_batch() -> None:
    sink, naps = FakeSink(), Naps()
    writer = RecordWriter(sink, sleep=naps)
    await writer.start()
    writer.put(opened())
    writer.put(talked("c1", conversation()))
    writer.put(closed())
    assert writer.state.backlog == 2 + len(conversation())
    await writer.flush()
    assert len(sink.batches) == 1
    assert [type(m).__name__ for m in sink.messages] == ["CallOpened", "CallEvents", "CallClosed"]
    assert naps.taken == [0.2]
    assert (writer.state.backlog, writer.state.written, writer.state.healthy) == (0, 3, True)
    await writer.close()


async def test_batches_are_bounded() -> None:
    sink = FakeSink()
    writer = RecordWriter(sink, sleep=Naps(), batch=10)
    for n in range(25):
        writer.put(opened(f"c{n}"))
    await writer.start()
    await writer.flush()
    assert [len(batch) for batch in sink.batches] == [10, 10, 5]
    await writer.close()


async def test_a_store_that_is_locked_is_tried_again_with_growing_pauses_and_told_once() -> None:
    sink, naps = FakeSink(), Naps()
    sink.fail_next = [StoreUnavailable("database is locked")] * 6
    writer = RecordWriter(sink, sleep=naps)
    with structlog.testing.capture_logs() as logs:
        writer.put(opened())
        await writer.start()
        await writer.flush()
    assert naps.taken == [0.2, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0]
    assert [type(m).__name__ for m in sink.messages] == ["CallOpened"]
    assert (writer.state.failures, writer.state.error) == (6, "")
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    await writer.close()


async def test_while_it_fails_the_state_says_so() -> None:
    sink = FakeSink()
    sink.fail_next = [StoreUnavailable("disk full")]
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if writer.state.error:
            asleep.set()
            await asyncio.Event().wait()

    writer = RecordWriter(sink, sleep=sleep)
    await writer.start()
    writer.put(opened())
    await asleep.wait()
    assert (writer.state.healthy, writer.state.error, writer.state.backlog) == (False, "disk full", 1)
    await writer.close()
    assert len(sink.messages) == 1, "closing cuts the pause short and writes"
    assert writer.state.healthy


async def test_one_bad_message_costs_only_itself(store: CallStore) -> None:
    writer = RecordWriter(store, sleep=Naps())
    await writer.start()
    bad: Any = CallEvents(call_id="c1", events=({"type": "x", "a": {(1, 2): 3}},))
    for message in (opened("c1"), bad, opened("c2"), closed("c1")):
        writer.put(message)
    await writer.flush()
    calls = (await store.list_calls()).calls
    assert {call.call_id: call.outcome for call in calls} == {"c1": Outcome.ANSWERED, "c2": None}
    assert (writer.state.written, writer.state.dropped_records, writer.state.healthy) == (3, 1, True)
    await writer.close()


async def test_closing_writes_what_is_left() -> None:
    sink = FakeSink()
    writer = RecordWriter(sink)
    writer.put(opened())
    await writer.close()
    await writer.close()
    assert len(sink.messages) == 1
    writer.put(closed())
    assert writer.state.dropped_records == 1, "too late"


async def test_closing_gives_up_in_time_and_names_what_is_lost() -> None:
    sink = FakeSink()
    sink.fail_next = [StoreUnavailable("disk full")] * 100_000
    writer = RecordWriter(sink)
    writer.put(opened("c7"))
    with structlog.testing.capture_logs() as logs:
        await writer.close(timeout_s=0.05)
    assert logs[-1]["call_ids"] == ["c7"]
    assert logs[-1]["log_level"] == "error"


async def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """SQLite's own limit on pages gives the very error of a full disk."""
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    await store.apply([opened("before")])

    def limit(pages: int) -> None:
        def set_limit(connection: Any, _record: object, _proxy: object) -> None:
            connection.cursor().execute(f"PRAGMA max_page_count = {pages}")

        event.listen(store._database.engine, "checkout", set_limit)

    limit(1)  # SQLite takes the present size for the limit
    writer = RecordWriter(store, sleep=Naps())
    with structlog.testing.capture_logs() as logs:
        await writer.start()
        for n in range(40):
            writer.put(opened(f"c{n}"))
            writer.put(some_events(f"c{n}", 50))
        while not writer.state.failures:
            await asyncio.sleep(0)
        assert "full" in writer.state.error
        limit(1_000_000)
        await writer.flush()
    assert len((await store.list_calls(limit=200)).calls) == 41
    assert sum(entry["log_level"] == "error" for entry in logs) == 1
    await writer.close()
    await store.close()


async def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db", busy_timeout_s=0.01)
    other = sqlite3.connect(tmp_path / "calls.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = RecordWriter(store, sleep=Naps())
    await writer.start()
    writer.put(opened())
    while not writer.state.failures:
        await asyncio.sleep(0)
    assert "locked" in writer.state.error
    assert (await store.list_calls()).calls == (), "reading goes on meanwhile"
    other.execute("COMMIT")
    other.close()
    await writer.flush()
    assert len((await store.list_calls()).calls) == 1
    await writer.close()
    await store.close()


def test_events_are_dropped_before_calls() -> None:
    backlog = Backlog(bound=10)
    backlog.put(opened("c1"))
    backlog.put(some_events("c1", 9))
    backlog.put(some_events("c1", 1))  # no more room for events
    backlog.put(CallEvents(call_id="c1", events=({"type": "x"},), answered_at=START))  # its answer time is kept
    for n in range(2, 9):
        backlog.put(closed(f"c{n}"))
    assert (backlog.dropped_events, backlog.dropped_records) == (1, 4)
    kept = backlog.take(100)
    assert sum(len(m.events) for m in kept if isinstance(m, CallEvents)) == 10
    assert any(isinstance(m, CallEvents) and m.answered_at == START for m in kept)
    assert backlog.size == 0


def refusal(n: int) -> CallRecord:
    info = CallInfo(call_id=f"r{n}", direction=Direction.INBOUND, called="1", caller="2", trunk="t")
    return refused_record(info, started_at=START, sip_status=503, refused_by="rate limit")


def test_refusals_take_no_place_of_calls_and_are_written_after_them() -> None:
    backlog = Backlog(bound=40)
    for n in range(100):
        backlog.put(refusal(n))
    for n in range(10):
        backlog.put(opened(f"c{n}"))
        backlog.put(some_events(f"c{n}", 4))
        backlog.put(closed(f"c{n}"))
    assert (backlog.dropped_events, backlog.dropped_records, backlog.dropped_refusals) == (0, 0, 90)
    assert backlog.size == 10 + 10 * 6
    batch = backlog.take(1000)
    assert [isinstance(m, CallRecord) for m in batch] == [False] * 30 + [True] * 10
    backlog.put_back(batch)
    assert backlog.take(1000) == batch
    assert backlog.size == 0


def test_what_is_put_back_comes_first_again() -> None:
    backlog = Backlog(bound=10)
    for n in range(4):
        backlog.put(opened(f"c{n}"))
    batch = backlog.take(2)
    backlog.put(WorkerLost(call_ids=("c0",), at=START))
    backlog.put_back(batch)
    assert backlog.size == 5
    order = [getattr(m, "call_id", "lost") for m in backlog.take(100)]
    assert order == ["c0", "c1", "c2", "c3", "lost"]


@pytest.mark.parametrize("at_most", [1, 5, 20])
def test_a_message_larger_than_a_batch_still_goes(at_most: int) -> None:
    backlog = Backlog(bound=100)
    backlog.put(some_events("c1", 30))
    assert len(backlog.take(at_most)) == 1
    assert backlog.take(at_most) == []
