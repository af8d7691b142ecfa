"""Messages that the store cannot take survive the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.record import CallEvents, CallOpened, Outcome, RecordMessage
from gateway.store import CallStore, FakeSink, RecordWriter, Spill, StoreUnavailable, recover
from tests.unit.store.records import START, closed, conversation, opened, talked
from tests.unit.store.test_record_writer import Naps, refusal


class SickSink(FakeSink):
    """Accepts nothing until it works again."""

    def __init__(self) -> None:
        super().__init__()
        self.sick = True
        self.tries = 0

    async def apply(self, messages: object) -> None:
        self.tries += 1
        if self.sick:
            raise StoreUnavailable("disk image is malformed")
        await super().apply(messages)  # type: ignore[arg-type]


@pytest.fixture
def spill(tmp_path: Path) -> Spill:
    return Spill(tmp_path / "calls.db")


@pytest.fixture
def folder_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.store.spill.os.write", full)
    yield


async def failed(writer: RecordWriter, times: int = 2) -> None:
    while writer.state.failures < times:
        await Naps()(0)


def whole_call() -> list[RecordMessage]:
    return [
        opened(), CallEvents(call_id="c1", answered_at=START),
        CallEvents(call_id="c1", events=tuple(conversation())), closed(), refusal(1),
    ]  # fmt: skip


async def test_what_waits_is_in_a_file_while_the_store_is_sick_and_gone_when_it_is_well(spill: Spill) -> None:
    sink = SickSink()
    writer = RecordWriter(sink, spill=spill, sleep=Naps())
    await writer.start()
    for message in whole_call()[:2]:
        writer.put(message)
    await failed(writer)
    writer.put(whole_call()[2])
    await failed(writer, writer.state.failures + 2)
    assert spill.read(spill.waiting) == whole_call()[:3]  # what kill -9 would leave
    assert spill.waiting.stat().st_mode & 0o777 == 0o600
    sink.sick = False
    await writer.flush()
    assert sink.messages == whole_call()[:3]
    assert not spill.waiting.exists()
    await writer.close()


async def test_the_next_start_writes_what_was_left(tmp_path: Path, spill: Spill) -> None:
    writer = RecordWriter(SickSink(), spill=spill, sleep=Naps())
    await writer.start()
    for message in whole_call():
        writer.put(message)
    await failed(writer)
    await writer.close(0.05)
    assert len(spill.read(spill.waiting)) == 6  # each once; a refusal is a beginning and an end
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    assert await recover(store, spill) == 6
    assert not spill.waiting.exists()
    assert await store.fail_open() == 0
    call, refused = await store.get_call("c1"), await store.get_record("r1")
    await store.close()
    assert call is not None and refused is not None
    assert (call.outcome, len(call.events)) == (Outcome.ANSWERED, len(conversation()))
    assert (refused.outcome, refused.sip_status) == (Outcome.REFUSED, 503)


async def test_what_had_been_written_all_the_same_is_not_there_twice(tmp_path: Path, spill: Spill) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    await store.apply(whole_call())
    writer = RecordWriter(SickSink(), spill=spill, sleep=Naps())
    for message in whole_call():
        writer.put(message)
    await writer.close(0.05)
    await recover(store, spill)
    call = await store.get_call("c1")
    await store.close()
    assert call is not None and len(call.events) == len(conversation())


async def test_a_message_that_is_refused_is_set_aside_with_its_call(tmp_path: Path, spill: Spill) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    writer = RecordWriter(store, spill=spill, sleep=Naps())
    await writer.start()
    bad = opened("bad", called=None)
    for message in (bad, opened("good")):
        writer.put(message)
    await writer.flush()
    writer.put(talked("bad", [{"type": "x", "t_ms": 1}]))
    writer.put(closed("bad"))
    writer.put(closed("good"))
    await writer.flush()
    state = writer.state
    await writer.close()
    assert (state.set_aside, state.dropped_records, state.healthy) == (3, 0, True)
    good = await store.get_record("good")
    assert good is not None and good.outcome is Outcome.ANSWERED
    with closing(sqlite3.connect(tmp_path / "calls.db")) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (1,)
    # the next start tries again, and keeps what is refused once more
    lines = spill.unstorable.read_text().splitlines()
    spill.unstorable.write_text("\n".join(line.replace('"called": null', '"called": "1"') for line in lines) + "\n")
    assert await recover(store, spill) == 3
    mended = await store.get_record("bad")
    await store.close()
    assert mended is not None and mended.outcome is Outcome.ANSWERED
    assert not spill.unstorable.exists()


async def test_a_line_that_was_cut_off_costs_only_itself(spill: Spill) -> None:
    spill.append(spill.waiting, ['{"message": "call_events", "call_id": "c1", "events": []}', '{"message": "call_op'])
    assert spill.read(spill.waiting) == [CallEvents(call_id="c1")]


@pytest.mark.usefixtures("folder_that_is_full")
async def test_a_disk_that_takes_no_file_either_is_told(spill: Spill) -> None:
    sink = SickSink()
    writer = RecordWriter(sink, spill=spill, sleep=Naps())
    await writer.start()
    writer.put(opened())
    await failed(writer)
    assert "No space left" in writer.state.spill_error
    sink.sick = False
    await writer.flush()
    assert [type(message) for message in sink.messages] == [CallOpened]
    assert writer.state.spill_error == ""
    await writer.close()


async def test_records_after_the_close_are_kept_too(spill: Spill) -> None:
    writer = RecordWriter(FakeSink(), spill=spill, sleep=Naps())
    await writer.close()
    writer.put(closed())
    assert spill.read(spill.waiting) == [closed()]
    assert writer.state.dropped_records == 0
