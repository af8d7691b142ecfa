"""kill -9 in each state of a warm transfer, the human's leg in another worker than the caller's: of the human's worker,
of the caller's, of the gateway; with the figures."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway_process import RunningGateway, until
from test_gateway_further_legs import (
    AGENT_HZ,
    CUSTOMER_HZ,
    heard_after_ms,
    legs_of,
    one_slot_each,
    strength,
    trunks,
)
from test_gateway_outbound import ask

from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis

pytestmark = pytest.mark.usefixtures("nothing_left")

StartGateway = Callable[..., RunningGateway]
STATES = ("ringing", "asking", "briefing", "consulting", "joined")
MOST_BACK_MS = 1000
MOST_GONE_MS = 2000
LONG = "Somebody asks about an invoice that they have had twice by now. " * 3


@dataclass
class Halves:
    gateway: RunningGateway
    customer: PhoneCall
    human: PhoneCall

    def kill(self, role: str) -> None:
        (worker,) = {leg["worker"] for leg in legs_of(self.gateway, self.customer) if leg["role"] == role}
        os.kill(self.gateway.worker_pids()[worker], signal.SIGKILL)


@asynccontextmanager
async def halves(start_gateway: StartGateway, state: str) -> AsyncIterator[Halves]:
    """A caller whose warm transfer is in this state."""
    async with Phone() as caller, Phone() as called:
        gateway = start_gateway(sip=trunks(called), **one_slot_each(2))
        customer = await caller.call(gateway.uri("+15550101"), caller="+15552101000")
        await until(lambda: gateway.attempts(customer.call_id), what="an open record")
        await until(lambda: len(customer.received) > 20, what="audio")
        call_id = gateway.attempts(customer.call_id)[0]["call_id"]
        warm = {
            "detect": False, "accept": True, "accept_timeout_s": 60, "consult": True,
            "summary": {"by": "text", "text": LONG},
        }  # fmt: skip
        to = f"sip:human@127.0.0.1:{called.address[1]}"
        body = {"to": to, "afterwards": "agent", "ring_timeout_s": 30, "warm": warm}
        status, answer, _ = await ask(gateway, "POST", f"/v1/calls/{call_id}/transfer", body)
        assert status == 202, answer
        human = await asyncio.wait_for(called.incoming(), 10)
        await human.ring()
        await asyncio.sleep(0.3)
        if state != "ringing":
            await human.answer()
            await asyncio.sleep(0.5)
        if state in ("briefing", "consulting", "joined"):
            await human.send_digits("1")
            await asyncio.sleep(0.7)
        if state in ("consulting", "joined"):
            await human.send_digits("1")
            await asyncio.sleep(0.7)
        if state == "joined":
            await human.send_digits("1")
            await heard_after_ms(customer, human, CUSTOMER_HZ)
        workers = {leg["worker"] for leg in legs_of(gateway, customer)}
        assert len(workers) == 2

        def transferring() -> bool:
            transfers = gateway.get(f"/v1/calls/{call_id}")["transfers"]
            return bool(transfers) and transfers[0]["outcome"] == ("transferred" if state == "joined" else None)

        await until(transferring, 3, what=f"a transfer that is {state}")
        yield Halves(gateway, customer, human)


def agent_at(call: PhoneCall, since: float) -> float | None:
    """When the agent was heard first."""
    pcm = on_time_axis(call.received, since, asyncio.get_running_loop().time())
    for at in range(0, len(pcm) - 640, 320):
        if any(pcm[at : at + 640]) and strength(pcm[at : at + 640], AGENT_HZ) > 0.9:
            return since + at / 16000
    return None


@pytest.mark.parametrize("state", STATES)
async def test_the_humans_worker_is_killed_and_the_agent_has_the_caller(
    start_gateway: StartGateway, state: str
) -> None:
    async with halves(start_gateway, state) as call:
        since = asyncio.get_running_loop().time()
        call.kill("human")
        back = await until(lambda: agent_at(call.customer, since), 5, 0.02, what="the agent")
        print(f"{state}: the human's worker killed -> the agent speaks: {(back - since) * 1000:.0f} ms")
        assert (back - since) * 1000 <= MOST_BACK_MS
        assert not call.customer.ended.done()
        await call.customer.hang_up()
        record = await call.gateway.record(call.customer.call_id)
        await call.gateway.idle()
    assert record["transfers"][0]["outcome"] == ("transferred" if state == "joined" else "failed")
    assert record["ended_by"] == "caller"


@pytest.mark.parametrize("state", STATES)
async def test_the_callers_worker_is_killed_and_the_humans_phone_is_hung_up(
    start_gateway: StartGateway, state: str
) -> None:
    async with halves(start_gateway, state) as call:
        since = asyncio.get_running_loop().time()
        call.kill("customer")
        gone, _ = await asyncio.gather(
            asyncio.wait_for(call.human.ended, 5), asyncio.wait_for(call.customer.wait_bye(), 5)
        )
        print(f"{state}: the caller's worker killed -> the human's phone is free: {(gone.at - since) * 1000:.0f} ms")
        assert (gone.at - since) * 1000 <= MOST_GONE_MS
        record = await call.gateway.record(call.customer.call_id)
        await call.gateway.idle()
        await call.gateway.slots_free(call.gateway.figures()["slots"], 10)
    assert record["outcome"] == "worker_lost"
    assert all(leg["outcome"] for leg in record["legs"]), record["legs"]


@pytest.mark.parametrize("state", STATES)
async def test_the_gateway_is_killed_and_nothing_is_left(start_gateway: StartGateway, state: str) -> None:
    async with halves(start_gateway, state) as call:
        os.kill(call.gateway.pid, signal.SIGKILL)
        await until(lambda: not call.gateway.left_behind(), 10, what="the end of its processes")
        heard = (len(call.customer.received), len(call.human.received))
        await asyncio.sleep(0.3)
        assert (len(call.customer.received), len(call.human.received)) == heard, "nobody sends any more"
        leftovers = [each for each in Path(call.gateway.folder).rglob("*") if each.suffix in (".tmp", ".part")]
        assert not leftovers
