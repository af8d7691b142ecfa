"""Recordings left on disk by a gateway that died."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.adoption import QUIET_S, Adoption
from gateway.record import LIVEKIT_WORKER, CallClosed, CallEvents, CallRecord, Outcome, Recording, opened_part
from gateway.store import CallStore
from telephony.call import Direction
from telephony.media.recording import WavRecorder
from telephony.media.wav import read_channels

STARTED = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)


def left_open(call_id: str = "c1") -> CallRecord:
    return CallRecord(
        call_id=call_id, direction=Direction.INBOUND, trunk="t", called="1", caller=None, started_at=STARTED
    )


async def recorded(path: Path, frames: int, *, whole: bool = False) -> None:
    """As left by a killed process: the header does not cover the last half second."""
    recorder = WavRecorder(path)
    for _ in range(frames):
        recorder.write(b"\1\0" * 160, b"\2\0" * 160)
    await recorder.close()
    if not whole:
        with path.open("r+b") as file:
            file.seek(40)
            file.write(b"\0\0\0\0")
    os.utime(path, (0, 0))


class World:
    def __init__(self, recordings: Path, *call_ids: str) -> None:
        self.put: list[CallClosed] = []
        self.now = 1_000_000.0
        self.naps = 0
        self.adoption = Adoption(
            [left_open(call_id) for call_id in call_ids or ("c1",)], recordings, self.put.append,
            wall=lambda: self.now, sleep=self.sleep,
        )  # fmt: skip

    def touch(self, path: Path) -> None:
        os.utime(path, (self.now, self.now))

    async def sleep(self, seconds: float) -> None:
        self.naps += 1
        self.now += seconds


async def test_a_recording_is_mended_and_put_on_record(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-20" / "c1.wav"
    await recorded(path, 100)
    world = World(tmp_path)
    await world.adoption.adopt()
    assert [message.recording for message in world.put] == [
        Recording(path="2026-11-20/c1.wav", duration_ms=2000, error="the gateway was lost")
    ]
    assert world.put[0].outcome is Outcome.GATEWAY_LOST
    assert len(read_channels(path)[0]) == 2000 * 16


async def test_the_folder_of_the_next_day_is_looked_into(tmp_path: Path) -> None:
    await recorded(tmp_path / "2026-11-21" / "c1.wav", 10)
    world = World(tmp_path)
    await world.adoption.run()
    assert world.put[0].recording == Recording(path="2026-11-21/c1.wav", duration_ms=200, error="the gateway was lost")


async def test_a_file_that_a_worker_still_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-20" / "c1.wav"
    await recorded(path, 10)
    world = World(tmp_path)
    world.touch(path)
    await world.adoption.adopt()
    assert world.put == []
    await world.adoption.run()
    assert len(world.put) == 1
    assert world.naps == 1


async def test_a_file_that_never_ends_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-20" / "c1.wav"
    await recorded(path, 10)
    world = World(tmp_path)

    async def sleep(seconds: float) -> None:
        await world.sleep(seconds)
        world.touch(path)

    world.touch(path)
    adoption = Adoption([left_open()], tmp_path, world.put.append, wall=lambda: world.now, sleep=sleep)
    await adoption.run()
    assert len(world.put) == 1
    assert world.now - 1_000_000 <= 8.0 + QUIET_S


async def test_calls_without_a_recording_and_files_that_are_none(tmp_path: Path) -> None:
    day = tmp_path / "2026-11-20"
    await recorded(day / "empty.wav", 0, whole=True)
    (day / "foreign.wav").write_bytes(b"no recording of ours")
    world = World(tmp_path, "none", "empty", "foreign")
    await world.adoption.run()
    found = {message.call_id: message.recording for message in world.put}
    assert found["empty"] == Recording(path="", error="nothing had been recorded when the gateway was lost")
    assert not (day / "empty.wav").exists()
    foreign = found["foreign"]
    assert foreign is not None and foreign.path == "" and "not one of our recordings" in foreign.error
    assert (day / "foreign.wav").read_bytes() == b"no recording of ours"
    assert "none" not in found


async def test_the_record_keeps_its_end_and_gains_the_recording(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    store = await CallStore.open(f"sqlite:///{tmp_path}/t.db")
    answered = CallEvents(call_id="c1", answered_at=STARTED + timedelta(seconds=2))
    await store.apply(
        [opened_part(left_open()), answered, opened_part(replace(left_open("job"), worker=LIVEKIT_WORKER))]
    )
    left = await store.open_calls()
    assert [call.call_id for call in left] == ["c1"]
    assert [call.call_id for call in await store.open_calls(of_livekit_worker=True)] == ["job"]
    await store.fail_open()
    await recorded(recordings / "2026-11-20" / "c1.wav", 50)
    put: list[CallClosed] = []
    await Adoption(left, recordings, put.append).run()
    await store.apply(put)
    record = await store.get_record("c1")
    await store.close()
    assert record is not None and record.recording is not None
    assert (record.outcome, record.recording.duration_ms) == (Outcome.GATEWAY_LOST, 1000)
    assert (record.ended_at, record.duration_ms) == (STARTED + timedelta(seconds=3), 1000)  # a sign of life
