"""A persona whose coroutine blocks the worker's event loop, and a neighbour's call in the same worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway_process import RunningGateway, until

from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import packet_counts

StartGateway = Callable[..., RunningGateway]


async def _blocked(gateway: RunningGateway, phone: Phone, number: str) -> tuple[PhoneCall, PhoneCall]:
    """The call whose persona blocks, and its neighbour."""
    neighbour = await phone.call(gateway.uri("+15550102"))
    call = await phone.call(gateway.uri(number))
    await until(lambda: _told(gateway, "blocks the event loop"), what="the name in the log")
    return call, neighbour


def _told(gateway: RunningGateway, what: str) -> list[str]:
    return [str(line["event"]) for line in gateway.log() if what in str(line.get("event"))]


async def test_a_short_block_costs_nobody_the_call_and_names_the_tool(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=1)
    async with Phone() as phone:
        call, neighbour = await _blocked(gateway, phone, "+15550112")
        (told,) = _told(gateway, "blocks the event loop")
        assert told.startswith("tool freeze blocks")
        assert "enemy_personas.py" in told
        await until(lambda: _told(gateway, "was blocked for"), 12, what="the end of the block")
        await asyncio.sleep(1)
        assert not call.ended.done()
        assert not neighbour.ended.done()
        counts = packet_counts(neighbour.received)
        assert (counts.lost, counts.double) == (0, 0)
        assert gateway.metrics()["trunkline_worker_restarts_total"] == 0
        for one in (call, neighbour):
            await one.hang_up()
        record = await gateway.record(call.call_id)
        (blocked,) = [event for event in record["events"] if event["type"] == "function_blocked"]
        assert blocked["name"] == "tool freeze"
        assert 5000 < blocked["blocked_ms"] < 8000


async def test_a_worker_that_is_given_up_for_it_says_goodbye_to_all_its_calls(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=1)
    async with Phone() as phone:
        began = time.monotonic()
        call, neighbour = await _blocked(gateway, phone, "+15550113")
        async with asyncio.timeout(25):
            ended = await asyncio.gather(call.wait_bye(), neighbour.wait_bye())
        assert time.monotonic() - began > 12
        assert {("worker lost" in one.reason) for one in ended} == {True}
        for one in (call, neighbour):
            record = await gateway.record(one.call_id)
            assert record["outcome"] == "worker_lost"
            assert record["end_reason"] == "the worker's process ended: tool freeze blocked its event loop"
        assert any(len(set(payload)) > 8 for payload in neighbour.received.payload[-300:])  # goodbye was heard
        await until(lambda: gateway.figures()["workers_ready"] == 1, 10, what="a new worker")
