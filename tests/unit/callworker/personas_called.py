"""Personas of the tests of call owners: each shows one thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from agent import Agent, CallInfo, DigitEntry, RunContext, function_tool
from agent.providers.base import SpokenAudio
from telephony.call import AfterTransfer, UseRefer
from telephony.errors import DialRefused


class Greeter(Agent):
    greeting = "Hello and welcome to the house."


class Silent(Agent):
    """Says nothing first."""


class Faulty(Agent):
    def __init__(self) -> None:
        raise RuntimeError("no persona today")


class HangsEntering(Agent):
    greeting = "Hello."
    cancelled: ClassVar[list[str]] = []

    async def on_enter(self, ctx: RunContext) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled.append("on_enter")
            raise


class HangsLeaving(Agent):
    greeting = "Hello."

    async def on_exit(self, ctx: RunContext) -> None:
        await asyncio.sleep(3600)


class BadGreeting(Agent):
    @property
    def greeting(self) -> str:
        raise RuntimeError("the greeting's own fault")


class HangsUpItself(Agent):
    async def on_enter(self, ctx: RunContext) -> None:
        await ctx.call.hang_up("had enough")


class AsksForPin(Agent):
    digits = DigitEntry(length=4, secret=True)


class Helpful(Agent):
    @function_tool
    async def look_up(self) -> str:
        """Look something up."""
        return "found"


async def greeter(call: CallInfo) -> tuple[Agent, dict[str, str | None]]:
    """A factory."""
    return Greeter(), {"caller": call.caller}


def broken_factory(call: CallInfo) -> Agent:
    raise LookupError(f"nobody knows {call.caller}")


class CallsIn(Agent):
    """Calls somebody in at once, and talks when the customer is back with it."""

    async def on_enter(self, ctx: RunContext) -> None:
        try:
            leg = await ctx.call.dial("+15557001", ring_s=5)
        except DialRefused as refused:
            ctx.session.say(f"refused by {refused.kind}")
            return
        if leg.outcome.answered:
            await leg.ended()
        ctx.session.say(f"it was {leg.outcome.kind}")


class Transfers(Agent):
    """Has the caller transferred at once, and back afterwards."""

    async def on_enter(self, ctx: RunContext) -> None:
        result = await ctx.call.transfer("+15557001", refer=UseRefer.NEVER, afterwards=AfterTransfer.AGENT)
        ctx.session.say(f"it was {result.end}")


class KnowsVariables(Agent):
    """Says what it knows about its call."""

    async def on_enter(self, ctx: RunContext) -> None:
        assert ctx.call.variables == ctx.call.info.variables
        known = " and ".join(f"{name} {value}" for name, value in ctx.call.variables.items())
        ctx.session.say(f"I know {known or 'nothing'}.")


async def says_number(call: CallInfo) -> Agent:
    return Agent(greeting=f"Your number is {call.variables['number']}.")


class Whispers(Agent):
    """Its voice goes through a node of its own."""

    greeting = "Hello and welcome to the house."

    def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
        return ctx.session.tts.synthesize(f"(softly) {text}", voice=self.voice, language=self.language)
