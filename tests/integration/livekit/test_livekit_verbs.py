"""Hold, mute, listening in and transfers over REST, in rooms of the real LiveKit server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from outbound_calls import ask, closed_record, order, plan
from test_gateway_further_legs import AGENT_HZ, CUSTOMER_HZ, HUMAN_HZ, strength, trunks
from test_livekit_further_legs import hears, now
from test_serve_with_worker import settings

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis, onset_after, silent_after

TO, HUMAN = "+15557001234", "+15557009999"
MUSIC_HZ = 783.99  # the last of its three tones, and the longest
Start = Callable[..., RunningGateway]


@pytest.fixture
def start(livekit_stack: Any, tmp_path: Path) -> Iterator[Start]:
    started: list[RunningGateway] = []

    def begin(phone: Phone) -> RunningGateway:
        more = settings(tmp_path, livekit_stack)
        started.append(RunningGateway(tmp_path, workers=1, sip=trunks(phone), **plan(tmp_path), **more))
        return started[-1].start()

    yield begin
    for gateway in started:
        gateway.stop()


async def talking(gateway: RunningGateway, phone: Phone) -> tuple[str, PhoneCall]:
    """The path of a call whose agent has greeted, and the phone's side."""
    _, placed, _ = await ask(gateway, "POST", "/v1/calls", order(TO))
    call = await phone.incoming()
    answered_at = now()
    await call.answer()
    greeted_at = await until(lambda: onset_after(call.received, answered_at), what="the greeting")
    await until(lambda: silent_after(call.received, greeted_at + 0.2), what="its end")
    return f"/v1/calls/{placed['call_id']}", call


async def tell(gateway: RunningGateway, path: str, verb: str, body: Any = None) -> dict[str, Any]:
    status, answer, _ = await ask(gateway, "POST", f"{path}/{verb}", {} if body is None else body)
    assert status in (200, 202), answer
    return answer


async def says(gateway: RunningGateway, path: str) -> float:
    said_at = now()
    await tell(gateway, path, "say", {"text": "This is the agent speaking for quite a while."})
    return said_at


def loudness(call: PhoneCall, since: float, hertz: float) -> float:
    return strength(on_time_axis(call.received, since, now() - 0.1), hertz)


async def test_on_hold_the_customer_hears_music_and_muted_nobody(start: Start) -> None:
    async with Phone() as phone:
        gateway = start(phone)
        path, call = await talking(gateway, phone)
        await tell(gateway, path, "hold")
        await hears(call, MUSIC_HZ, "hold music")
        status, problem, _ = await ask(gateway, "POST", path + "/say", {"text": "Hello?"})
        assert (status, problem["type"]) == (409, "urn:trunkline:problem:on_hold")
        resumed_at = now()
        await tell(gateway, path, "resume")
        await hears(call, AGENT_HZ, "the agent, who welcomes the customer back")
        await until(lambda: silent_after(call.received, resumed_at + 0.5), what="its end")

        await tell(gateway, path, "mute", {"who": "agent"})
        said_at = await says(gateway, path)
        await asyncio.sleep(1)
        assert onset_after(call.received, said_at) is None, "the customer does not hear the agent"
        await tell(gateway, path, "unmute", {"who": "agent"})
        await hears(call, AGENT_HZ, "the agent again")
        await ask(gateway, "DELETE", path)
        record = await closed_record(gateway, path.rpartition("/")[2])
        assert gateway.complaints() == []
    kinds = [event["type"] for event in record["events"]]
    assert [kind for kind in kinds if kind.startswith("call_")] == [
        "call_held",
        "call_resumed",
        "call_muted",
        "call_unmuted",
    ]


async def test_a_transfer_joins_the_two_and_a_supervisor_listens(start: Start) -> None:
    async with Phone() as phone:
        gateway = start(phone)
        path, call = await talking(gateway, phone)
        listening = asyncio.create_task(tell(gateway, path, "listen", {"to": HUMAN, "mode": "listen"}))
        supervisor = await phone.incoming()
        await supervisor.answer()
        await listening
        call.play(tone(CUSTOMER_HZ, 20_000))
        await hears(supervisor, CUSTOMER_HZ, "the customer, to whom the supervisor listens")
        await supervisor.hang_up()

        transferring = asyncio.create_task(tell(gateway, path, "transfer", {"to": HUMAN, "kind": "warm"}))
        human = await phone.incoming()
        await transferring
        await human.ring()
        await hears(call, MUSIC_HZ, "hold music")
        await human.answer()
        human.play(tone(HUMAN_HZ, 20_000))
        await hears(call, HUMAN_HZ, "the human at the customer's")
        await hears(human, CUSTOMER_HZ, "the customer at the human's")
        await human.hang_up()
        async with asyncio.timeout(5):
            await call.wait_bye()
        record = await closed_record(gateway, path.rpartition("/")[2])
        assert gateway.complaints() == []
    assert (record["outcome"], record["ended_by"]) == ("answered", "human")
    (transfer,) = record["transfers"]
    assert (transfer["kind"], transfer["outcome"]) == ("warm", "transferred")
    assert [leg["role"] for leg in record["legs"]] == ["customer", "supervisor", "human"]
