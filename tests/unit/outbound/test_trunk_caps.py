"""Limits on a trunk's simultaneous calls and calls per second: a batch is paced exactly, and nobody overtakes. On
virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from trunks_made import trunk

from agent.testing.virtual_clock import run_virtual
from agent.warm.asking import Refused
from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls
from gateway.outbound.caps import TrunkCaps, TrunkQueue


class World:
    def __init__(self, slots: int = 100, **caps: dict[str, Any]) -> None:
        self.live = LiveCalls()
        self.dispatcher = Dispatcher(self.live)
        self.dispatcher.add("w1", 7001, slots)
        self.loop = asyncio.get_running_loop()
        trunks = [trunk(name, cap=cap or None) for name, cap in caps.items()]
        self.queue = TrunkQueue(TrunkCaps(trunks, self.live.legs_on), self.live, self.dispatcher, self.loop.time)
        self.began = self.loop.time()
        self.taken: list[tuple[str, str, float]] = []  # call, trunk, seconds since the beginning
        self.refused: list[tuple[str, str, float]] = []

    async def take(self, call: str, *trunks: str) -> None:
        try:
            on, _ = await self.queue.take(call, f"{call}-1", trunks or ("a",))
            self.taken.append((call, on, round(self.loop.time() - self.began, 3)))
        except Refused as refused:
            self.refused.append((call, refused.kind, round(self.loop.time() - self.began, 3)))

    def at(self) -> list[float]:
        return [at for _, _, at in self.taken]


def test_a_batch_of_three_times_the_cap_is_paced_exactly() -> None:
    async def batch() -> None:
        world = World(a={"calls_per_second": 5, "queue_s": 5})
        await asyncio.gather(*(world.take(f"c{n}") for n in range(15)))
        assert world.at() == [round(n / 5, 3) for n in range(15)]
        assert [call for call, _, _ in world.taken] == [f"c{n}" for n in range(15)]
        assert world.refused == []

    run_virtual(batch())


def test_what_waits_for_longer_than_the_queue_is_refused() -> None:
    async def batch() -> None:
        world = World(a={"calls_per_second": 2, "queue_s": 2})
        await asyncio.gather(*(world.take(f"c{n}") for n in range(7)))
        assert world.at() == [0, 0.5, 1, 1.5, 2]
        assert world.refused == [("c5", "trunk_full", 2.0), ("c6", "trunk_full", 2.0)]
        assert world.queue.state("a").refused == 2

    run_virtual(batch())


def test_calls_at_once_wait_for_the_end_of_others() -> None:
    async def batch() -> None:
        world = World(a={"calls": 2, "queue_s": 3})

        async def end(call: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            world.live.withdraw(f"{call}-1")

        calls = [world.take(f"c{n}") for n in range(6)]
        await asyncio.gather(*calls, end("c0", 1.0), end("c1", 2.5), end("c2", 1.25))
        assert world.taken == [
            ("c0", "a", 0), ("c1", "a", 0), ("c2", "a", 1.0), ("c3", "a", 1.25), ("c4", "a", 2.5),
        ]  # fmt: skip
        assert world.refused == [("c5", "trunk_full", 3.0)]

    run_virtual(batch())


def test_without_a_queue_a_full_trunk_refuses_at_once_and_takes_nothing() -> None:
    async def full() -> None:
        world = World(a={"calls": 1, "queue_s": 0})
        await world.take("c0")
        await world.take("c1")
        assert world.refused == [("c1", "trunk_full", 0)]
        assert world.dispatcher.busy == 1

    run_virtual(full())


def test_a_full_trunk_overflows_to_the_next_of_the_route() -> None:
    async def overflow() -> None:
        world = World(a={"calls": 1}, b={"calls": 1}, c={})
        for n in range(4):
            await world.take(f"c{n}", "a", "b", "c")
        assert [on for _, on, _ in world.taken] == ["a", "b", "c", "c"]

    run_virtual(overflow())


def test_calls_that_come_in_count_where_that_is_said() -> None:
    async def both() -> None:
        world = World(a={"calls": 1, "inbound": True, "queue_s": 0}, b={"calls": 1, "queue_s": 0})
        for name in ("a", "b"):
            world.dispatcher.take(f"in-{name}", 0.0)
            world.live.put_on_trunk(f"in-{name}-1", name, placed=False)
        await world.take("c0", "a")
        await world.take("c1", "b")
        assert [kind for _, kind, _ in world.refused] == ["trunk_full"]
        assert [on for _, on, _ in world.taken] == ["b"]
        assert (world.queue.state("a").came_in, world.queue.state("a").placed) == (1, 0)

    run_virtual(both())


def test_a_leg_that_moves_takes_a_place_there_and_frees_its_own() -> None:
    async def move() -> None:
        world = World(a={"calls": 1, "queue_s": 5}, b={"calls": 1})
        await world.take("c0", "a")
        waits = asyncio.ensure_future(world.take("c1", "a"))
        await asyncio.sleep(1)
        assert world.queue.moves("c0-1", "b")
        await waits
        assert world.taken[1] == ("c1", "a", 1.0)
        assert not world.queue.moves("c1-1", "b"), "it is full"

    run_virtual(move())


def test_without_a_slot_nobody_waits() -> None:
    async def none() -> None:
        world = World(slots=1, a={"calls": 5})
        await world.take("c0")
        await world.take("c1")
        assert world.refused == [("c1", "no_slot", 0)]

    run_virtual(none())


@pytest.mark.parametrize("granted", [False, True])
def test_who_asked_and_has_gone_keeps_nothing(granted: bool) -> None:
    async def gone() -> None:
        world = World(a={"calls": 1, "queue_s": 5})
        await world.take("c0")
        waits = asyncio.ensure_future(world.take("c1"))
        await asyncio.sleep(0.1)
        if granted:
            world.live.withdraw("c0-1")
            world.queue._look()
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        assert world.dispatcher.busy == (0 if granted else 1)
        assert world.queue.state("a").waiting == 0

    run_virtual(gone())
