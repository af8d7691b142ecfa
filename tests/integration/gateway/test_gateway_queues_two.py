"""Two gateways on one PostgreSQL share a queue: 20 callers, 4 members over SIP, and one gateway is killed amid it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, free_rtp_range, until
from test_gateway_further_legs import CUSTOMER_HZ, trunks
from test_gateway_postgresql import server, store
from test_gateway_transfers import StartGateway
from test_gateway_warm_transfers import BENCH, DESK

from telephony.media.tones import tone
from telephony.phone import CallFailed, Phone, PhoneCall

__all__ = ["server", "store"]

EACH, MEMBERS = 10, 4  # callers of each gateway
TALKS_BEFORE_THE_KILL = 6
TALK_S = 2.0
LEASE_S = 15.0


class Member:
    """Answers whoever comes and talks, one at a time; counts who else rings meanwhile."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.answered = 0
        self.rung_while_busy = 0
        self._talking: PhoneCall | None = None

    async def work(self) -> None:
        while True:
            call = await self.phone.incoming()
            self.rung_while_busy += self._talking is not None and not self._talking.ended.done()
            asyncio.create_task(self._talk(call))  # noqa: RUF006 - the test outlives it

    async def _talk(self, call: PhoneCall) -> None:
        with suppress(CallFailed):
            await call.ring()
            await asyncio.sleep(0.2)
            await call.answer()
            self._talking = call
            self.answered += 1
            with suppress(TimeoutError):  # the gateway may die
                await asyncio.wait_for(asyncio.shield(call.ended), TALK_S)
            if not call.ended.done():
                await call.hang_up()


@pytest.mark.timeout(150)
async def test_the_other_gateway_serves_on_when_one_is_killed(
    start_gateway: StartGateway,
    store: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    for name in ("bench.py", "phones_plan.yaml", "bench_personas.py"):
        shutil.copy(BENCH / name, tmp_path)
    async with AsyncExitStack() as stack:
        phone = await stack.enter_async_context(Phone())
        members = [Member(await stack.enter_async_context(Phone())) for _ in range(MEMBERS)]
        one, two = (_gateway(start_gateway, store(name), members, tmp_path) for name in ("one", "two"))
        work = [asyncio.create_task(member.work()) for member in members]
        mine, others = [], []
        for _ in range(EACH):
            for gateway, calls in ((one, mine), (two, others)):
                call = await phone.call(gateway.uri(DESK))
                call.play(tone(CUSTOMER_HZ, 60_000))
                calls.append(call)
                await asyncio.sleep(0.05)
                await call.send_digits("3")
        await until(lambda: sum(member.answered for member in members) >= TALKS_BEFORE_THE_KILL, 30, what="talks")
        two.process.kill()
        two.process.wait()
        killed_at = asyncio.get_running_loop().time()
        talking = [call for call in others if not call.ended.done()]
        for call in mine:
            assert (await asyncio.wait_for(call.wait_bye(), 60)).by == "peer"
        records = [await one.record(call.call_id, 10) for call in mine]
        told = [call.ended.result().at - killed_at for call in talking if call.ended.done()]
        print(
            f"of {len(talking)} callers of the killed gateway {len(told)} got a BYE, after {max(told, default=0):.1f} s"
        )
        await until(lambda: _desk(one)["today"]["lost"] > 0, LEASE_S + 12, what="the dead gateway's callers to be lost")
        await until(lambda: _desk(one)["free"] == MEMBERS, LEASE_S, what="members whom the dead gateway held")
        desk = _desk(one)["today"]
        await one.idle()
        for task in work:
            task.cancel()
    answered = sum(member.answered for member in members)
    print(f"answered {answered}, by the queue's count {desk['answered']}, lost {desk['lost']}")
    assert [record["transfers"][0]["outcome"] for record in records] == ["transferred"] * EACH, "none of mine is lost"
    assert all(member.rung_while_busy == 0 for member in members), "no member is offered two callers"
    offered = [[e["members"] for e in record["events"] if e["type"] == "queue_offered"] for record in records]
    assert all(len(each) == 1 for each in offered), "none of mine is offered twice"
    assert desk["answered"] + desk["lost"] + desk["abandoned"] == 2 * EACH, "each caller is counted once"


def _gateway(start_gateway: StartGateway, store: dict[str, Any], members: list[Member], folder: Path) -> RunningGateway:
    names = [f"m{n}" for n in range(len(members))]
    return start_gateway(
        store=store, sip=trunks(members[0].phone), dialplans=[str(folder / "phones_plan.yaml")],
        workers=4, rtp={"ports": free_rtp_range(64)},
        queues=[{"name": "desk", "members": names, "ring_s": 10, "detect": False}],
        queue_members=[
            {"name": name, "target": f"sip:{name}@127.0.0.1:{member.phone.address[1]}"}
            for name, member in zip(names, members, strict=True)
        ],
    )  # fmt: skip


def _desk(gateway: RunningGateway) -> dict[str, Any]:
    (queue,) = gateway.get("/v1/queues")["queues"]
    return dict(queue)
