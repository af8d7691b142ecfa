"""What a persona reports about its call: a result, an opt-out, the wish to be called again."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from agent import Agent, AgentSession, RunContext, function_tool
from agent.events import CallbackAsked, FunctionCallOutput, OptedOut, ResultReported, SessionEvent
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeOffload, ModelTurn
from agent.testing.virtual_clock import run_virtual


class Surveyor(Agent):
    """You ask one question."""

    greeting = "Hello."

    @function_tool
    async def done(self, ctx: RunContext) -> str:
        """The survey is over."""
        ctx.result(score=7, words="fine")
        ctx.opt_out("please never call again")
        ctx.call_back(datetime(2026, 12, 1, 17, tzinfo=ZoneInfo("Europe/Berlin")))
        return "noted"

    @function_tool
    async def wrong(self, ctx: RunContext) -> str:
        """Try what is refused."""
        refused: list[str] = []
        attempts: list[Any] = [
            lambda: ctx.result(text="x" * 10_000),
            lambda: ctx.result(when=datetime(2026, 12, 1)),
            lambda: ctx.result(share=float("nan")),
            lambda: ctx.call_back(datetime(2026, 12, 1, 17)),
        ]
        for attempt in attempts:
            try:
                attempt()
            except (TypeError, ValueError) as error:
                refused.append(str(error))
        return f"{len(refused)} refused"


def events_of(tool: str) -> list[SessionEvent]:
    events: list[SessionEvent] = []

    async def run() -> None:
        llm = FakeLLM(ModelTurn((ToolCall("c1", tool, "{}"),)), "Thank you.")
        session = AgentSession(llm=llm, offload=FakeOffload())
        session.subscribe(events.append)
        await session.start(agent=Surveyor())
        await session.run(user_input="Seven. Please never call again.")
        await session.aclose()

    run_virtual(run())
    return events


def test_what_a_call_has_come_to_is_an_event_of_it() -> None:
    told = [event for event in events_of("done") if isinstance(event, ResultReported | OptedOut | CallbackAsked)]
    assert [event.to_dict() | {"at": 0} for event in told] == [
        {"type": "result_reported", "at": 0, "result": {"score": 7, "words": "fine"}},
        {"type": "opted_out", "at": 0, "words": "please never call again"},
        {"type": "callback_asked", "at": 0, "when": "2026-12-01T17:00:00+01:00"},
    ]


def test_what_is_no_result_is_refused() -> None:
    (output,) = [event for event in events_of("wrong") if isinstance(event, FunctionCallOutput)]
    assert output.output == "4 refused"
