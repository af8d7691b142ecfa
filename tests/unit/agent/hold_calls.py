"""Calls that are put on hold."""

from __future__ import annotations

import asyncio

from phone import Phone

from agent import Agent, RunContext, function_tool
from agent.events import (
    AgentMessage,
)
from agent.providers.base import ToolCall


class Greeter(Agent):
    """You are kind."""

    greeting = "Hello, how can I help?"


class Slow(Agent):
    @function_tool
    async def look_up(self, ctx: RunContext) -> str:
        """Look it up."""
        await asyncio.sleep(8)
        return "seven"


def tool_call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall("c1", name, arguments)


async def hold(phone: Phone, ms: float, *, music: bool = False) -> None:
    """Hold for `ms`; `music`: the caller's side sends music meanwhile."""
    phone.session.on_hold(phone.now)
    await phone.wait(20)
    played = phone.room.output.played_ms
    if music:
        await phone.speak(ms - 20)
    else:
        await phone.wait(ms - 20)
    assert phone.room.output.played_ms == played, "something was said to nobody"
    phone.session.on_resume(phone.now)


def said(phone: Phone) -> list[tuple[str, str]]:
    return [(message.text, message.kind) for message in phone.of(AgentMessage)]
