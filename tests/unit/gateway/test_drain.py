"""A gateway told to stop lets its calls end, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.control import Drain
from gateway.drain import CallsEnding
from gateway.fakes import FakeWorkers
from telephony.edge import RefusedInvite
from tests.unit.gateway.test_reconciler import INVITE, World, info_of


class Stopping(World):
    """`ended_at`: seconds from the beginning to the end of the drain."""

    def __init__(self, recordings: Path) -> None:
        super().__init__(recordings)
        began = asyncio.get_running_loop().time()
        self.workers = FakeWorkers(lambda: round(asyncio.get_running_loop().time() - began, 3))
        self.calls.connect(self.edge, self.workers, info_of)
        self.ending = CallsEnding(self.live, self.workers.broadcast)
        self.flow.listeners.append(self.ending.observe)
        self.stop_now = asyncio.Event()
        self.ended_at = -1.0

    async def drain(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.ending.run(20.0, self.stop_now)
        self.ended_at = round(loop.time() - began, 3)


def play(tmp_path: Path, script: Callable[[Stopping], Awaitable[None]]) -> Stopping:
    async def run() -> Stopping:
        world = Stopping(tmp_path)
        await script(world)
        return world

    return run_virtual(run())


def test_without_calls_a_drain_is_over_at_once(tmp_path: Path) -> None:
    world = play(tmp_path, Stopping.drain)
    assert (world.ended_at, world.workers.broadcasts) == (0, [])


@pytest.mark.parametrize("how", ["closed", "worker lost", "orphan", "refused"])
def test_a_drain_waits_for_the_last_call_whatever_becomes_of_it(tmp_path: Path, how: str) -> None:
    async def script(world: Stopping) -> None:
        world.take("a", "b")
        draining = asyncio.create_task(world.drain())
        await asyncio.sleep(1)
        world.close("b")
        await asyncio.sleep(11)
        assert not draining.done()
        if how == "closed":
            world.close("a")
        elif how == "worker lost":
            world.calls.worker_lost("w1")
        elif how == "orphan":
            world.calls.worker_heartbeat("w1", set())
        else:
            world.calls.refused(RefusedInvite(INVITE, 500, "", "", "error", 1.0, "a-1"))
        await draining

    world = play(tmp_path, script)
    assert (world.ended_at, world.workers.broadcasts) == (12, [])


def test_calls_that_outlive_the_drain_get_a_goodbye(tmp_path: Path) -> None:
    async def script(world: Stopping) -> None:
        world.take("a", "b")
        draining = asyncio.create_task(world.drain())
        await asyncio.sleep(25)
        world.close("b")
        await draining

    world = play(tmp_path, script)
    assert world.workers.broadcasts == [(20.0, Drain("the gateway is shutting down"))]
    assert world.ended_at == 35


def test_a_second_request_to_stop_waits_for_nobody(tmp_path: Path) -> None:
    async def script(world: Stopping) -> None:
        world.take("a")
        draining = asyncio.create_task(world.drain())
        await asyncio.sleep(3)
        world.stop_now.set()
        await draining

    world = play(tmp_path, script)
    assert (world.ended_at, world.workers.broadcasts) == (3, [])
