"""Hold music from files, at its volume and fade, and the agent's word over it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler
from test_transfers import frame, heard, target, told
from test_warm_transfers import begun, nothing_is_left, order

from telephony.call import Warm
from telephony.media.wav import write_wav

LEVEL = 4000


def constant(path: Path, value: int, ms: int) -> Path:
    write_wav(path, value.to_bytes(2, "little", signed=True) * (8 * ms))
    return path


def levels(world: CallWorld, ms: float) -> list[int]:
    """The mean of each 20 ms that the caller hears, as time goes on."""
    now = world.loop.time()
    frames = [world.leg.tick(frame(0), now) for _ in range(round(ms / 20))]
    return [round(float(np.frombuffer(each, "<i2").mean())) for each in frames]


async def on_hold(world: CallWorld) -> None:
    await asyncio.sleep(5)
    await world.owner.steered.hold()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_a_file_over_and_over_at_its_volume_and_faded_in(tmp_path: Path) -> None:
    file = constant(tmp_path / "a.wav", LEVEL, 1000)

    async def script(world: CallWorld) -> None:
        await on_hold(world)
        begins = levels(world, 200)
        assert begins[0] < begins[4] < begins[-1]
        for _ in range(20):  # longer than the file
            await asyncio.sleep(0.1)
            assert levels(world, 100) == [pytest.approx(LEVEL / 2, abs=20)] * 5
        world.leg.end()

    call(script, calls=f"hold_music: {{source: {file}, volume_db: -6.0206, fade_ms: 200}}, ", more="")


def test_the_files_of_a_folder_in_the_order_of_their_names(tmp_path: Path) -> None:
    constant(tmp_path / "b.wav", 2000, 1000)
    constant(tmp_path / "a.WAV", 1000, 1000)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    (tmp_path / "notes.txt").write_text("not music")

    async def script(world: CallWorld) -> None:
        await on_hold(world)
        found: list[int] = []
        for _ in range(40):
            found += levels(world, 60)
            await asyncio.sleep(0.02)
        order_heard = [value for value, before in zip(found, [0, *found], strict=False) if value and value != before]
        assert order_heard[:4] == [1000, 2000, 1000, 2000]
        world.leg.end()

    call(script, calls=f"hold_music: {{source: {tmp_path}}}, ")


@pytest.mark.parametrize("name", ["missing.wav", "empty"])
def test_music_that_cannot_be_read_is_tones(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    async def script(world: CallWorld) -> None:
        await on_hold(world)
        assert heard(world, 200)
        world.leg.end()

    call(script, calls=f"hold_music: {{source: {tmp_path / name}}}, ")


def test_now_and_then_the_agent_has_a_word_for_who_waits(tmp_path: Path) -> None:
    file = constant(tmp_path / "a.wav", 1000, 1000)
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, replace(order(Warm(detect=False)), ring_s=100))
        leg = await target(dialler)
        leg.ringing()
        before = heard(world, 100)
        assert before == {frame(1000)}
        await asyncio.sleep(10.3)
        words = heard(world, 100)
        assert words
        assert not words & {frame(1000)}, "the music gives way"
        await asyncio.sleep(8)
        assert heard(world, 100) == {frame(1000)}
        await leg.answer(dialler.audio[0])
        await asyncio.sleep(12)
        world.leg.end()

    world = call(script, dialler=dialler, calls=f"hold_music: {{source: {file}, words_every_s: 10}}, ")
    waiting = [event["text"] for event in world.events if event["type"] == "told_waiting_caller"]
    assert waiting == ["Thank you for waiting. I'm still trying to reach somebody for you."], (
        "none once they are joined"
    )
    assert told(world)[-1] == "transferred"
    nothing_is_left(world, dialler)
