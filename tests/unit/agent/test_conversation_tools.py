"""Tools in a call, and handoffs to another agent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, RunContext, ToolError, function_tool
from agent.events import (
    AgentHandoff,
    AgentMessage,
    FunctionCall,
    FunctionCallOutput,
    SilencePrompted,
    UserMessage,
    UserTurnEnded,
)
from agent.providers.base import Expectations, ToolCall, Usage
from agent.providers.fakes import FakeLLM, FakeSTT, FakeVAD, ModelTurn
from agent.rules import Intent, Rules
from agent.turns.backchannel import COMMON


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


def tool_call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, arguments)


class Clerk(Agent):
    """You look things up."""

    @function_tool
    async def look_up(self, ctx: RunContext, number: int) -> str:
        """Look an order up.

        Args:
            number: The order's number.
        """
        await asyncio.sleep(ctx.userdata or 0)
        return f"order {number} is on its way"

    @function_tool
    async def refuse(self) -> str:
        raise ToolError("no such order")

    @function_tool
    async def crash(self) -> str:
        raise ZeroDivisionError("secret detail")

    @function_tool(timeout_s=2)
    async def hang(self) -> str:
        await asyncio.sleep(3600)
        return "never"

    @function_tool
    def blocking(self) -> dict[str, int]:
        return {"answer": 42}


def ask_tool(name: str, arguments: str = "{}", *, userdata: Any = None, wait_ms: float = 8000) -> tuple[Phone, FakeLLM]:
    llm = FakeLLM(ModelTurn(("Let me see. ", tool_call(name, arguments))), "Here you are.")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, wait_ms)

    return call(script, Clerk(), llm=llm, userdata=userdata), llm


def test_a_tool_runs_after_the_decision_beside_the_speech_and_the_model_reads_its_output():
    phone, llm = ask_tool("look_up", '{"number": 7}', userdata=0.3)
    called, output = phone.one(FunctionCall), phone.one(FunctionCallOutput)
    assert called.at == near(phone.one(UserTurnEnded).at)
    assert called.arguments == {"number": 7}
    assert (output.output, output.is_error, output.duration_ms) == ("order 7 is on its way", False, 300)
    before, after = phone.of(AgentMessage)
    assert before.text == "Let me see."
    assert output.at < before.at  # it ran while this was being said
    assert after.text == "Here you are."
    assert [message.role for message in llm.requests[1].messages] == ["system", "user", "assistant", "tool"]
    assert llm.requests[1].messages[2].tool_calls[0].name == "look_up"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("look_up", '{"number": "seven"}', "number: Input should be a valid integer"),
        ("look_up", "{}", "number: Field required"),
        ("look_up", '{"number": 7, "color": "red"}', "color: Extra inputs are not permitted"),
        ("look_up", "{not json", "not valid JSON"),
        ("look_up", "[1]", "must be a JSON object"),
        ("refuse", "{}", "no such order"),
        ("crash", "{}", "crash failed with an internal error."),
        ("hang", "{}", "hang timed out."),
        ("invented", "{}", "Unknown function invented."),
    ],
)
def test_what_goes_wrong_in_a_tool_is_told_to_the_model(name, arguments, said):
    phone, llm = ask_tool(name, arguments)
    output = phone.one(FunctionCallOutput)
    assert output.is_error
    assert said in output.output
    assert "secret" not in output.output
    assert phone.of(AgentMessage)[-1].text == "Here you are."
    assert llm.requests[1].messages[-1].is_error


def test_a_blocking_tool_runs_offloaded_and_its_value_becomes_json():
    phone, _ = ask_tool("blocking")
    assert phone.one(FunctionCallOutput).output == '{"answer":42}'


def test_a_slow_tool_is_bridged_once():
    phone, _ = ask_tool("look_up", '{"number": 1}', userdata=6.0, wait_ms=10_000)
    texts = [message.text for message in phone.of(AgentMessage)]
    assert texts == ["Let me see.", "One moment, please.", "Here you are."]
    before, filler = phone.of(AgentMessage)[:2]
    assert filler.started_at - before.at == pytest.approx(3.2, abs=0.041)
    assert "One moment, please." not in [message.text for message in phone.session.history]
    assert phone.of(SilencePrompted) == []


def test_the_silence_ladder_waits_for_a_tool():
    phone, _ = ask_tool("look_up", '{"number": 1}', userdata=9.5, wait_ms=13_000)
    assert phone.of(SilencePrompted) == []


def test_a_model_that_only_calls_tools_is_stopped():
    llm = FakeLLM(*[ModelTurn((tool_call("look_up", '{"number": 1}', f"c{n}"),)) for n in range(9)])

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 5000)

    phone = call(script, Clerk(), llm=llm, max_tool_steps=3)
    assert len(phone.of(FunctionCall)) == 3
    assert llm.requests[3].tools == ()
    assert phone.one(AgentMessage).text == "I'm sorry, that didn't work just now."


def test_tokens_are_counted():
    llm = FakeLLM(ModelTurn(("Hi.", Usage(10, 3))), ModelTurn(("Ho.", Usage(20, 4))))

    async def script(phone: Phone) -> None:
        await phone.session.run(user_input="one")
        await phone.session.run(user_input="two")

    assert call(script, llm=llm).session.tokens == (30, 7)


# --- handoff ------------------------------------------------------------------------------------------------------


class Billing(Agent):
    """You know about invoices."""

    greeting = "Billing, how can I help?"
    rules = Rules((Intent("pay", ("i want to pay",)),))


class Front(Agent):
    """You answer first."""

    left = 0

    @function_tool
    async def billing(self) -> Agent:
        return Billing()

    @function_tool
    async def billing_with_words(self) -> tuple[Agent, str]:
        return Billing(), "One moment, here is billing."

    @function_tool
    async def quiet(self) -> Agent:
        return Agent(instructions="You take over.")

    async def on_exit(self, ctx: RunContext) -> None:
        self.left += 1


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("billing", "Billing, how can I help?"),
        ("billing_with_words", "One moment, here is billing."),
        ("quiet", "I take over."),
    ],
)
def test_handoff(tool, words):
    llm = FakeLLM(ModelTurn((tool_call(tool),)), "I take over.")
    stt = FakeSTT("my bill")
    front = Front()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 5000)

    phone = call(script, front, llm=llm, stt=stt)
    assert phone.one(AgentHandoff).from_persona == "Front"
    assert [message.text for message in phone.of(AgentMessage)] == [words]
    assert front.left == 1
    if tool.startswith("billing"):
        assert stt.expectations[-1] == Expectations(phrases=("i want to pay", *COMMON["en"]))
        assert len(llm.requests) == 1
    else:
        assert llm.requests[1].messages[0].text == "You take over."


def test_a_tool_may_ask_the_caller_itself():
    class Asking(Agent):
        @function_tool(timeout_s=None)
        async def ask(self, ctx: RunContext) -> str:
            await ctx.session.say("Which day?")
            return f"the caller said {await ctx.session.next_message()}"

    llm = FakeLLM(ModelTurn((tool_call("ask"),)), "Done.")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2500)
        await phone.speak(600, 2500)

    phone = call(script, Asking(), llm=llm, stt=FakeSTT("book", "Monday"))
    assert phone.one(FunctionCallOutput).output == "the caller said Monday"
    assert [message.text for message in phone.of(AgentMessage)] == ["Which day?", "Done."]
    assert [message.text for message in phone.of(UserMessage)] == ["book", "Monday"]


def test_two_runs_give_the_same_events():
    def run() -> list[dict[str, Any]]:
        llm = FakeLLM(ModelTurn(("Let me see. ", tool_call("look_up", '{"number": 7}'))), "Here you are, dear caller.")

        async def script(phone: Phone) -> None:
            await phone.wait(333)
            await phone.speak(700, 1200)
            await phone.speak(900, 3000)

        phone = call(script, Clerk(), llm=llm, vad=FakeVAD(lag_windows=2), userdata=0.4)
        return [event.to_dict() for event in phone.events]

    first, second = run(), run()
    assert len(first) > 10
    assert first == second
