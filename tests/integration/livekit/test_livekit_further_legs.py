"""Further legs of calls in rooms of the real LiveKit server: what the agent's job asks for, its call worker places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from outbound_calls import closed_record
from test_gateway_further_legs import AGENT_HZ, CUSTOMER_HZ, HUMAN_HZ, strength, trunks
from test_livekit_calls import live_call
from test_serve_with_worker import settings

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis, onset_after, silent_after

NUMBER, HUMAN = "+15550120", "+15557001234"
PERSONA = """
from agent import Agent
from telephony.errors import DialRefused

class Connector(Agent):
    async def on_enter(self, ctx) -> None:
        try:
            leg = await ctx.call.dial("%s")
        except DialRefused as refused:
            ctx.session.say(f"refused by {refused.kind}")
            return
        if leg.outcome.answered:
            await leg.ended()
        ctx.session.say(f"it was {leg.outcome.kind}")
"""


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def connecting(
    stack: Any, folder: Path, to: str = HUMAN
) -> AsyncIterator[tuple[RunningGateway, PhoneCall, Phone]]:
    """A customer whose agent calls somebody in."""
    folder.mkdir(exist_ok=True)
    (folder / "connect.py").write_text(PERSONA % to)
    (folder / "plan.yaml").write_text(f'numbers: {{"{NUMBER}": connect.Connector}}\n')
    async with Phone() as caller, Phone() as called:
        more = settings(folder, stack)
        gateway = RunningGateway(
            folder, workers=1, sip=trunks(called), dialplans=[str(folder / "plan.yaml")], **more
        ).start()
        try:
            yield gateway, await caller.call(gateway.uri(NUMBER)), called
        finally:
            gateway.stop()


async def rung(gateway: RunningGateway, called: Phone) -> PhoneCall:
    """What rings at who is called; what the gateway says of it, if nothing does."""
    try:
        return await asyncio.wait_for(called.incoming(), 12)
    except TimeoutError:
        raise AssertionError(f"nobody was called:\n{gateway.calls()}\n{gateway.log_text()[-4000:]}") from None


async def said(call: PhoneCall) -> None:
    at = await until(lambda: onset_after(call.received, 0.0), 8, what="the agent")
    await until(lambda: silent_after(call.received, at + 0.2), 8, what="its end")


async def hears(call: PhoneCall, hertz: float, what: str) -> None:
    """Within some seconds, and then nothing else."""

    def clear() -> bool:
        at = now()
        return strength(on_time_axis(call.received, at - 0.3, at - 0.1), hertz) > 0.8

    await until(clear, 8, what=what)


async def test_who_is_called_in_talks_with_the_customer_and_leaves_them_to_the_agent(
    livekit_stack: Any, tmp_path: Path
) -> None:
    async with connecting(livekit_stack, tmp_path / "gateway") as (gateway, customer, called):
        human = await rung(gateway, called)
        await human.ring()
        await human.answer()
        customer.play(tone(CUSTOMER_HZ, 8000))
        human.play(tone(HUMAN_HZ, 8000))
        await hears(customer, HUMAN_HZ, "the human at the customer's")
        await hears(human, CUSTOMER_HZ, "the customer at the human's")
        left_at = now()
        await human.hang_up()
        heard_at = await until(lambda: onset_after(customer.received, left_at + 0.3), 8, what="the agent again")
        await until(lambda: silent_after(customer.received, heard_at + 0.2), 8, what="its end")
        assert strength(on_time_axis(customer.received, heard_at, heard_at + 0.2), AGENT_HZ) > 0.8
        call_id = await live_call(gateway, customer)
        await customer.hang_up()
        record = await closed_record(gateway, call_id)
        assert gateway.complaints() == []
    assert [turn["text"] for turn in record["turns"]] == ["it was answered"]
    assert [(leg["role"], leg["outcome"], leg["ended_by"]) for leg in record["legs"]] == [
        ("customer", "answered", "caller"),
        ("human", "answered", "human"),
    ]


async def test_who_is_busy_is_told_to_the_agent(livekit_stack: Any, tmp_path: Path) -> None:
    async with connecting(livekit_stack, tmp_path / "busy") as (gateway, customer, called):
        await (await rung(gateway, called)).reject(486)
        await said(customer)
        call_id = await live_call(gateway, customer)
        await customer.hang_up()
        record = await closed_record(gateway, call_id)
        assert [turn["text"] for turn in record["turns"]] == ["it was busy"]


async def test_who_may_not_be_called_is_told_to_the_agent(livekit_stack: Any, tmp_path: Path) -> None:
    async with connecting(livekit_stack, tmp_path / "closed", "+4930123456") as (gateway, customer, _):
        await said(customer)
        call_id = await live_call(gateway, customer)
        await customer.hang_up()
        record = await closed_record(gateway, call_id)
        assert [turn["text"] for turn in record["turns"]] == ["refused by closed_destination"]
