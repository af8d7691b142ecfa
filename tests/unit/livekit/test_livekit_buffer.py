"""The buffer between a LiveKit track and a leg's clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from telephony.livekit.buffer import TrackBuffer
from telephony.media.frames import SILENCE

LOUD = b"\x00\x40" * 160


def test_it_plays_what_came_in_order() -> None:
    buffer = TrackBuffer()
    assert buffer.pop() is None
    for n in range(3):
        buffer.push(bytes([n]) * 320)
    assert [buffer.pop() for _ in range(3)] == [bytes([n]) * 320 for n in range(3)]
    assert buffer.pop() is None
    assert buffer.underruns == 1


def test_it_holds_one_more_frame_after_it_ran_empty() -> None:
    buffer = TrackBuffer()
    buffer.push(LOUD)
    assert buffer.pop() == LOUD
    assert buffer.pop() is None  # too late
    buffer.push(LOUD)
    assert buffer.pop() is None  # now it waits for two
    buffer.push(LOUD)
    assert buffer.pop() == LOUD


def test_it_never_holds_more_than_a_tenth_of_a_second() -> None:
    buffer = TrackBuffer()
    for n in range(50):
        buffer.push(bytes([n]) * 320)
    assert buffer.held_ms == 100
    assert buffer.pop() == bytes([45]) * 320


@pytest.mark.parametrize(("frame", "after_s"), [(SILENCE, 5.1), (LOUD, 7.0)])
def test_it_gives_back_what_it_does_not_need_in_a_quiet_moment_or_else_later(frame: bytes, after_s: float) -> None:
    buffer = TrackBuffer()
    buffer.push(frame)
    buffer.pop()
    buffer.pop()
    for _ in range(2):
        buffer.push(frame)  # the target is two frames now
    given_back_at = None
    for n in range(600):
        buffer.push(frame)
        assert buffer.pop() is not None
        if buffer.held_ms < 40 and given_back_at is None:
            given_back_at = n * 0.02
    assert given_back_at is not None and given_back_at == pytest.approx(after_s, abs=0.2)
    assert buffer.held_ms < 60


def test_what_was_needed_after_all_is_given_back_later_next_time() -> None:
    buffer, given_back = TrackBuffer(), []
    buffer.push(SILENCE)
    buffer.pop()
    buffer.pop()
    buffer.push(SILENCE)
    before = buffer.held_ms
    for n in range(2500):
        buffer.push(SILENCE)
        buffer.pop()
        if buffer.held_ms < before:  # it was a mistake: the next frame is late
            given_back.append(n)
            while buffer.pop() is not None:
                pass
            buffer.push(SILENCE)
        before = buffer.held_ms
    gaps = [later - earlier for earlier, later in pairwise(given_back)]
    assert len(gaps) >= 2
    assert gaps == sorted(gaps) and gaps[1] > 1.5 * gaps[0]
