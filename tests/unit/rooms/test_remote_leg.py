"""A leg in another process, as its call sees it: events in, verbs out, and the end of either."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from telephony.call import (
    CallInfo,
    DigitSource,
    Direction,
    FirstMedia,
    LegAcknowledged,
    LegAnswered,
    LegDigit,
    LegEnded,
    LegEvent,
    LegHeld,
    LegResumed,
    LegRinging,
)
from telephony.errors import LegEndedError, TelephonyMisuse
from telephony.fakes import FakeLeg, statistics
from telephony.rooms.fakes import FakeLegAudio
from telephony.rooms.remote import RemoteLink, RemotePlaces, take_place
from telephony.rooms.remote_leg import RemoteLeg, event_message, obey

INFO = CallInfo("c", Direction.OUTBOUND, "+15557001", None, "local")
EVENTS: tuple[LegEvent, ...] = (
    LegRinging(1.0, 183, True),
    LegAnswered(2.0),
    LegAcknowledged(2.0),
    FirstMedia(2.5),
    LegDigit("5", 3.0, DigitSource.INFO, 160),
    LegHeld(4.0),
    LegResumed(5.0),
    LegEnded(6.0, True, 200, "bye", statistics(packets_received=7)),
)


async def test_events_arrive_as_they_happened() -> None:
    leg = RemoteLeg()
    for event in EVENTS:
        leg.take(json.loads(json.dumps(event_message(event))))
    leg.take(event_message(LegHeld(7.0)))
    assert [event async for event in leg.events()] == list(EVENTS), "and nothing after the end"


async def test_a_link_that_ends_first_is_a_lost_leg() -> None:
    leg = RemoteLeg()
    leg.take(event_message(LegAnswered(2.0)))
    leg.lost()
    leg.lost()
    *_, ended = [event async for event in leg.events()]
    assert isinstance(ended, LegEnded)
    assert (ended.lost, ended.by_peer) == (True, False)
    with pytest.raises(LegEndedError):
        await leg.send_digits("1")
    await leg.hang_up("again")


@pytest.fixture
async def joined(tmp_path: Path) -> Any:
    """The call's side and the leg's, over real sockets; the leg itself is a fake."""
    places = RemotePlaces(tmp_path)
    await places.open()
    leg = RemoteLeg()
    leg.adopt(INFO)
    ticket, link, taken = places.offer(FakeLegAudio(), leg.take, leg.lost)
    leg.use(link)
    real = FakeLeg(INFO, now=asyncio.get_running_loop().time)
    tasks: list[asyncio.Task[None]] = []

    def told(message: Mapping[str, Any]) -> None:
        tasks.append(asyncio.ensure_future(obey(message, real, real.hang_up)))

    _, far = await take_place(ticket, told, lambda: None)
    await taken
    yield leg, real, far
    far.close()
    await places.close()


async def _pass_on(real: FakeLeg, far: RemoteLink) -> None:
    async for event in real.events():
        far.send(event_message(event))


async def test_verbs_reach_the_leg_and_its_end_comes_back(joined: tuple[RemoteLeg, FakeLeg, RemoteLink]) -> None:
    leg, real, far = joined
    passing = asyncio.create_task(_pass_on(real, far))
    await leg.send_digits("12", duration_ms=100, gap_ms=50)
    async with asyncio.timeout(3):
        await leg.hang_up("enough")
        *_, ended = [event async for event in leg.events()]
    await passing
    assert real.verbs == [("send_digits", "12"), ("hang_up", "enough")]
    assert isinstance(ended, LegEnded)
    assert not ended.lost


async def test_a_worker_that_dies_is_noticed_at_once(joined: tuple[RemoteLeg, FakeLeg, RemoteLink]) -> None:
    leg, _, far = joined
    far.close()
    async with asyncio.timeout(3):
        *_, ended = [event async for event in leg.events()]
    assert isinstance(ended, LegEnded)
    assert ended.lost


@pytest.mark.parametrize(
    "verb", [lambda leg: leg.ring(), lambda leg: leg.answer(FakeLegAudio()), lambda leg: leg.reject(486)]
)
async def test_a_leg_that_we_dial_is_not_answered_by_us(verb: Callable[[RemoteLeg], Any]) -> None:
    with pytest.raises(TelephonyMisuse):
        await verb(RemoteLeg())


def test_nobody_has_said_what_call_it_is_of() -> None:
    async def ask() -> None:
        with pytest.raises(TelephonyMisuse):
            _ = RemoteLeg().info

    asyncio.run(ask())
