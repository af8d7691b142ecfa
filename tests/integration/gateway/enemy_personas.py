"""Personas for tests of the whole system; each shows one thing."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from agent import Agent, DigitEntry, Intent, Rules, RunContext, function_tool
from telephony.errors import DialRefused

HEARD = "this is what the caller said"  # what the instant recognizer hears, whatever is said


class Talker(Agent):
    """Greets for five seconds (the instant voice is a tone of that length)."""

    greeting = "Hello."


class TellsByKey(Agent):
    """Takes what was said as a turn when the caller presses the pound key, and not before."""

    turn_detection = "manual"

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        if digit == "#":
            ctx.session.commit_user_turn()


class Listener(Agent):
    """Waits for the caller to begin."""

    greeting = ""


class Asks(Agent):
    """Begins with a question."""

    greeting = "How many?"


class Ender(Agent):
    """Ends the call after the caller's first words."""

    greeting = ""
    rules = Rules(intents=(Intent("end", (HEARD,), tool="end_call", reply="Goodbye now."),))


class Keys(Agent):
    """Says the keyed digits back, and ends on 999."""

    greeting = ""
    digits = DigitEntry(length=3)
    rules = Rules(
        intents=(
            Intent("end", ("9 9 9", "999"), tool="end_call", reply="Goodbye now."),
            Intent("heard", (HEARD,), reply="I hear you."),
        ),
        fallback="Thank you.",
    )


class Model(Agent):
    """You look up orders for a shop. Use the tools."""

    greeting = ""
    canned: ClassVar[dict[str, str]] = {"unavailable": "Sorry, my system does not answer."}

    @function_tool
    async def order_status(self, order: str) -> str:
        """Look up an order.

        Args:
            order: The order number.
        """
        return f"order {order} is on its way"

    @function_tool
    async def broken(self) -> str:
        """A tool that throws."""
        raise RuntimeError("the tool's own fault")

    @function_tool(timeout_s=0.5)
    async def hangs(self) -> str:
        """A tool that never comes back."""
        await asyncio.Event().wait()
        return "never"

    @function_tool(timeout_s=0.5)
    def blocks(self) -> str:
        """A tool that blocks its thread."""
        time.sleep(2)
        return "late"


class Faulty(Agent):
    """Cannot even be created."""

    def __init__(self) -> None:
        raise RuntimeError("no persona today")


class FaultyHook(Agent):
    """Raises in `on_enter`."""

    greeting = "Hello."

    async def on_enter(self, ctx: RunContext) -> None:
        raise RuntimeError("the hook's own fault")


class SlowToAnswer(Agent):
    """Rings for a while: it takes its time to be made."""

    greeting = ""

    def __init__(self) -> None:
        time.sleep(0.8)
        super().__init__()


class LeavesAtOnce(Agent):
    """Hangs up by itself, without a word from the caller."""

    greeting = ""
    rules = Rules(intents=(Intent("end", (HEARD,), tool="end_call", reply="Goodbye now."),))

    async def on_enter(self, ctx: RunContext) -> None:
        ctx.session.generate_reply(user_input=HEARD)


class BlocksTheLoop(Agent):
    """Calls what blocks from a coroutine, for six seconds."""

    greeting = ""
    seconds = 6
    rules = Rules(intents=(Intent("heard", (HEARD,), tool="freeze", reply="It is done."),))

    async def on_enter(self, ctx: RunContext) -> None:
        await asyncio.sleep(1)
        ctx.session.generate_reply(user_input=HEARD)

    @function_tool(timeout_s=None)
    async def freeze(self) -> str:
        """Blocks the event loop."""
        time.sleep(self.seconds)
        return "done"


class BlocksForGood(BlocksTheLoop):
    seconds = 3600


class CallsSomebodyIn(Agent):
    """Dials a further leg as soon as it is there, and talks once it has the caller back, or never lost them."""

    greeting = ""
    rules = Rules(intents=(Intent("in", (HEARD,), tool="call_somebody_in", reply="You are with me again."),))

    async def on_enter(self, ctx: RunContext) -> None:
        ctx.session.generate_reply(user_input=HEARD)

    @function_tool(timeout_s=None)
    async def call_somebody_in(self, ctx: RunContext) -> str:
        """Until they have left."""
        try:
            leg = await ctx.call.dial("+15557001", ring_s=3)
        except DialRefused as refused:
            return f"refused: {refused.kind}"
        if leg.outcome.answered:
            await leg.ended()
        return str(leg.outcome.kind)
