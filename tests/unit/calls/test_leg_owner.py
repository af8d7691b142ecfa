"""One leg and its owner, on virtual time: facts are reported, the end is confirmed, and nothing is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.calls.ends import LegEnd
from gateway.calls.journal import LegJournal
from gateway.calls.leg_owner import LegFact, LegOwner, LegUnfollowed
from gateway.calls.media_watch import MediaLost, MediaWatch
from telephony.call import CallInfo, Direction, LegAcknowledged, LegEnded, LegHeld, LegRole
from telephony.errors import PjsipError
from telephony.fakes import FakeLeg
from telephony.rooms.fakes import FakeLegAudio

IN = CallInfo("c1", Direction.INBOUND, "+15550100", "+15550123", "local")
OUT = CallInfo("c1", Direction.OUTBOUND, "+15550177", "+15550100", "local")


class World:
    def __init__(self, info: CallInfo, watch: MediaWatch | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.leg = FakeLeg(info, now=self.loop.time)
        self.facts: list[LegFact] = []
        journal = LegJournal("c1-1", self.loop.time)
        self.owner = LegOwner(self.leg, LegRole.CUSTOMER, journal, lambda _, fact: self.facts.append(fact), watch)


def leg(script: Callable[[World], Awaitable[None]], info: CallInfo = IN, watch: MediaWatch | None = None) -> World:
    async def run() -> World:
        world = World(info, watch)
        world.owner.follow()
        await script(world)
        await asyncio.sleep(0.01)
        world.owner.close()
        return world

    return run_virtual(run())


def test_digits_wait_for_somebody_and_keep_order_and_times() -> None:
    taken: list[tuple[str, float]] = []

    async def script(world: World) -> None:
        began = world.loop.time()
        world.leg.press("12")
        await asyncio.sleep(0.5)
        world.owner.digits.flow_to(lambda digit, at: taken.append((digit, at - began)))
        world.leg.press("3")

    leg(script)
    assert taken == [("1", 0.0), ("2", 0.0), ("3", pytest.approx(0.5))]


@pytest.mark.parametrize(
    ("info", "answered", "how", "why"),
    [
        (IN, True, "peer", LegEnd.HUNG_UP),
        (IN, False, "peer", LegEnd.HUNG_UP),
        (IN, True, "us", LegEnd.ENDED_BY_US),
        (IN, True, "stack", LegEnd.FAILED),
        (OUT, False, "peer", LegEnd.NOT_ANSWERED),
        (OUT, False, "us", LegEnd.NOT_ANSWERED),
        (OUT, True, "peer", LegEnd.HUNG_UP),
        (OUT, True, "lost", LegEnd.WORKER_LOST),
        (OUT, False, "lost", LegEnd.WORKER_LOST),
    ],
)
def test_why_it_has_ended(info: CallInfo, answered: bool, how: str, why: LegEnd) -> None:
    async def script(world: World) -> None:
        if answered:
            await world.owner.answer(FakeLegAudio())
        await asyncio.sleep(0.1)
        if how == "us":
            await world.owner.end("enough")
        elif how == "lost":
            world.leg.inject(LegEnded(world.loop.time(), False, 0, "worker lost", None, lost=True))
        else:
            world.leg.end(by_peer=how == "peer")

    assert leg(script, info).owner.why is why


def test_what_happens_is_told_and_kept() -> None:
    async def script(world: World) -> None:
        await world.owner.answer(FakeLegAudio())
        world.leg.inject(LegHeld(world.loop.time()))
        world.leg.end()

    world = leg(script)
    kinds = [type(fact) for fact in world.facts]
    assert kinds[1:] == [LegAcknowledged, LegHeld, LegEnded]
    assert (world.owner.held, world.owner.acknowledged.is_set(), world.owner.ended.done()) == (True, True, True)


def test_media_that_never_comes_is_found_and_told_and_nothing_is_ended() -> None:
    async def script(world: World) -> None:
        await world.owner.answer(FakeLegAudio())
        world.owner.watch_media()
        await asyncio.sleep(8)

    world = leg(script, watch=MediaWatch(2.0, 6.0, 5.0))
    assert [type(fact) for fact in world.facts if isinstance(fact, MediaLost)] == [MediaLost]
    assert [kind for _, kind, _ in world.owner.journal.alarms] == ["no_rtp", "no_rtp"]
    assert world.leg.verbs == [("answer",)]


def test_an_end_that_fails_is_tried_again_and_one_that_has_come_is_not() -> None:
    async def script(world: World) -> None:
        await world.owner.answer(FakeLegAudio())
        world.leg.failures["hang_up"] = PjsipError("hang up", 0, "not now")
        await world.owner.end("enough")
        await world.owner.end("once more")

    assert [verb[0] for verb in leg(script).leg.verbs] == ["answer", "hang_up", "hang_up"]


def test_a_refusal_is_for_a_leg_that_came_in_and_was_not_answered() -> None:
    async def refused(world: World) -> None:
        await world.owner.end("", (486, "Busy Here"))

    async def cancelled(world: World) -> None:
        await world.owner.end("not needed any more")

    assert leg(refused).leg.verbs == [("reject", 486, "Busy Here")]
    assert leg(cancelled, OUT).leg.verbs == [("hang_up", "not needed any more")]


def test_a_leg_that_cannot_be_followed_is_told_of() -> None:
    async def script(world: World) -> None:
        async def none(self: object) -> None:
            raise PjsipError("events", 0, "gone")
            yield

        second = World(IN, None)
        second.leg.events = none.__get__(second.leg)  # type: ignore[method-assign]
        second.owner.follow()
        await asyncio.sleep(0.01)
        world.facts += second.facts

    (fact,) = leg(script).facts
    assert isinstance(fact, LegUnfollowed)
    assert isinstance(fact.error, PjsipError)
