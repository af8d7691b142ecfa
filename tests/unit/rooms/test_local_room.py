"""The local room on a clock set by hand: who hears what, when."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from telephony.errors import TelephonyMisuse
from telephony.media.frames import FRAME_BYTES, SILENCE, AudioFrame
from telephony.rooms.fakes import FakeRecorder
from telephony.rooms.local import LocalRoom
from telephony.rooms.protocol import Participant, Room


def frame(value: int) -> bytes:
    return np.full(FRAME_BYTES // 2, value, dtype="<i2").tobytes()


def value_of(pcm: bytes) -> int:
    samples = np.frombuffer(pcm, dtype="<i2")
    assert len(pcm) == FRAME_BYTES
    assert (samples == samples[0]).all()
    return int(samples[0])


def listen(agent: Participant) -> list[AudioFrame]:
    heard: list[AudioFrame] = []
    agent.audio_input.subscribe(heard.append)
    return heard


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def make(recorder: FakeRecorder | None = None) -> LocalRoom:
    return LocalRoom("r", asyncio.get_running_loop(), recorder)


async def test_it_is_a_room() -> None:
    room: Room = make()
    assert room.name == "r"


async def test_two_parties_hear_each_other_without_copy_or_delay() -> None:
    room = make()
    leg, agent = room.add_leg("caller"), room.add_agent("agent")
    heard = listen(agent)
    speech, reply = frame(100), frame(7)
    leg.push(speech, 1.0)
    agent.audio_output.push(reply)
    assert leg.pull(1.0) is reply
    assert leg.pull(1.02) is SILENCE
    await settle()
    assert [(f.at, f.pcm is speech) for f in heard] == [(1.0, True)]


async def test_frames_before_the_subscription_are_kept_for_5_s() -> None:
    room = make()
    leg, agent = room.add_leg("caller"), room.add_agent("agent")
    for index in range(300):
        leg.push(frame(index), index * 0.02)
    heard = listen(agent)
    assert heard == []  # delivered on the loop, not from inside subscribe
    await settle()
    assert [value_of(f.pcm) for f in heard] == list(range(50, 300))


async def test_a_subscriber_that_raises_stops_neither_the_frames_nor_other_subscribers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    room = make()
    leg, agent = room.add_leg("caller"), room.add_agent("agent")
    heard: list[int] = []

    def on_frame(f: AudioFrame) -> None:
        heard.append(value_of(f.pcm))
        if len(heard) == 1:
            raise ValueError("no")

    agent.audio_input.subscribe(on_frame)
    others = listen(agent)
    for index in range(3):
        leg.push(frame(index), 0.0)
    await settle()
    assert heard == [0, 1, 2]
    assert len(others) == 3
    assert caplog.text.count("ValueError: no") == 1


async def test_one_wake_up_a_batch() -> None:
    loop = asyncio.get_running_loop()
    wakes = 0
    real = loop.call_soon_threadsafe

    class Counting:
        def call_soon_threadsafe(self, callback: object, *args: object) -> object:
            nonlocal wakes
            wakes += 1
            return real(callback, *args)  # type: ignore[arg-type]  # a stand-in for the one method a room uses

    room = LocalRoom("r", Counting())  # type: ignore[arg-type]
    leg, agent = room.add_leg("caller"), room.add_agent("agent")
    heard = listen(agent)
    await settle()
    wakes = 0
    for index in range(5):
        leg.push(frame(index), 0.0)
    await settle()
    assert (wakes, len(heard)) == (1, 5)
    agent.audio_output.push(frame(1) * 3)
    leg.pull(0.0)
    assert wakes == 1  # nobody waits for playout, so nobody is woken


async def test_three_legs_hear_everyone_but_themselves() -> None:
    room = make()
    legs = [room.add_leg(name) for name in "abc"]
    agent = room.add_agent("agent")
    heard = listen(agent)
    for index, leg in enumerate(reversed(legs)):  # the clock's push comes last: agents hear then
        leg.push(frame(10 ** (2 - index)), 0.5)
    agent.audio_output.push(frame(1000))
    assert value_of(legs[0].pull(0.5)) == 1000 + 10 + 100
    assert value_of(legs[1].pull(0.5)) == 1000 + 1 + 100
    assert value_of(legs[2].pull(0.5)) == 1000 + 1 + 10
    await settle()
    assert [value_of(f.pcm) for f in heard] == [111]


async def test_the_sum_saturates() -> None:
    room = make()
    legs = [room.add_leg(name) for name in "abc"]
    legs[1].push(frame(30000), 0.0)
    legs[2].push(frame(30000), 0.0)
    assert value_of(legs[0].pull(0.0)) == 32767
    legs[1].push(frame(-30000), 0.0)
    legs[2].push(frame(-30000), 0.0)
    assert value_of(legs[0].pull(0.02)) == -32768


async def test_two_agents_hear_each_other_and_the_leg() -> None:
    room = make()
    leg = room.add_leg("caller")
    one, two = room.add_agent("one"), room.add_agent("two")
    heard_one, heard_two = listen(one), listen(two)
    one.audio_output.push(frame(1))
    two.audio_output.push(frame(2))
    assert value_of(leg.pull(0.0)) == 3
    leg.push(frame(10), 0.0)
    await settle()
    assert [value_of(f.pcm) for f in heard_one] == [12]
    assert [value_of(f.pcm) for f in heard_two] == [11]


async def test_other_legs_frames_are_capped_and_the_oldest_dropped() -> None:
    room = make()
    clock, other = room.add_leg("a"), room.add_leg("b")
    for value in range(1, 6):
        other.push(frame(value), 0.0)
    assert [value_of(clock.pull(0.02 * i)) for i in range(4)] == [3, 4, 5, 0]


async def test_standing_delay_between_legs_is_worked_off() -> None:
    room = make()
    clock, other = room.add_leg("a"), room.add_leg("b")
    for value in range(1, 4):
        other.push(frame(value), 0.0)
    lag = 0
    for value in range(4, 200):
        lag = value - 1 - value_of(clock.pull(0.02 * value))
        other.push(frame(value), 0.0)
    assert lag == 0


async def test_agents_hear_the_others_when_the_clock_leg_sends_nothing() -> None:
    room = make()
    clock, other = room.add_leg("a"), room.add_leg("b")
    heard = listen(room.add_agent("agent"))
    for index in range(200):
        other.push(frame(index + 1), 0.0)
        clock.pull(0.02 * index)
    await settle()
    assert [value_of(f.pcm) for f in heard][-3:] == [198, 199, 200]


async def test_the_clock_passes_on_when_its_leg_leaves() -> None:
    recorder = FakeRecorder()
    room = make(recorder)
    first, second = room.add_leg("a"), room.add_leg("b")
    agent = room.add_agent("agent")
    heard = listen(agent)
    first.pull(0.0)
    second.pull(0.0)
    room.remove("a")
    agent.audio_output.push(frame(5))
    second.push(frame(9), 0.04)
    assert value_of(second.pull(0.04)) == 5
    assert first.pull(0.04) is SILENCE
    first.push(frame(99), 0.04)
    await settle()
    assert [value_of(f.pcm) for f in heard] == [9]
    assert value_of(bytes(recorder.caller[-FRAME_BYTES:])) == 0
    assert value_of(bytes(recorder.others[-FRAME_BYTES:])) == 14  # after the caller has left, all who stay


async def test_a_leg_that_stops_pulling_loses_the_clock() -> None:
    room = make()
    held, other = room.add_leg("a"), room.add_leg("b")
    agent = room.add_agent("agent")
    held.pull(0.0)
    agent.audio_output.push(frame(5) * 2)
    assert value_of(other.pull(0.02)) == 0  # its own share of the tick at 0.0 comes from a queue, and was silence
    assert value_of(other.pull(0.2)) == 5
    held.pull(0.22)  # back from hold: hears its share, is no clock any more
    assert value_of(other.pull(0.22)) == 5


async def test_the_recording_has_the_caller_left_and_what_it_heard_right() -> None:
    recorder = FakeRecorder()
    room = make(recorder)
    leg, agent = room.add_leg("caller"), room.add_agent("agent")
    agent.audio_output.push(frame(5))
    leg.push(frame(1), 0.0)
    leg.pull(0.0)
    leg.pull(0.02)
    other = room.add_leg("human")
    other.push(frame(3), 0.04)
    leg.push(frame(2), 0.04)
    leg.pull(0.04)
    rows = [
        (value_of(bytes(recorder.caller[i : i + FRAME_BYTES])), value_of(bytes(recorder.others[i : i + FRAME_BYTES])))
        for i in range(0, len(recorder.caller), FRAME_BYTES)
    ]
    assert rows == [(1, 5), (0, 0), (2, 3)]


async def test_the_recording_goes_on_through_a_hold() -> None:
    recorder = FakeRecorder()
    room = make(recorder)
    leg = room.add_leg("caller")
    leg.push(frame(1), 10.0)
    leg.pull(10.0)
    leg.push(frame(2), 15.0)
    leg.pull(15.0)
    leg.push(frame(3), 15.4)  # a late burst is no gap: the missing pulls still come
    leg.pull(15.4)
    assert len(recorder.caller) == len(recorder.others) == (5 * 50 + 2) * FRAME_BYTES
    assert value_of(bytes(recorder.caller[250 * FRAME_BYTES : 251 * FRAME_BYTES])) == 2


async def test_leaving_releases_whoever_waits_for_playout() -> None:
    room = make()
    room.add_leg("caller")
    agent = room.add_agent("agent")
    agent.audio_output.push(frame(5))
    waiting = asyncio.create_task(agent.audio_output.wait_played(20))
    draining = asyncio.create_task(agent.audio_output.drained())
    await settle()
    room.remove("caller")
    assert await waiting is None
    await draining
    agent.audio_output.push(frame(5))  # nobody can hear it
    await agent.audio_output.drained()
    again = room.add_leg("caller-again")
    agent.audio_output.push(frame(6))
    assert value_of(again.pull(1.0)) == 6
    await room.close()
    await room.close()
    room.remove("caller")


async def test_joining_a_closed_room_or_twice_is_misuse() -> None:
    room = make()
    room.add_leg("a")
    with pytest.raises(TelephonyMisuse, match="a is already"):
        room.add_agent("a")
    agent = room.add_agent("agent")
    agent.leave()
    room.add_agent("agent")
    await room.close()
    with pytest.raises(TelephonyMisuse, match="closed"):
        room.add_leg("b")


async def test_media_threads_and_the_loop_together_lose_nothing() -> None:
    room = make()
    leg, agent = room.add_leg("caller"), room.add_agent("agent")
    heard = listen(agent)
    pulled: list[int] = []

    def media() -> None:
        for index in range(2000):
            leg.push(frame(index), index * 0.02)
            pulled.append(value_of(leg.pull(index * 0.02)))

    thread = threading.Thread(target=media)
    thread.start()
    for value in range(1, 501):
        agent.audio_output.push(frame(value))
        if value % 50 == 0:
            await asyncio.sleep(0)
    while thread.is_alive():
        await asyncio.sleep(0)
    await settle()
    assert [value_of(f.pcm) for f in heard] == list(range(2000))
    spoken = [value for value in pulled if value]
    assert spoken == list(range(1, len(spoken) + 1))
