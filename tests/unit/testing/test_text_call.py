"""Conversations as tests: the `call` fixture, its expectations, mocked tools, the judge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from agent import Agent, Intent, Rules, RunContext, ToolError, function_tool
from agent.providers.base import ChatMessage, LLMEvent, TextDelta, ToolSpec
from agent.tasks import Confirm
from agent.testing import TextCall, TurnResult, mock_tools


class Shop(Agent):
    """You sell books."""

    greeting = "Books, hello."
    rules = Rules(
        (
            Intent("stock", ("do you have books",), tool="stock", reply="We have {result} of it."),
            Intent("desk", ("the desk",), tool="desk"),
            Intent("bye", ("goodbye",), tool="end_call", reply="Goodbye!"),
        )
    )

    @function_tool
    async def stock(self, ctx: RunContext, title: str = "everything") -> int:
        """How many there are."""
        return 3

    @function_tool
    async def desk(self, ctx: RunContext) -> Agent:
        """The desk."""
        return Desk()


class Desk(Agent):
    """You are the desk."""

    rules = Rules((Intent("hello", ("hello",), reply="This is the desk."),))


pytestmark = pytest.mark.persona(cls=Shop)


async def test_walks_through_a_turn(call: TextCall) -> None:
    result = await call.run(user_input="Do you have books?")
    assert call.greeting == "Books, hello."
    result.expect.next_event().is_function_call(name="stock")
    result.expect.next_event().is_function_call_output(name="stock", contains="3", is_error=False)
    result.expect.next_event().is_message(contains="we have 3")
    result.expect.no_more_events()
    assert result.text == "We have 3 of it."
    assert result.closed is None


async def test_skips_and_finds(call: TextCall) -> None:
    result = await call.run(user_input="do you have books")
    result.expect.skip_next_event_if(type="message").skip_next_event_if(
        type="function_call"
    ).next_event().is_function_call_output()
    result.expect.contains_function_call(name="stock", arguments={})
    result.expect.contains_message(contains="of it")
    assert result.expect.next_event(type="message").event is not None
    again = await call.run(user_input="do you have books")
    again.expect.skip_next(2).next_event().is_message()


async def test_a_handoff_and_the_end(call: TextCall) -> None:
    result = await call.run(user_input="the desk")
    result.expect.contains_agent_handoff(to=Desk)
    assert isinstance(call.agent, Desk)
    result = await call.run(user_input="hello")
    result.expect.next_event().is_message(contains="this is the desk")


async def test_the_end_of_the_call(call: TextCall) -> None:
    result = await call.run(user_input="goodbye")
    assert result.closed is not None and result.closed.reason == "agent_ended"


async def test_failures_show_the_turn(call: TextCall) -> None:
    result = await call.run(user_input="do you have books")
    with pytest.raises(AssertionError) as caught:
        result.expect.next_event().is_message()
    assert str(caught.value).splitlines()[:3] == [
        "expected a message of the assistant",
        "what happened in this turn:",
        "-> function_call stock({})",
    ]
    for wrong in (
        lambda: result.expect.no_more_events(),
        lambda: result.expect.skip_next(5),
        lambda: result.expect.contains_agent_handoff(),
        lambda: result.expect.contains_function_call(name="stok"),
        lambda: result.expect.contains_function_call_output(is_error=True),
        lambda: result.expect.contains_message(contains="four"),
        lambda: result.expect.contains_function_call(name="stock", arguments={"title": "x"}),
    ):
        with pytest.raises(AssertionError):
            wrong()


async def test_mocked_tools(call: TextCall) -> None:
    with mock_tools(Shop, {"stock": lambda title: f"seven {title}"}):
        result = await call.run(user_input="do you have books")
        result.expect.contains_function_call_output(contains="seven everything")
    with mock_tools(Shop, {"stock": ToolError("the shelf is locked")}):
        result = await call.run(user_input="do you have books")
        result.expect.contains_function_call_output(contains="shelf is locked", is_error=True)
    with mock_tools(Shop, {"stock": 12}):
        result = await call.run(user_input="do you have books")
        result.expect.contains_function_call_output(contains="12")
    result = await call.run(user_input="do you have books")
    result.expect.contains_function_call_output(contains="3")


def test_a_mock_of_no_tool_is_told() -> None:
    with mock_tools(Shop, {"stok": 1}), pytest.raises(LookupError, match="Shop has no tool 'stok'; it has: stock"):
        _ = Shop().tools
    assert "stock" in Shop().tools


class Judge:
    """Answers as told and keeps what it was asked."""

    name = "judge"

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked = ""

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        self.asked = messages[-1].text
        for word in self.answer.split(" "):
            yield TextDelta(word + " ")

    async def warm(self) -> None:
        pass


async def turn(call: TextCall) -> TurnResult:
    return await call.run(user_input="do you have books")


async def test_a_judge_that_agrees(call: TextCall) -> None:
    judge = Judge("PASS It says how many.")
    expect = (await turn(call)).expect
    await expect.next_event(type="message").is_message().judge(judge, intent="says how many there are")
    assert "says how many there are" in judge.asked and "We have 3 of it." in judge.asked


@pytest.mark.parametrize("answer", ["FAIL: it only says a number.", "Well, it depends.", ""])
async def test_a_judge_that_does_not(call: TextCall, answer: str) -> None:
    expect = (await turn(call)).expect
    with pytest.raises(AssertionError, match="the judge says"):
        await expect.next_event(type="message").judge(Judge(answer), intent="says where they are")


@pytest.mark.persona("dialplans/clinic.py:Reception")
async def test_a_persona_by_its_file(call: TextCall) -> None:
    result = await call.run(user_input="I'd like an appointment tomorrow morning")
    result.expect.next_event().is_function_call(name="free_slots", arguments={"part": "morning"})
    result.expect.skip_next_event_if(type="function_call_output").next_event().is_message(contains="9:30")


class Host(Agent):
    """You book."""

    rules = Rules((Intent("book", ("a table",), tool="book", reply="{result}"),))

    @function_tool
    async def book(self, ctx: RunContext) -> str:
        """Book a table."""
        name = await ctx.ask("What name?")
        return "Booked." if await Confirm(f"{name}, shall I book it?") else "Not booked."


@pytest.mark.persona(cls=Host)
async def test_a_task_and_a_question_take_the_turns_that_are_theirs(call: TextCall) -> None:
    assert (await call.run(user_input="a table")).text == "What name?"
    assert (await call.run(user_input="Miller")).text == "Miller, shall I book it?"
    assert isinstance(call.agent, Confirm)
    result = await call.run(user_input="yes")
    result.expect.contains_task(name=Confirm, result="True")
    assert result.text == "Booked." and isinstance(call.agent, Host)
    with pytest.raises(
        AssertionError, match="expected Confirm to be failed; tasks that ended: Confirm completed: True"
    ):
        result.expect.contains_task(name="Confirm", outcome="failed")
