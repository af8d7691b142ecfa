"""Recordings: the file's contents after a close, after a crash, and on a failing disk."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import struct
import threading
import warnings
import wave
from pathlib import Path

import pytest

from telephony.media.fakes import WriterOnCall
from telephony.media.frames import FRAME_BYTES, SILENCE
from telephony.media.recording import WavRecorder, repair
from telephony.media.recording_writer import writer
from telephony.media.tones import tone
from telephony.media.wav import read_channels
from telephony.rooms.protocol import Recorder

LEFT, RIGHT = tone(440, 200), tone(700, 200)


class FakeFile:
    """A file in memory with room for `room` bytes."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.data = bytearray()
        self.room = room
        self.closed = False

    def append(self, data: bytes) -> int:
        taken = min(len(data), self.room - len(self.data))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.data += data[:taken]
        return taken

    def patch(self, data: bytes, offset: int) -> None:
        self.data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        del self.data[size:]

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def record(recorder: WavRecorder, left: bytes = LEFT, right: bytes = RIGHT) -> None:
    to: Recorder = recorder
    for offset in range(0, len(left), FRAME_BYTES):
        to.write(left[offset : offset + FRAME_BYTES], right[offset : offset + FRAME_BYTES])


async def test_caller_left_everyone_else_right(tmp_path: Path) -> None:
    recorder = WavRecorder(tmp_path / "new" / "call.wav")
    record(recorder)
    assert recorder.duration_ms == 200
    await recorder.close()
    await recorder.close()
    assert recorder.error is None
    assert read_channels(recorder.path) == [LEFT, RIGHT]
    with wave.open(str(recorder.path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 1600)
    assert stat.S_IMODE(recorder.path.stat().st_mode) == 0o600
    record(recorder)  # too late: ignored
    assert recorder.duration_ms == 200


async def test_a_pause_is_silent_and_keeps_the_time_axis(tmp_path: Path) -> None:
    recorder = WavRecorder(tmp_path / "call.wav")
    record(recorder)
    recorder.pause()
    assert recorder.paused
    record(recorder)
    recorder.resume()
    record(recorder)
    await recorder.close()
    assert read_channels(recorder.path) == [LEFT + bytes(len(LEFT)) + LEFT, RIGHT + bytes(len(RIGHT)) + RIGHT]


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_pause_can_begin_in_the_past_and_end_later(tmp_path: Path, flushed: bool) -> None:
    recorder = WavRecorder(tmp_path / "call.wav")
    record(recorder)
    if flushed:
        recorder.flush()  # it is in the file, and made silent there
    recorder.pause(lead_ms=90)
    record(recorder)
    recorder.resume(tail_ms=50)
    record(recorder)
    assert not recorder.paused
    await recorder.close()
    lead, tail = 5 * FRAME_BYTES, 3 * FRAME_BYTES
    wanted = LEFT[:-lead] + bytes(lead + len(LEFT) + tail) + LEFT[tail:]
    assert read_channels(recorder.path)[0] == wanted


async def test_the_header_is_open_ended_at_first_and_right_after_a_flush(tmp_path: Path) -> None:
    writer = WriterOnCall()
    recorder = WavRecorder(tmp_path / "call.wav", by=writer)
    assert struct.unpack("<I", recorder.path.read_bytes()[40:44])[0] == 0xFFFFFFFF
    record(recorder)
    writer.flush()  # what the writer thread does every 500 ms
    with wave.open(str(recorder.path)) as file:
        assert file.getnframes() == 1600
    await recorder.close()


async def test_an_empty_recording_is_a_valid_file(tmp_path: Path) -> None:
    recorder = WavRecorder(tmp_path / "call.wav")
    await recorder.close()
    assert read_channels(recorder.path) == [b"", b""]


async def test_repair_after_a_crash(tmp_path: Path) -> None:
    recorder = WavRecorder(tmp_path / "call.wav")
    record(recorder)
    await recorder.close()
    broken = bytearray(recorder.path.read_bytes())
    broken[4:8] = broken[40:44] = b"\xff" * 4
    recorder.path.write_bytes(bytes(broken) + b"\x01\x02\x03")
    assert repair(recorder.path) == 200
    assert read_channels(recorder.path) == [LEFT, RIGHT]
    with wave.open(str(recorder.path)) as file:
        assert file.getnframes() == 1600
    (tmp_path / "other.wav").write_bytes(b"RIFF" + bytes(60))
    with pytest.raises(ValueError, match="not one of our recordings"):
        repair(tmp_path / "other.wav")


@pytest.mark.parametrize("room", [0, 20, 44, 44 + 1001])
async def test_a_full_disk_turns_the_recorder_off_and_leaves_what_fits(room: int) -> None:
    file = FakeFile(room)
    writer = WriterOnCall()
    recorder = WavRecorder("call.wav", open_file=lambda _: file, by=writer)
    record(recorder)
    writer.flush()
    assert recorder.error is not None and "No space left" in recorder.error
    assert file.closed
    if room >= 44:
        kept = (room - 44) // 4 * 4
        assert len(file.data) == 44 + kept
        assert struct.unpack_from("<I", file.data, 40)[0] == kept
        assert recorder.duration_ms == kept // 640 * 20
    record(recorder)
    await recorder.close()


async def test_an_unwritable_place_is_an_error_not_an_exception(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = WavRecorder(tmp_path / "file" / "call.wav")
    record(recorder)
    assert recorder.error is not None and recorder.duration_ms == 0
    await recorder.close()


async def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_text("precious")
    recorder = WavRecorder(path)
    await recorder.close()
    assert recorder.error is not None
    assert path.read_text() == "precious"


async def test_a_disk_that_stalls_for_a_minute_is_given_up() -> None:
    file = FakeFile()
    writer = WriterOnCall()
    recorder = WavRecorder("call.wav", open_file=lambda _: file, by=writer)
    for _ in range(301):
        record(recorder)
    writer.flush()  # as late as that
    assert recorder.error is not None and "kept up" in recorder.error
    await recorder.close()


async def test_an_hour_of_silence_after_a_hold_is_no_stalled_disk() -> None:
    file = FakeFile()
    recorder = WavRecorder("call.wav", open_file=lambda _: file)
    for _ in range(4000):
        recorder.write(SILENCE, SILENCE)
    record(recorder)
    await recorder.close()
    assert recorder.error is None
    assert len(file.data) == 44 + 4010 * 640


async def test_one_thread_writes_all_recordings(tmp_path: Path) -> None:
    recorders = [WavRecorder(tmp_path / f"{index}.wav") for index in range(5)]
    assert [thread.name for thread in threading.enumerate()].count("recording-writer") == 1
    for recorder in recorders:
        record(recorder)
    await asyncio.gather(*(recorder.close() for recorder in recorders))
    assert all(read_channels(recorder.path) == [LEFT, RIGHT] for recorder in recorders)


async def test_the_end_may_be_written_before_close_has_returned(tmp_path: Path) -> None:
    """The writer thread can be faster than the loop; the recording is still finished only once."""
    recorder = WavRecorder(tmp_path / "call.wav", by=WriterOnCall())
    record(recorder)
    await recorder.close()
    assert read_channels(recorder.path) == [LEFT, RIGHT]


async def test_a_recorder_that_turned_itself_off_is_forgotten_with_its_call() -> None:
    recorder = WavRecorder("full.wav", open_file=lambda _: FakeFile(room=100))
    record(recorder)
    recorder.flush()
    assert recorder.error is not None
    before = len(writer()._flushes)
    await recorder.close()
    assert len(writer()._flushes) == before - 1


async def test_a_forked_child_has_a_writer_of_its_own(tmp_path: Path) -> None:
    recorder = WavRecorder(tmp_path / "parent.wav")
    record(recorder)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns of forks beside threads: that is the test
        child = os.fork()
    if child == 0:
        try:
            own = WavRecorder(tmp_path / "child.wav")
            record(own)
            from telephony.media.recording_writer import writer

            writer().finish(own.flush, own._finish).result(5)
            os.write(writing, b"ok")
        finally:
            os._exit(0)
    os.close(writing)
    answer = await asyncio.to_thread(os.read, reading, 2)
    os.close(reading)
    os.waitpid(child, 0)
    await recorder.close()
    assert answer == b"ok"
    assert read_channels(tmp_path / "child.wav") == read_channels(tmp_path / "parent.wav") == [LEFT, RIGHT]
