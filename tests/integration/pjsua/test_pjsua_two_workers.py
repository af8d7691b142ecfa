"""A call whose legs live in two worker processes: the customer in one, a second leg dialled in the other."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from pjsua_bench import rtp_range

from telephony.edge import Dial, Edge, EdgeSettings, Forward, InviteInfo, Trunk, WorkerAddress
from telephony.edge.fakes import FakeAdmitter
from telephony.media.frames import FRAME_BYTES
from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis, onset_after

WORKER = Path(__file__).with_name("joining_worker.py")
MOUTH_TO_EAR_MS = 130


class Worker:
    """A worker process, and what it has told."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._told.put_nowait(json.loads(line))

    async def told(self, **what: Any) -> dict[str, Any]:
        """The next that it tells with these values, or with a value of any kind for None."""
        async with asyncio.timeout(10):
            while True:
                said = await self._told.get()
                if all(key in said and value in (None, said[key]) for key, value in what.items()):
                    return said

    def order(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        await self._reading


@dataclass
class Joined:
    edge: Edge
    with_room: Worker
    with_leg: Worker
    customer: PhoneCall
    human: PhoneCall

    async def lose(self, worker: Worker) -> None:
        """As the gateway does when a worker has died."""
        await worker.kill()
        self.edge.end_worker_legs(worker.name)


@asynccontextmanager
async def worker(name: str, folder: Path) -> AsyncIterator[Worker]:
    low, high = rtp_range()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(low), str(high), str(folder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    made = Worker(name, process)
    try:
        yield made
    finally:
        await made.kill()


@pytest.fixture
async def joined(tmp_path: Path) -> AsyncIterator[Joined]:
    """A customer and a human in one room, each at a worker of its own."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(worker("first", tmp_path))
        second = await stack.enter_async_context(worker("second", tmp_path))
        places: dict[str, WorkerAddress] = {}

        def decide(invite: InviteInfo) -> Forward:
            return Forward(places["first"], "call-1", {"X-Trunkline-Leg": "call-1"})

        edge = Edge(EdgeSettings(("udp://127.0.0.1:0",), (Trunk("carrier", ("127.0.0.0/8",)),)), FakeAdmitter(decide))
        await edge.start()
        stack.push_async_callback(edge.close)
        for each in (first, second):
            places[each.name] = edge.add_worker(each.name, "127.0.0.1", (await each.told(sip_port=None))["sip_port"])
        caller, called = [await stack.enter_async_context(Phone()) for _ in range(2)]
        customer = await caller.call(f"sip:+15550199@127.0.0.1:{edge.addresses[0].port}")
        await first.told(event="LegAnswered")
        first.order(offer="human")
        ticket = await first.told(path=None)
        host, port = called.address
        edge.allow_dial(Dial("leg-2", places["second"], "carrier", called.uri, "sip:us@127.0.0.1", host, port))
        second.order(dial="leg-2", edge=edge.worker_address, **ticket)
        human = await called.incoming()
        await human.ring()
        await first.told(told={"leg": "human", "event": "LegRinging"})
        await human.answer()
        await first.told(told={"leg": "human", "event": "LegAnswered"})
        await second.told(event="FirstMedia")
        await asyncio.sleep(0.3)
        yield Joined(edge, first, second, customer, human)


def strength(pcm: bytes, hertz: float) -> float:
    """How much of the sound is this tone, 0 to 1."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / 8000)
    power = float(np.sum(samples**2))
    return float(2 * abs(np.dot(samples, wave)) ** 2 / len(samples) / power) if power else 0.0


async def heard(speaker: PhoneCall, listener: PhoneCall, hertz: float) -> float:
    """Milliseconds from mouth to ear of a tone, which is what comes and nothing else."""
    said = speaker.play(tone(hertz, 400))
    await said.done
    await asyncio.sleep(0.3)
    assert said.first_sent_at is not None
    onset = onset_after(listener.received, said.first_sent_at)
    assert onset is not None
    pcm = on_time_axis(listener.received, onset + 0.02, onset + 0.38)
    frames = [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm), FRAME_BYTES)]
    assert median(strength(frame, hertz) for frame in frames) > 0.95
    return (onset - said.first_sent_at) * 1000


async def test_both_hear_each_other_at_once(joined: Joined) -> None:
    there, back = [], []
    for _ in range(4):
        there.append(await heard(joined.customer, joined.human, 440))
        back.append(await heard(joined.human, joined.customer, 660))
    print(f"mouth to ear: {median(there):.0f} ms there, {median(back):.0f} ms back")
    assert max(median(there), median(back)) <= MOUTH_TO_EAR_MS


async def test_a_lost_worker_with_the_second_leg_costs_the_customer_nothing(joined: Joined) -> None:
    await joined.lose(joined.with_leg)
    assert (await joined.human.wait_bye()).by == "peer"
    await joined.with_room.told(gone="human")
    await asyncio.sleep(0.5)
    assert not joined.customer.ended.done()
    count = len(joined.customer.received)
    await asyncio.sleep(0.5)
    assert len(joined.customer.received) - count > 15  # its worker speaks to it still
    await joined.customer.hang_up()
    await joined.with_room.told(leg="customer", event="LegEnded")


async def test_a_lost_worker_with_the_room_leaves_the_second_leg_to_who_decides(joined: Joined) -> None:
    await joined.lose(joined.with_room)
    assert (await joined.customer.wait_bye()).by == "peer"
    await joined.with_leg.told(gone="room")
    await asyncio.sleep(0.5)
    assert not joined.human.ended.done()
    joined.with_leg.order(hang_up="the call has ended")
    assert (await joined.human.wait_bye()).by == "peer"
    await joined.with_leg.told(leg="human", event="LegEnded")


async def test_the_second_leg_hangs_up_and_the_customer_stays(joined: Joined) -> None:
    await joined.human.hang_up()
    await joined.with_room.told(told={"leg": "human", "event": "LegEnded"})
    assert not joined.customer.ended.done()
    await joined.customer.hang_up()
