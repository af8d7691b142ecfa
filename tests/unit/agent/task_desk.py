"""A persona with tasks, and calls to it."""

from __future__ import annotations

import asyncio
from typing import Any

from phone import Phone

from agent import Agent, EndCall, RunContext, ToolError, function_tool
from agent.events import (
    AgentMessage,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeSTT, ModelTurn
from agent.tasks import Task
from agent.turns.digits import DigitEntry


def calls(*names: str) -> ModelTurn:
    return ModelTurn(tuple(ToolCall(f"{name}-{n}", name, "{}") for n, name in enumerate(names)))


class Day(Task[str]):
    """You ask which day suits the caller."""

    greeting = "Which day?"

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    @function_tool
    async def is_monday(self) -> None:
        """Monday it is."""
        self.complete("Monday")

    @function_tool
    async def none_suits(self) -> None:
        self.fail(ToolError("no day suits the caller"))

    @function_tool
    async def breaks(self) -> None:
        self.fail(ZeroDivisionError("a detail"))

    @function_tool
    async def to_billing(self) -> Agent:
        return Billing()

    @function_tool
    async def ends(self) -> EndCall:
        return EndCall("Bye then.")

    async def on_exit(self, ctx: RunContext) -> None:
        self.left += 1


class Billing(Agent):
    """You know about invoices."""

    greeting = "Billing here."


class Desk(Agent):
    """You book tables."""

    digits = DigitEntry(length=2)

    def __init__(self, **task: Any) -> None:
        super().__init__()
        self.day = Day()
        for name, value in task.items():
            setattr(self.day, name, value)
        self.seen: list[object] = []

    @function_tool
    async def book(self, ctx: RunContext) -> str:
        """Book a table."""
        try:
            day = await self.day
        except BaseException as error:
            self.seen.append(error)
            raise
        assert ctx.session.agent is self
        self.seen.append(day)
        return f"booked for {day}"

    @function_tool
    async def look(self) -> str:
        await asyncio.sleep(1)
        return "two tables"


def conversation(*sentences: str, between_ms: float = 4000, first_ms: float = 200) -> Any:
    async def script(phone: Phone) -> None:
        await phone.wait(first_ms)
        for _ in sentences:
            await phone.speak(600, between_ms)

    return {"script": script, "stt": FakeSTT(*sentences), "away_ms": None}


def said(phone: Phone) -> list[str]:
    return [message.text for message in phone.of(AgentMessage)]
