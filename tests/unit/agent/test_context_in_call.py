"""What the model receives during a call: after slow tools, speech within tools, odd Unicode."""

import asyncio

from phone import Phone, call

from agent import Agent, RunContext, function_tool
from agent.events import AgentHandoff
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn


class Desk(Agent):
    """You book tables."""

    @function_tool
    async def slow(self) -> str:
        """Takes its time."""
        await asyncio.sleep(5)
        return "table at eight"

    @function_tool
    async def talks(self, ctx: RunContext) -> str:
        """Says something itself."""
        await ctx.session.say("Let me check the book.")
        return "table at eight"

    @function_tool(timeout_s=None)
    async def asks(self, ctx: RunContext) -> str:
        """Asks something itself."""
        await ctx.session.say("Which day?")
        return await ctx.session.next_message()


async def one_turn(phone: Phone) -> None:
    await phone.wait(200)
    await phone.speak(600, 12_000)


def sent(tool: str, script=one_turn, **parts) -> list[tuple[str, str, int]]:
    llm = FakeLLM(ModelTurn(("Sure. ", ToolCall("c1", tool, "null"))), "At eight.")
    call(script, Desk(), llm=llm, away_ms=None, **parts)
    return [(message.role, message.text, len(message.tool_calls)) for message in llm.requests[1].messages[1:]]


def test_a_slow_tool_s_output_is_last_whatever_bridged_it():
    roles = sent("slow")
    assert [role for role, _, _ in roles] == ["user", "assistant", "tool"]
    assert roles[1][1].startswith("Sure.") and roles[1][2] == 1


def test_words_within_a_tool_come_before_its_call():
    assert sent("talks")[1:] == [("assistant", "Sure. Let me check the book.", 1), ("tool", "table at eight", 0)]


def test_a_question_within_a_tool_and_its_answer_come_before_its_call():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 5000)
        await phone.speak(600, 5000)

    assert sent("asks", script, stt=FakeSTT("a table", "monday")) == [
        ("user", "a table", 0),
        ("assistant", "Sure. Which day?", 0),
        ("user", "monday", 0),
        ("assistant", "", 1),
        ("tool", "monday", 0),
    ]


def test_one_handoff_at_a_time():
    class Two(Agent):
        """You have two colleagues."""

        @function_tool
        async def to_sales(self) -> Agent:
            """Hand over to sales."""
            await asyncio.sleep(0.2)
            return Sales()

        @function_tool
        async def to_billing(self) -> Agent:
            """Hand over to billing."""
            return Billing()

    class Sales(Agent):
        greeting = "Sales here."

    class Billing(Agent):
        greeting = "Billing here."

    llm = FakeLLM(ModelTurn((ToolCall("c1", "to_sales", "{}"), ToolCall("c2", "to_billing", "{}"))), "Yes?")

    async def script(phone: Phone) -> None:
        await one_turn(phone)
        await phone.speak(600, 3000)

    phone = call(script, Two(), llm=llm, away_ms=None)
    (handoff,) = phone.of(AgentHandoff)
    assert handoff.to_persona == "Billing"
    first, second = [message for message in llm.requests[-1].messages if message.role == "tool"]
    assert first.is_error and "already handed over to Billing" in first.text
    assert second.text == "The caller now talks to Billing."


def test_halves_of_emoji_poison_nothing():
    llm = FakeLLM(
        ModelTurn(
            (
                "Booked \ud83d",
                "\ude0a for you \ud83d.",
            )
        ),
        "Yes.",
    )

    async def script(phone: Phone) -> None:
        await one_turn(phone)
        await phone.speak(600, 3000)

    call(script, Desk(), llm=llm, away_ms=None, stt=FakeSTT("book \ud83d it", "really?"))
    for message in llm.requests[-1].messages:
        message.text.encode()
    assert llm.requests[-1].messages[2].text == "Booked 😊 for you ."
