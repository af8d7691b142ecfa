"""Workers are started, watched, replaced and stopped. Their processes are fakes; both ends of the channels are real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from agent.warm.asking import AskLost
from gateway.config import load_settings
from gateway.control import Blocked, Record, Stop
from gateway.fakes import FakeWorkerSource
from gateway.supervisor import Supervisor

SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: local, allow: ["127.0.0.0/8"]}]
dialplans: [demo.yaml]
workers: 2
"""


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.whys: list[str] = []

    def worker_ready(self, name: str, sip_port: int, slots: int) -> None:
        self.told.append(("ready", name, sip_port, slots))

    def worker_lost(self, name: str, why: str) -> None:
        self.whys.append(why)
        self.told.append(("lost", name))

    def worker_record(self, name: str, body: dict[str, Any]) -> None:
        if body.get("bad"):
            raise RuntimeError("cannot be dealt with")
        self.told.append(("record", name, body))

    def worker_heartbeat(self, name: str, calls: set[str], lingering: int, unannounced: Iterable[str]) -> None:
        self.told.append(("beat", name, calls))

    def without_beats(self) -> list[tuple[Any, ...]]:
        return [each for each in self.told if each[0] != "beat"]


class World:
    def __init__(self) -> None:
        self.sources: list[FakeWorkerSource] = [FakeWorkerSource()]
        self.start_failures: list[Exception] = []
        self.started: list[FakeWorkerSource] = []
        self.events = Events()
        self.supervisor = Supervisor(load_settings("s.yaml", SETTINGS), self.events, self._start)

    async def _start(self, settings: object, on_exit: object) -> FakeWorkerSource:
        if self.started and self.start_failures:
            raise self.start_failures.pop(0)
        self.started.append(self.sources.pop(0) if self.sources else FakeWorkerSource())
        return self.started[-1]

    @property
    def source(self) -> FakeWorkerSource:
        return self.started[-1]

    @property
    def live(self) -> list[str]:
        return sorted(self.supervisor.workers)


def play(script: Callable[[World], Awaitable[None]], prepare: Callable[[World], None] = lambda world: None) -> World:
    async def run() -> World:
        world = World()
        prepare(world)
        await world.supervisor.start()
        await asyncio.sleep(0.1)
        await script(world)
        await world.supervisor.stop(Stop(), 4)
        for source in world.started:
            for worker in source.workers:
                worker.die()
        await asyncio.sleep(0.1)
        return world

    return run_virtual(run())


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_all_workers_are_started_with_ports_of_their_own_and_stopped():
    async def script(world: World) -> None:
        assert world.live == ["w1-1", "w2-2"]
        assert world.supervisor.send("w1-1", Stop()) is True
        assert world.supervisor.send("w9-9", Stop()) is False

    world = play(script)
    first, second = world.source.workers[:2]
    assert first.rtp[1] < second.rtp[0]
    assert ("ready", "w1-1", 7001, 4) in world.events.told
    assert world.source.closed == 1
    assert world.live == []


def test_a_stop_replaces_nobody():
    async def script(world: World) -> None:
        await wait(3)

    world = play(script)
    assert len(world.source.workers) == 2
    assert [each for each in world.events.without_beats() if each[0] == "lost"] == [("lost", "w1-1"), ("lost", "w2-2")]
    assert world.supervisor.restarts == 0


def test_a_worker_that_does_not_stop_is_killed_after_the_limit():
    async def script(world: World) -> None:
        world.source.workers[0].stops = False

    world = play(script)
    assert world.source.workers[0].killed >= 1


def test_a_lost_worker_is_told_once_and_replaced_at_once():
    async def script(world: World) -> None:
        await wait(20)
        world.source.workers[0].die()
        await wait(0.2)
        assert world.live == ["w1-3", "w2-2"]

    world = play(script)
    assert world.events.told.count(("lost", "w1-1")) == 1
    assert world.source.workers[2].rtp == world.source.workers[0].rtp
    assert world.supervisor.restarts == 1


def test_a_worker_that_stops_answering_is_killed_and_replaced_after_five_seconds():
    async def script(world: World) -> None:
        await wait(20)
        world.source.workers[0].beating = False
        await wait(4.5)
        assert world.source.workers[0].killed == 0
        await wait(2.5)
        assert world.source.workers[0].killed >= 1
        assert world.live == ["w1-3", "w2-2"]
        assert world.source.workers[1].killed == 0

    play(script)


def test_a_worker_whose_loop_is_blocked_is_named_and_lives_as_long_as_it_says_so():
    async def script(world: World) -> None:
        await wait(20)
        blocked = world.source.workers[0]
        blocked.beating = False
        for n in range(24):
            await wait(0.5)
            assert blocked.channel is not None
            blocked.channel.send_past_the_loop(Blocked("tool look", 500.0 * n))
        assert blocked.killed == 0
        assert world.supervisor.workers["w1-1"].loop_lag_ms >= 11_000.0
        await wait(6.5)
        assert blocked.killed >= 1
        assert world.events.whys == ["the worker's process ended: tool look blocked its event loop"]

    play(script)


def test_a_worker_that_never_gets_ready_is_killed_and_was_never_there():
    async def script(world: World) -> None:
        await wait(19)
        assert world.source.workers[0].killed == 0
        await wait(3)
        assert world.source.workers[0].killed >= 1
        assert world.live == ["w1-3", "w2-2"]

    def prepare(world: World) -> None:
        world.sources[0].stillborn = 1

    world = play(script, prepare)
    assert ("lost", "w1-1") not in world.events.told


def test_workers_that_die_young_are_replaced_more_and_more_slowly():
    async def script(world: World) -> None:
        for _ in range(60):
            await wait(0.5)
            newest = [worker for worker in world.source.workers if worker.name.startswith("w1")][-1]
            newest.die()

    world = play(script)
    times = [at for at, w in zip(world.source.forked_at, world.source.workers, strict=True) if w.name.startswith("w1")]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] < 1
    assert gaps == sorted(gaps)
    assert 6 < gaps[-1] <= 11


def test_forks_that_fail_are_tried_again_and_again():
    async def script(world: World) -> None:
        await wait(40)
        assert len(world.live) == 2

    def prepare(world: World) -> None:
        world.sources[0].failures = [OSError("no memory"), TimeoutError(), ConnectionResetError("gone")]

    world = play(script, prepare)
    assert len(world.source.workers) == 2


def test_a_worker_that_dies_as_it_is_forked_is_killed_and_replaced_once():
    async def script(world: World) -> None:
        await wait(5)
        assert len(world.live) == 2

    def prepare(world: World) -> None:
        world.sources[0].die_at_once = 1

    world = play(script, prepare)
    assert len(world.source.workers) == 3
    assert world.source.workers[0].killed == 1


def test_when_the_warm_parent_dies_its_workers_live_on_and_a_new_one_forks_their_successors():
    async def script(world: World) -> None:
        await wait(20)
        world.source.dead = True
        world.start_failures = [OSError("no memory"), TimeoutError()]
        assert len(world.live) == 2
        world.source.workers[0].die()
        await wait(5)
        assert len(world.live) == 1
        await wait(20)
        assert world.live == ["w1-3", "w2-2"]
        assert (world.started[0].closed, len(world.source.workers)) == (1, 1)

    play(script)


def test_a_message_that_cannot_be_dealt_with_does_not_cost_the_worker():
    async def script(world: World) -> None:
        channel = world.source.workers[0].channel
        channel.send(Record({"bad": True}))
        channel.send(Record({"message": "call_closed"}))
        await wait(0.1)
        assert ("record", "w1-1", {"message": "call_closed"}) in world.events.told
        assert world.live == ["w1-1", "w2-2"]

    play(script)


def test_heartbeats_say_which_calls_a_worker_holds():
    async def script(world: World) -> None:
        await wait(2)

    world = play(script)
    assert ("beat", "w1-1", {"c1"}) in world.events.told


def test_workers_ask_and_are_asked_those_forked_later_too():
    async def who(worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"worker": worker, "asked": body["what"]}

    async def script(world: World) -> None:
        world.supervisor.serve("who", who)
        first = world.source.workers[0]
        assert first.channel is not None
        assert await first.channel.asking.ask("who", {"what": 1}, timeout_s=1) == {"worker": "w1-1", "asked": 1}
        first.die()
        await wait(1)
        replaced = world.source.workers[2]
        assert replaced.channel is not None
        assert (await replaced.channel.asking.ask("who", {"what": 2}, timeout_s=1))["worker"] == replaced.name

        async def slots(body: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"free": 3}

        replaced.channel.asking.serve("slots", slots)
        assert await world.supervisor.ask(replaced.name, "slots", {}, timeout_s=1) == {"free": 3}
        with pytest.raises(AskLost, match="no such worker w1-1"):
            await world.supervisor.ask("w1-1", "slots", {}, timeout_s=1)

    play(script)


def test_a_worker_that_dies_amid_a_question_is_told_as_lost():
    async def never(body: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(1000)
        return {}

    async def script(world: World) -> None:
        worker = world.source.workers[0]
        assert worker.channel is not None
        worker.channel.asking.serve("slots", never)
        asked = asyncio.create_task(world.supervisor.ask("w1-1", "slots", {}, timeout_s=100))
        await wait(0.1)
        worker.die()
        with pytest.raises(AskLost):
            await asked

    play(script)
