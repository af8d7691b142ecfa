"""Tools and hooks that await a reply of the model, or the caller's next words."""

from __future__ import annotations

import asyncio

from phone import Phone, call
from task_desk import Billing, Day, calls, conversation, said

from agent import Agent, RunContext, UserTurn, function_tool
from agent.events import (
    FunctionCallOutput,
)
from agent.providers.fakes import FakeLLM, FakeSTT


def test_a_tool_awaits_a_reply_of_the_model():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            handle = await ctx.session.generate_reply(instructions="Say that it takes a while.")
            return f"said: {handle.text}"

    llm = FakeLLM(calls("book"), "It takes a while.", "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table"))
    assert said(phone) == ["It takes a while.", "Done."]
    assert phone.one(FunctionCallOutput).output == "said: It takes a while."
    assert llm.requests[1].messages[0].text.endswith("Say that it takes a while.")


def test_a_reply_that_no_tool_awaits_comes_after_the_one_that_called_it():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            ctx.session.generate_reply(instructions="Offer a drink.")
            return "ok"

    llm = FakeLLM(calls("book"), "Done.", "A drink?")
    phone = call(agent=Host(), llm=llm, **conversation("a table"))
    assert said(phone) == ["Done.", "A drink?"]


def test_replies_that_tools_await_side_by_side_come_one_after_the_other():
    class Host(Agent):
        """You book."""

        @function_tool
        async def one(self, ctx: RunContext) -> str:
            return (await ctx.session.generate_reply(instructions="One.")).text

        @function_tool
        async def two(self, ctx: RunContext) -> str:
            first, second = ctx.session.generate_reply(), ctx.session.generate_reply()
            await asyncio.gather(first, second)
            return first.text + second.text

    llm = FakeLLM(calls("one", "two"), "A.", "B.", "C.", "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", between_ms=8000))
    assert said(phone) == ["A.", "B.", "C.", "Done."]


def test_a_reply_within_a_tool_may_be_interrupted_and_the_caller_is_answered():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            handle = await ctx.session.generate_reply()
            return f"interrupted: {handle.interrupted}"

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2000)
        await phone.speak(900, 5000)

    llm = FakeLLM(calls("book"), "A very long story that nobody wants to hear to its end at all.", "All right.")
    phone = call(script, Host(), llm=llm, stt=FakeSTT("a table", "stop that please"), away_ms=None)
    assert phone.one(FunctionCallOutput).output == "interrupted: True"
    assert said(phone)[-1] == "All right."


def test_hooks_that_a_reply_waits_for_may_await_one():
    class Host(Agent):
        """You book."""

        async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
            await ctx.session.generate_reply(instructions="Say that you heard it.")

        async def on_exit(self, ctx: RunContext) -> None:
            await ctx.session.generate_reply(instructions="Say goodbye.")

        @function_tool
        async def billing(self) -> Agent:
            return Billing()

    llm = FakeLLM("Heard.", calls("billing"), "Bye.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", between_ms=8000))
    assert said(phone) == ["Heard.", "Bye.", "Billing here."]


def test_models_that_call_each_other_s_tools_come_to_an_end():
    class Host(Agent):
        """You book."""

        @function_tool
        async def again(self, ctx: RunContext) -> str:
            return (await ctx.session.generate_reply()).text

    llm = FakeLLM(*[calls("again") for _ in range(60)], "Enough.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", between_ms=60_000))
    assert phone.of(FunctionCallOutput)
    assert not phone.session._started().talker.working


def test_ask_gives_the_caller_s_next_words():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            return f"for {await ctx.ask('What name?')}"

    llm = FakeLLM(calls("book"), "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "Miller", between_ms=12_000))
    assert phone.one(FunctionCallOutput).output == "for Miller"
    assert said(phone) == ["What name?", "Done."]


def test_words_for_a_task_are_not_taken_by_a_tool_that_waits_below_it():
    class Host(Agent):
        """You book."""

        @function_tool
        async def name(self, ctx: RunContext) -> str:
            await asyncio.sleep(0.1)
            return f"for {await ctx.session.next_message()}"

        @function_tool
        async def book(self) -> str:
            return await Day()

    llm = FakeLLM(calls("name", "book"), calls("is_monday"), "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "monday", "Miller"))
    outputs = [output.output for output in phone.of(FunctionCallOutput)]
    assert "Monday" in outputs and "for Miller" in outputs
    assert said(phone) == ["Which day?", "Done."]
