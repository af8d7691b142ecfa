"""The end of a call that its job or its call worker could not end. Virtual time."""

from __future__ import annotations

import asyncio

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.livekit.room_endings import LIMIT_S, TRY_EVERY_S, end_room
from telephony.livekit.errors import LiveKitError, LiveKitRefused, LiveKitTimeout, LiveKitUnreachable, NotInRoom


class Rooms:
    """LiveKit's API. `errors`: what the next questions raise."""

    def __init__(self, *errors: LiveKitError, people: bool = False) -> None:
        self.errors = list(errors)
        self.people = people
        self.deleted: list[str] = []
        self.asked_at: list[float] = []

    async def has_people(self, room: str) -> bool:
        self.asked_at.append(asyncio.get_running_loop().time())
        self._fail()
        return self.people

    async def delete_room(self, room: str) -> None:
        self._fail()
        self.deleted.append(room)

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


def test_it_is_ended_as_soon_as_the_server_answers() -> None:
    async def scenario() -> None:
        rooms = Rooms(LiveKitTimeout("hangs"), LiveKitUnreachable("away"), LiveKitError("unknown: i/o timeout"))
        await end_room(rooms, "call-1")
        assert rooms.deleted == ["call-1"]
        assert rooms.asked_at[-1] - rooms.asked_at[0] == pytest.approx(3 * TRY_EVERY_S)

    run_virtual(scenario())


def test_people_are_not_put_out() -> None:
    async def scenario() -> None:
        rooms = Rooms(LiveKitTimeout("hangs"), people=True)
        await end_room(rooms, "call-1")
        assert rooms.deleted == [] and len(rooms.asked_at) == 2

    run_virtual(scenario())


def test_a_room_that_has_gone_is_not_asked_for_again() -> None:
    async def scenario() -> None:
        rooms = Rooms(NotInRoom("no such room"))
        await end_room(rooms, "call-1")
        assert rooms.deleted == [] and len(rooms.asked_at) == 1

    run_virtual(scenario())


def test_keys_that_are_refused_are_not_tried_again() -> None:
    async def scenario() -> None:
        rooms = Rooms(LiveKitRefused("wrong keys"))
        await end_room(rooms, "call-1")
        assert rooms.deleted == [] and len(rooms.asked_at) == 1

    run_virtual(scenario())


def test_a_server_that_stays_away_is_given_up() -> None:
    async def scenario() -> None:
        rooms = Rooms(*[LiveKitUnreachable("away")] * 1000)
        await end_room(rooms, "call-1")
        assert rooms.asked_at[-1] - rooms.asked_at[0] == pytest.approx(LIMIT_S, abs=2 * TRY_EVERY_S)

    run_virtual(scenario())
