"""Calls with two legs: the customer in one worker, a second leg dialled through the gateway into another one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pytest
from gateway_process import RunningGateway, free_rtp_range, until

from telephony.media.frames import FRAME_BYTES
from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis, onset_after

StartGateway = Callable[..., RunningGateway]
MOUTH_TO_EAR_MS = 130
NUMBER = "+15550120"
AGENT_HZ, CUSTOMER_HZ, HUMAN_HZ = 440, 700, 900


def trunks(phone: Phone, **outbound: Any) -> dict[str, Any]:
    """A trunk whose calls go to this phone."""
    host, port = phone.address
    out = {"host": host, "port": port, "destinations": ["+1555700"], "caller": "+15550120", **outbound}
    return {"trunks": [{"name": "local", "allow": ["127.0.0.0/8"], "region": "US", "outbound": out}]}


def one_slot_each(workers: int) -> dict[str, Any]:
    """Audio ports for so many workers with a slot each."""
    return {"workers": workers, "slots_per_worker": 1, "rtp": {"ports": free_rtp_range(2 * workers)}}


@dataclass
class Joined:
    gateway: RunningGateway
    customer: PhoneCall
    human: PhoneCall
    workers: dict[str, str]  # role -> worker

    def kill(self, role: str) -> None:
        os.kill(self.gateway.worker_pids()[self.workers[role]], signal.SIGKILL)


def legs_of(gateway: RunningGateway, call: PhoneCall) -> list[dict[str, Any]]:
    """What is on record by now."""
    found: list[dict[str, Any]] = []
    for record in gateway.attempts(call.call_id):
        found += gateway.get(f"/v1/calls/{record['call_id']}")["legs"]
    return found


@pytest.fixture
async def joined(start_gateway: StartGateway) -> AsyncIterator[Joined]:
    """One slot a worker: the second leg has to go into the other one."""
    async with Phone() as caller, Phone() as called:
        gateway = start_gateway(sip=trunks(called), **one_slot_each(2))
        customer = await caller.call(gateway.uri(NUMBER))
        human = await called.incoming()
        await human.ring()
        await human.answer()
        await until(lambda: len(legs_of(gateway, customer)) == 2, what="both legs on record")
        workers = {leg["role"]: leg["worker"] for leg in legs_of(gateway, customer)}
        assert workers["customer"] != workers["human"]
        await until(lambda: len(customer.received) > 20 and len(human.received) > 20, what="audio both ways")
        yield Joined(gateway, customer, human, workers)


def strength(pcm: bytes, hertz: float) -> float:
    """How much of the sound is this tone, 0 to 1."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / 8000)
    power = float(np.sum(samples**2))
    return float(2 * abs(np.dot(samples, wave)) ** 2 / len(samples) / power) if power else 0.0


async def heard_after_ms(speaker: PhoneCall, listener: PhoneCall, hertz: float) -> float:
    """From mouth to ear, measured with a tone."""
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


async def hears_the_agent(call: PhoneCall, since: float) -> None:
    def agent() -> bool:
        pcm = on_time_axis(call.received, since, asyncio.get_running_loop().time() - 0.1)
        return len(pcm) > 8000 and strength(pcm[-6400:], AGENT_HZ) > 0.9

    await until(agent, 6, what="the agent's voice")


async def test_both_hear_each_other_and_the_human_leaves_the_customer_to_the_agent(joined: Joined) -> None:
    there = [await heard_after_ms(joined.customer, joined.human, CUSTOMER_HZ) for _ in range(4)]
    back = [await heard_after_ms(joined.human, joined.customer, HUMAN_HZ) for _ in range(4)]
    print(f"mouth to ear: {median(there):.0f} ms there, {median(back):.0f} ms back")
    assert max(median(there), median(back)) <= MOUTH_TO_EAR_MS
    left_at = asyncio.get_running_loop().time()
    await joined.human.hang_up()
    await hears_the_agent(joined.customer, left_at)
    await joined.customer.hang_up()
    record = await joined.gateway.record(joined.customer.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    customer, human = record["legs"]
    assert (customer["role"], customer["outcome"]) == ("customer", "answered")
    assert (human["role"], human["outcome"], human["ended_by"]) == ("human", "answered", "human")
    assert (human["called"], human["caller"], human["direction"]) == ("+15557001", "+15550120", "outbound")
    assert human["media"]["packets_received"] > 50
    assert human["answered_at"] > customer["answered_at"]
    await joined.gateway.idle()
    assert not joined.gateway.complaints()


async def test_a_customer_who_hangs_up_takes_the_human_along(joined: Joined) -> None:
    await joined.customer.hang_up()
    assert (await joined.human.wait_bye()).by == "peer"
    record = await joined.gateway.record(joined.customer.call_id)
    await joined.gateway.idle()
    assert record["ended_by"] == "caller"
    human = legs_of(joined.gateway, joined.customer)[1]
    assert (human["outcome"], human["ended_by"], human["end_reason"]) == ("answered", "system", "the call is over")
    assert not joined.gateway.complaints()


async def test_a_killed_worker_of_the_human_leaves_the_customer_to_the_agent(joined: Joined) -> None:
    killed_at = asyncio.get_running_loop().time()
    joined.kill("human")
    assert (await joined.human.wait_bye()).by == "peer"
    await hears_the_agent(joined.customer, killed_at)
    assert not joined.customer.ended.done()
    await until(lambda: legs_of(joined.gateway, joined.customer)[1]["outcome"] == "worker_lost", what="the leg's end")
    await joined.customer.hang_up()
    record = await joined.gateway.record(joined.customer.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    await joined.gateway.idle()


async def test_a_killed_worker_of_the_customer_ends_the_call_with_both_legs(joined: Joined) -> None:
    joined.kill("customer")
    ended = await asyncio.gather(joined.customer.wait_bye(), joined.human.wait_bye())
    assert {one.by for one in ended} == {"peer"}
    record = await joined.gateway.record(joined.customer.call_id)
    assert record["outcome"] == "worker_lost"
    await joined.gateway.idle()


async def test_a_leg_in_the_same_worker_when_there_is_room(start_gateway: StartGateway) -> None:
    async with Phone() as caller, Phone() as called:
        gateway = start_gateway(workers=2, sip=trunks(called))
        customer = await caller.call(gateway.uri(NUMBER))
        human = await called.incoming()
        await human.answer()
        await until(lambda: len(customer.received) > 20 and len(human.received) > 20, what="audio both ways")
        await until(lambda: len(legs_of(gateway, customer)) == 2, what="both legs on record")
        legs = legs_of(gateway, customer)
        assert legs[0]["worker"] == legs[1]["worker"]
        there = await heard_after_ms(customer, human, CUSTOMER_HZ)
        back = await heard_after_ms(human, customer, HUMAN_HZ)
        assert max(there, back) <= MOUTH_TO_EAR_MS
        await customer.hang_up()
        assert (await human.wait_bye()).by == "peer"
        await gateway.idle()
        await until(lambda: legs_of(gateway, customer)[1]["outcome"] == "answered", what="the leg's end")
        assert not gateway.complaints()


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "rejected"), (0, "no_answer")])
async def test_whoever_is_not_reached_leaves_the_customer_with_the_agent(
    start_gateway: StartGateway, elsewhere: bool, status: int, outcome: str
) -> None:
    async with Phone() as caller, Phone() as called:
        gateway = start_gateway(sip=trunks(called), **(one_slot_each(2) if elsewhere else {}))
        customer = await caller.call(gateway.uri(NUMBER))
        human = await called.incoming()
        began = asyncio.get_running_loop().time()
        await (human.reject(status) if status else human.ring())
        await hears_the_agent(customer, began)
        await until(
            lambda: [leg["outcome"] for leg in legs_of(gateway, customer)][1:] not in ([], [None]), what="the leg's end"
        )
        assert legs_of(gateway, customer)[1]["outcome"] == outcome
        await customer.hang_up()
        await gateway.idle()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"destinations": ["+1999"]}, "closed_destination"),
        ({"full": True}, "no_slot"),
    ],
)
async def test_a_refused_leg_names_what_refused_it(
    start_gateway: StartGateway, changes: dict[str, Any], kind: str
) -> None:
    async with Phone() as caller, Phone() as called:
        outbound = {key: value for key, value in changes.items() if key == "destinations"}
        sip = trunks(called, **outbound)
        gateway = start_gateway(sip=sip, **(one_slot_each(1) if "full" in changes else {}))
        customer = await caller.call(gateway.uri(NUMBER))
        await until(lambda: gateway.attempts(customer.call_id), what="an open record")
        record = gateway.attempts(customer.call_id)[0]

        def output() -> list[Any]:
            events = gateway.get(f"/v1/calls/{record['call_id']}")["events"]
            return [event["output"] for event in events if event["type"] == "function_call_output"]

        await until(output, what="the tool's answer")
        assert output() == [f"refused: {kind}"]
        await customer.hang_up()
        await gateway.record(customer.call_id)
        assert len(legs_of(gateway, customer)) == 1
        await gateway.idle()
