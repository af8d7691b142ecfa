"""Sessions without a phone: a test or a console talks to the persona in text."""

from __future__ import annotations

import asyncio

import pytest

from agent import Agent, AgentSession, RunContext, SessionMisuse, function_tool
from agent.events import AgentHandoff, FunctionCall, SessionClosed
from agent.persona import PersonaAware
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeOffload, FakeSTT, ModelTurn
from agent.testing.virtual_clock import run_virtual


class Second(Agent):
    async def on_enter(self, ctx: RunContext) -> None:
        ctx.session.say("Second here.")


class First(Agent):
    """You are first."""

    greeting = "Hello."

    @function_tool
    async def add(self, ctx: RunContext, a: int, b: int) -> int:
        """Add."""
        return a + b + ctx.userdata

    @function_tool
    async def second(self) -> Agent:
        """Hand over."""
        return Second()

    @function_tool
    async def call_somebody(self, ctx: RunContext) -> str:
        """Use the phone."""
        await ctx.call.hang_up()
        return "never"


def test_a_turn_of_text_gives_its_events_in_order():
    llm = FakeLLM(ModelTurn(("Let me see. ", ToolCall("c1", "add", '{"a": 1, "b": 2}'))), "It is 13.")

    async def run() -> None:
        session = AgentSession(llm=llm, userdata=10, offload=FakeOffload())
        await session.start(agent=First())
        result = await session.run(user_input="What is one and two?")
        kinds = [event.type for event in result.events if event.type != "turn_latency"]
        assert kinds == ["user_message", "agent_message", "function_call", "function_call_output", "agent_message"]
        assert result.text == "Let me see. It is 13."
        assert [message.role for message in session.history] == ["assistant", "user", "assistant", "tool", "assistant"]
        assert session.history[3].text == "13"
        await session.aclose()

    run_virtual(run())


def test_handoff_and_on_enter_belong_to_the_turn():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM(ModelTurn((ToolCall("c1", "second", "{}"),))))
        await session.start(agent=First())
        result = await session.run(user_input="somebody else")
        assert any(isinstance(event, AgentHandoff) for event in result.events)
        assert result.text == "Second here."
        assert session.agent.name == "Second"
        await session.aclose()

    run_virtual(run())


def test_end_call_closes_a_text_session():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM(ModelTurn((ToolCall("c1", "end_call", '{"farewell": "Bye."}'),))))
        await session.start(agent=First())
        result = await session.run(user_input="that is all")
        assert isinstance(result.events[-1], SessionClosed)
        assert (await session.closed).reason == "agent_ended"
        assert result.text == "Bye."
        after = await session.run(user_input="hello?")
        assert after.text == ""

    run_virtual(run())


def test_phone_verbs_are_refused_by_name_where_there_is_no_phone():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM(ModelTurn((ToolCall("c1", "call_somebody", "{}"),)), "Sorry."))
        await session.start(agent=First())
        result = await session.run(user_input="hang up")
        assert any(isinstance(event, FunctionCall) for event in result.events)
        assert result.text == "Sorry."
        await session.aclose()

    run_virtual(run())


def test_a_session_may_wait_for_ever_for_text():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM("Still here."))
        await session.start(agent=First())
        await asyncio.sleep(3600)
        assert (await session.run(user_input="hello")).text == "Still here."
        await session.aclose()

    run_virtual(run())


def test_replies_take_their_turns_and_handles_can_be_awaited_and_interrupted():
    llm = FakeLLM(ModelTurn(("One.",), first_ms=100), ModelTurn(("Two.",), first_ms=100), "Three.")

    async def run() -> None:
        session = AgentSession(llm=llm)
        await session.start(agent=Agent())
        first = session.generate_reply(instructions="Count.")
        second = session.generate_reply()
        third = session.generate_reply()
        second.interrupt()
        assert (await first).text == "One."
        assert llm.requests[0].messages[-1].text == "Count."
        assert (await second).interrupted
        assert (await third).text == "Two."
        await session.aclose()

    run_virtual(run())


def test_a_reply_interrupted_before_its_first_step_leaves_nothing_behind():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM("Next."))
        await session.start(agent=Agent())
        handle = session.generate_reply()
        assert session.interrupt()
        assert (await handle).interrupted
        assert (await session.generate_reply()).text == "Next."
        await session.aclose()

    run_virtual(run())


def test_handles_are_released_when_the_session_closes():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM(ModelTurn(hang=True)))
        await session.start(agent=Agent())
        reply = session.generate_reply()
        await asyncio.sleep(1)
        await session.aclose()
        assert (await reply).interrupted
        assert (await session.say("too late")).interrupted

    run_virtual(run())


def test_closing_from_within_a_tool():
    class Quitter(Agent):
        @function_tool
        async def quit(self, ctx: RunContext) -> str:
            """Quit."""
            await ctx.session.aclose("agent_ended")
            return "never"

    async def run() -> None:
        session = AgentSession(llm=FakeLLM(ModelTurn((ToolCall("c1", "quit", "{}"),))))
        await session.start(agent=Quitter())
        result = await session.run(user_input="quit")
        assert isinstance(result.events[-1], SessionClosed)

    run_virtual(run())


def test_a_persona_aware_model_is_asked_for_one_of_each_persona():
    class Rules:
        name = "rules"

        def __init__(self) -> None:
            self.asked: list[str] = []

        def for_persona(self, agent: Agent) -> FakeLLM:
            self.asked.append(agent.name)
            return FakeLLM(ModelTurn((ToolCall("c1", "second", "{}"),)))

    async def run() -> None:
        rules = Rules()
        assert isinstance(rules, PersonaAware)
        session = AgentSession(llm=rules)  # type: ignore[arg-type]  # it only makes LLMs
        await session.start(agent=First())
        await session.run(user_input="somebody else")
        assert rules.asked == ["First", "Second"]
        await session.aclose()

    run_virtual(run())


def test_misuse_is_refused():
    async def run() -> None:
        session = AgentSession(llm=FakeLLM())
        with pytest.raises(SessionMisuse, match="not started"):
            session.say("x")
        session.leg_ended()  # before the start: nothing to end
        session.on_digit("1", 0.0)
        await session.aclose()
        with pytest.raises(SessionMisuse, match="VAD"):
            await AgentSession(stt=FakeSTT()).start(agent=Agent())
        await session.start(agent=Agent())
        with pytest.raises(SessionMisuse, match="once"):
            await session.start(agent=Agent())
        await session.aclose()
        await session.aclose("twice")
        assert (await session.closed).reason == "agent_ended"

    run_virtual(run())
