"""Positions, pause, cut and waiting of an agent's output."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.media.frames import FRAME_BYTES, SILENCE, AudioFrame
from telephony.rooms.fakes import FakeAudioInput, FakeAudioOutput, FakeParticipant
from telephony.rooms.protocol import AudioInput, AudioOutput, Participant

A_MS = b"\x01\x00" * 8


def output() -> FakeAudioOutput:
    fake = FakeAudioOutput()
    check: AudioOutput = fake
    assert check is fake
    return fake


def test_a_frame_goes_out_as_the_same_object() -> None:
    out = output()
    frame = bytes(range(160)) * 2
    out.push(frame)
    assert out.take(0.0) is frame


def test_positions_count_audio_not_silence() -> None:
    out = output()
    out.advance(100, 0.1)
    out.push(A_MS * 50)
    assert (out.queued_ms, out.played_ms) == (50, 0)
    out.advance(20, 0.12)
    assert out.played_ms == 20
    out.advance(100, 0.22)
    assert out.played_ms == 40  # the partial frame waits for more, or for flush
    out.flush()
    out.advance(20, 0.24)
    assert (out.queued_ms, out.played_ms) == (50, 50)
    assert bytes(out.played[-FRAME_BYTES:]) == A_MS * 10 + bytes(FRAME_BYTES // 2)
    out.push(A_MS * 20)
    assert out.queued_ms == 70
    out.advance(20, 0.26)
    assert out.played_ms == 70


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_however_it_is_cut_the_same_audio_comes_out(sizes: list[int]) -> None:
    out = output()
    audio = b""
    for index, size in enumerate(sizes):
        piece = bytes([index + 1, 0]) * size
        audio += piece
        out.push(piece)
    out.flush()
    assert out.queued_ms == len(audio) / 16
    played = out.advance(20 * (len(audio) // FRAME_BYTES + 1), 9.0)
    assert played[: len(audio)] == audio
    assert not any(played[len(audio) :])
    assert out.played_ms == out.queued_ms


def test_pause_plays_silence_and_keeps_the_queue() -> None:
    out = output()
    out.push(A_MS * 40)
    out.advance(20, 0.02)
    out.pause()
    assert out.advance(40, 0.06) == SILENCE * 2
    assert out.played_ms == 20
    out.resume()
    assert out.advance(20, 0.08) == A_MS * 20


def test_clear_ends_a_pause_and_forgets_what_was_not_played() -> None:
    out = output()
    out.push(A_MS * 45)
    out.advance(20, 0.02)
    out.pause()
    assert out.clear() == 20
    assert (out.queued_ms, out.played_ms, out.paused) == (20, 20, False)
    out.push(A_MS * 20)
    assert out.advance(20, 0.04) == A_MS * 20


async def test_wait_played_tells_when_the_frame_was_taken() -> None:
    out = output()
    out.push(A_MS * 100)
    waits = [asyncio.create_task(out.wait_played(ms)) for ms in (0, 1, 20, 20.1, 60, 100)]
    await asyncio.sleep(0)
    out.advance(100, 5.08)
    assert [await wait for wait in waits] == pytest.approx([5.0, 5.0, 5.0, 5.02, 5.04, 5.08])
    assert await out.wait_played(55) == pytest.approx(5.04)  # asked afterwards


async def test_times_beyond_the_history_are_reckoned_at_the_pace_of_audio() -> None:
    out = output()
    out.push(A_MS * 20 * 1000)
    out.advance(20_000, 20.0)
    assert await out.wait_played(20) == pytest.approx(0.02)
    assert await out.wait_played(5_000) == pytest.approx(5.0)


async def test_clear_releases_waiters_with_none_but_keeps_what_was_heard() -> None:
    out = output()
    out.push(A_MS * 100)
    late = asyncio.create_task(out.wait_played(100))
    drained = asyncio.create_task(out.drained())
    await asyncio.sleep(0)
    out.advance(40, 1.0)
    out.clear()
    assert await late is None
    await drained
    assert await out.wait_played(40) == 1.0


async def test_drained_waits_for_what_is_pushed_meanwhile() -> None:
    out = output()
    await out.drained()
    out.push(A_MS * 20)
    drained = asyncio.create_task(out.drained())
    await asyncio.sleep(0)
    out.push(A_MS * 20)
    out.advance(20, 1.0)
    await asyncio.sleep(0)
    assert not drained.done()
    out.advance(20, 1.02)
    await drained


async def test_a_cancelled_wait_leaves_no_trace() -> None:
    out = output()
    out.push(A_MS * 40)
    wait = asyncio.create_task(out.wait_played(40))
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    out.advance(40, 1.0)
    assert out.played_ms == 40


async def test_a_closed_output_never_blocks() -> None:
    out = output()
    out.close()
    out.push(A_MS * 20)
    assert await out.wait_played(20) is None
    await out.drained()
    out.reopen()
    out.push(A_MS * 20)
    assert out.queued_ms == 20


def test_fake_input_delivers_early_frames_and_times() -> None:
    fake = FakeAudioInput()
    check: AudioInput = fake
    assert check is fake
    fake.feed(SILENCE * 2, 1.02)
    heard: list[AudioFrame] = []
    fake.subscribe(heard.append)
    fake.feed(SILENCE, 1.04)
    assert [frame.at for frame in heard] == pytest.approx([1.0, 1.02, 1.04])


def test_fake_participant_is_one() -> None:
    fake = FakeParticipant()
    participant: Participant = fake
    participant.audio_output.push(SILENCE)
    participant.leave()
    assert fake.left and fake.output.queued_ms == 0


def test_a_fade_goes_evenly_over_its_audio_and_ends_at_the_gain() -> None:
    out = output()
    out.push(np.full(160 * 8, 10_000, dtype="<i2").tobytes())
    out.set_gain(0.0, over_ms=80)
    faded = np.frombuffer(out.advance(160, 0.16), dtype="<i2")
    steps = np.diff(faded[: 4 * 160].astype(int))
    assert faded[0] == 10_000 and steps.min() >= -20 and steps.max() <= 0  # no step that clicks
    assert faded[2 * 160] == pytest.approx(5_000, abs=20)
    assert not faded[4 * 160 :].any()
    assert out.played_ms == 160  # silent, but played


def test_a_new_gain_amid_a_fade_goes_on_from_there() -> None:
    out = output()
    out.push(np.full(160 * 10, 10_000, dtype="<i2").tobytes())
    out.set_gain(0.0, over_ms=80)
    out.advance(40, 0.04)
    out.set_gain(1.0, over_ms=40)
    back = np.frombuffer(out.advance(160, 0.2), dtype="<i2")
    assert back[0] == pytest.approx(5_000, abs=20) and (back[2 * 160 :] == 10_000).all()
    frame = np.full(160, 7, dtype="<i2").tobytes()
    out.push(frame)
    assert out.take(0.3) is frame  # at full gain nothing is copied


def test_too_loud_is_refused() -> None:
    for gain in (-0.1, 4.1):
        with pytest.raises(ValueError, match="gain"):
            output().set_gain(gain)
