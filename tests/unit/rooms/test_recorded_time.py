"""Time without ticks is silence in the recording."""

from __future__ import annotations

import pytest

from telephony.media.frames import SILENCE
from telephony.rooms.recorded_time import RecordedTime


class Recorder:
    def __init__(self) -> None:
        self.frames = 0

    def write(self, left: bytes, right: bytes) -> None:
        assert left == right == SILENCE
        self.frames += 1


@pytest.mark.parametrize(("missed_s", "frames"), [(0.02, 0), (0.5, 0), (1.0, 49), (7200.0, 3600 * 50 - 1)])
def test_a_gap_is_filled_up_to_the_frame_that_follows(missed_s: float, frames: int) -> None:
    time, recorder = RecordedTime(), Recorder()
    time.tick(recorder, 100.0)
    time.tick(recorder, 100.0 + missed_s)
    assert recorder.frames == frames


def test_what_was_before_the_first_frame_is_no_gap() -> None:
    recorder = Recorder()
    RecordedTime().tick(recorder, 100.0)
    assert recorder.frames == 0
