"""A leg of another process in a room: frames and messages both ways, tickets, and ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from telephony.media.frames import FRAME_BYTES, SILENCE
from telephony.rooms import remote
from telephony.rooms.local import LocalRoom
from telephony.rooms.remote import PlaceLost, RemotePlaces, Ticket, take_place


def frame(value: int) -> bytes:
    return np.full(FRAME_BYTES // 2, value, dtype="<i2").tobytes()


@pytest.fixture
async def places(tmp_path: Path) -> AsyncIterator[RemotePlaces]:
    places = RemotePlaces(tmp_path)
    await places.open()
    yield places
    await places.close()
    assert list(tmp_path.iterdir()) == []


class Told:
    """What one side of a link receives."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.gone = 0

    def note_gone(self) -> None:
        self.gone += 1


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_leg_elsewhere_and_the_callers_hear_each_other(places: RemotePlaces) -> None:
    room = LocalRoom("r", asyncio.get_running_loop())
    caller = room.add_leg("caller")
    ticket, link, taken = places.offer(room.add_leg("human"), lambda message: None, lambda: None)
    audio, far_link = await take_place(ticket, lambda message: None, lambda: None)
    await taken
    heard, said_back = 0, 0
    for _ in range(50):
        audio.push(frame(7), time.monotonic())
        await asyncio.sleep(0.002)
        caller.push(frame(100), time.monotonic())
        heard = max(heard, int(np.frombuffer(caller.pull(time.monotonic()), "<i2")[0]))
        said_back = max(said_back, int(np.frombuffer(audio.pull(time.monotonic()), "<i2")[0]))
    assert (heard, said_back) == (7, 100)
    far_link.close()
    link.close()
    await room.close()


async def test_messages_go_both_ways_in_order_before_any_audio(places: RemotePlaces) -> None:
    here, there = Told(), Told()
    room = LocalRoom("r", asyncio.get_running_loop())
    ticket, link, taken = places.offer(room.add_leg("human"), here.messages.append, here.note_gone)
    _, far_link = await take_place(ticket, there.messages.append, there.note_gone)
    await taken
    for number in range(20):
        far_link.send({"event": number})
        link.send({"verb": number})
    await until(lambda: len(here.messages) == len(there.messages) == 20)
    assert [message["event"] for message in here.messages] == list(range(20))
    assert [message["verb"] for message in there.messages] == list(range(20))
    far_link.close()
    await until(lambda: here.gone)
    assert (here.gone, there.gone) == (1, 0)  # who closes is not told


async def test_a_handler_that_raises_costs_one_message(places: RemotePlaces, caplog: pytest.LogCaptureFixture) -> None:
    here: list[Any] = []

    def on_message(message: Mapping[str, Any]) -> None:
        if message["n"] == 1:
            raise ValueError("no")
        here.append(message["n"])

    room = LocalRoom("r", asyncio.get_running_loop())
    ticket, _, taken = places.offer(room.add_leg("human"), on_message, lambda: None)
    _, far_link = await take_place(ticket, lambda message: None, lambda: None)
    await taken
    for number in range(3):
        far_link.send({"n": number})
    await until(lambda: here == [0, 2])
    assert "handling a message from a remote leg failed" in caplog.text
    far_link.close()


async def test_a_place_is_taken_once_and_only_with_its_ticket(places: RemotePlaces) -> None:
    room = LocalRoom("r", asyncio.get_running_loop())
    ticket, link, taken = places.offer(room.add_leg("human"), lambda message: None, lambda: None)
    with pytest.raises(PlaceLost):
        await take_place(Ticket(ticket.path, "0" * 48), lambda message: None, lambda: None)
    _, far_link = await take_place(ticket, lambda message: None, lambda: None)
    await taken
    with pytest.raises(PlaceLost, match="taken"):
        await take_place(ticket, lambda message: None, lambda: None)
    with pytest.raises(PlaceLost):
        await take_place(Ticket(ticket.path + "x", ticket.token), lambda message: None, lambda: None)
    far_link.close()
    link.close()


async def test_an_offer_that_nobody_takes_ends(places: RemotePlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "OFFER_LIMIT_S", 0.05)
    room = LocalRoom("r", asyncio.get_running_loop())
    ticket, _, taken = places.offer(room.add_leg("human"), lambda message: None, lambda: None)
    with pytest.raises(PlaceLost, match="no process took"):
        await taken
    with pytest.raises(PlaceLost):
        await take_place(ticket, lambda message: None, lambda: None)


async def test_the_end_of_the_rooms_process_is_told_to_the_leg_and_leaves_silence(tmp_path: Path) -> None:
    places, there = RemotePlaces(tmp_path), Told()
    await places.open()
    room = LocalRoom("r", asyncio.get_running_loop())
    ticket, link, taken = places.offer(room.add_leg("human"), lambda message: None, lambda: None)
    audio, far_link = await take_place(ticket, there.messages.append, there.note_gone)
    await taken
    link.close()
    await places.close()
    await until(lambda: there.gone)
    audio.push(frame(1), 0.0)
    assert audio.pull(0.0) == SILENCE
    assert there.gone == 1
    far_link.close()
