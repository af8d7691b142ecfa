"""Tasks, replies and questions that tools and hooks await in any order, while the caller does anything: nothing
deadlocks, each started task ends, and the call continues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest
from phone import Phone, call

from agent import Agent, RunContext, ToolError, function_tool
from agent.events import SessionClosed, TaskCompleted, TaskStarted
from agent.providers.base import ChatMessage, LLMEvent, TextDelta, ToolCall, ToolSpec
from agent.providers.fakes import FakeSTT
from agent.tasks import CollectDigits, Confirm, Task

ARGUMENTS = {
    "take_digits": '{"digits": "123"}',
    "caller_has_none": '{"why": "lost"}',
    "caller_wants_something_else": '{"what": "tea"}',
}
ENDS = ("done", "caller_said_yes", "take_digits")  # tools that complete the tasks of these calls


class RandomLLM:
    """Calls any tools, or says something, early or late. `calm`: only tools that complete a task."""

    name = "random"

    def __init__(self, random: Random) -> None:
        self._random = random
        self._requests = 0
        self.calm = False

    async def warm(self) -> None:
        pass

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        self._requests += 1
        await asyncio.sleep(self._random.choice((0, 0.05, 0.5, 2)))
        names = [tool.name for tool in tools if tool.name != "end_call"]
        if self.calm:
            picked = [name for name in names if name in ENDS][:1]
        elif names and self._random.random() < 0.7:
            picked = self._random.choices(names, k=self._random.choice((1, 1, 1, 2, 3)))
        else:
            picked = []
        if not picked or self._random.random() < 0.3:
            yield TextDelta("Here is a sentence of some words. ")
        for number, name in enumerate(picked):
            yield ToolCall(f"{self._requests}-{number}", name, ARGUMENTS.get(name, "{}"))


def persona(random: Random) -> Agent:
    class Sub(Task[str]):
        """You ask for one thing."""

        greeting = random.choice(("Which one?", ""))
        timeout_s = random.choice((None, 3.0, 20.0))

        @function_tool
        async def done(self) -> None:
            self.complete("this")

        @function_tool
        async def refuses(self) -> None:
            self.fail(ToolError("no"))

        @function_tool
        async def deeper(self) -> str:
            return await Sub()

        @function_tool
        async def talks(self, ctx: RunContext) -> None:
            await ctx.session.generate_reply()

        @function_tool
        async def away(self) -> tuple[Agent, str]:
            return Host(), random.choice(("", "Bye."))

        async def on_exit(self, ctx: RunContext) -> None:
            if random.random() < 0.2:
                await ctx.session.say("Leaving.")

    class Host(Agent):
        """You do a lot."""

        greeting = random.choice(("Hello.", ""))

        @function_tool
        async def sub(self) -> str:
            return await Sub()

        @function_tool
        async def confirm(self) -> bool:
            return await Confirm("Sure?")

        @function_tool
        async def number(self) -> str:
            return await CollectDigits("Which number?", length=3)

        @function_tool
        async def reply(self, ctx: RunContext) -> str:
            return (await ctx.session.generate_reply(instructions="Say it.")).text

        @function_tool
        async def reply_later(self, ctx: RunContext) -> None:
            ctx.session.generate_reply()

        @function_tool
        async def question(self, ctx: RunContext) -> str:
            return await ctx.ask("What name?")

        @function_tool
        async def slow(self) -> str:
            await asyncio.sleep(random.choice((0.1, 3)))
            return await Sub()

        @function_tool
        async def impatient(self) -> str:
            try:
                async with asyncio.timeout(random.choice((0.5, 4))):
                    return await Sub()
            except TimeoutError:
                return "late"

        @function_tool
        async def hands_over(self) -> Agent:
            return Host()

        async def on_enter(self, ctx: RunContext) -> None:
            if random.random() < 0.3:
                await Sub()

    return Host()


async def does_something(phone: Phone, random: Random, *, held: bool) -> bool:
    """An action of the caller or somebody else. Returns whether the line is on hold afterwards."""
    await phone.wait(random.choice((100, 700, 2000, 5000)))
    what = random.random()
    if what < 0.6:
        await phone.speak(random.choice((200, 600, 1500)), random.choice((0, 600, 3000)))
    elif what < 0.8:
        for key in random.choice(("1", "123", "12#")):
            phone.session.on_digit(key, phone.now)
            await phone.wait(150)
    elif what < 0.9:
        (phone.session.on_resume if held else phone.session.on_hold)(phone.now)
        return not held
    elif what < 0.94:
        phone.session.interrupt(force=True)
    elif what < 0.97:
        phone.session.leg_ended()
        await phone.closed()
    else:
        await phone.session.drain()
    return held


async def comes_to_rest(phone: Phone) -> bool:
    """Whether the agent, left alone, becomes silent, waits for the caller, or ends, within ten minutes."""
    running = phone.session._started()
    for _ in range(60):
        await phone.wait(10_000)
        asks = running.activities.top.asking and not running.talker.speaker.busy
        if phone.of(SessionClosed) or asks or not running.talker.busy:
            return True
    return False


@pytest.mark.parametrize("seed", range(16))
def test_no_call_is_stuck(seed: int) -> None:
    random = Random(seed)
    llm = RandomLLM(random)
    words = random.choices(("yes", "no", "hello there", "one two three", "uh huh", "what is it"), k=60)

    async def script(phone: Phone) -> None:
        held = False
        for _ in range(random.randint(3, 14)):
            held = await does_something(phone, random, held=held)
            if phone.of(SessionClosed):
                return
        if held:
            phone.session.on_resume(phone.now)
        await phone.speak(600)
        assert await comes_to_rest(phone)
        llm.calm = True
        for _ in range(12):
            await phone.speak(600, 9000)
        assert await comes_to_rest(phone)

    phone = call(script, persona(random), llm=llm, stt=FakeSTT(*words), away_ms=None)
    assert len(phone.of(TaskStarted)) == len(phone.of(TaskCompleted))
    assert phone.types()[-1] == "session_closed"
