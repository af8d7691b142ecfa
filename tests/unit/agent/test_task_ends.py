"""How a task ends: by failure, time limit, hang-up, drain or handoff."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone import Phone, call
from task_desk import Billing, Day, Desk, calls, conversation, said

from agent import Agent, RunContext, function_tool
from agent.events import (
    AgentHandoff,
    AgentMessage,
    FunctionCallOutput,
    SessionClosed,
    TaskCompleted,
)
from agent.providers.fakes import FakeLLM, FakeSTT
from agent.tasks import TaskAbandoned
from agent.worker.resumption import restored_history, snapshot_of


@pytest.mark.parametrize(
    ("tool", "outcome", "read"),
    [
        ("none_suits", "failed", "no day suits the caller"),
        ("breaks", "failed", "book failed with an internal error."),
    ],
)
def test_what_a_task_fails_with_is_raised_where_it_is_awaited(tool, outcome, read):
    llm = FakeLLM(calls("book"), calls(tool), "I'm sorry.")
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "no"))
    assert said(phone) == ["Which day?", "I'm sorry."]
    assert phone.one(TaskCompleted).outcome == outcome
    last = phone.of(FunctionCallOutput)[-1]
    assert last.is_error and last.output == read


def test_a_task_whose_on_enter_raises_has_failed():
    class Broken(Day):
        async def on_enter(self, ctx: RunContext) -> None:
            raise LookupError("no calendar")

    desk = Desk()
    desk.day = Broken()
    phone = call(agent=desk, llm=FakeLLM(calls("book"), "I'm sorry."), **conversation("a table"))
    assert phone.one(TaskCompleted).outcome == "failed"
    assert isinstance(desk.seen[0], LookupError)
    assert said(phone)[-1] == "I'm sorry."


def test_a_task_s_time_limit():
    llm = FakeLLM(calls("book"), "Let us leave that.")
    desk = Desk(timeout_s=5.0)
    phone = call(agent=desk, llm=llm, **conversation("a table", between_ms=10_000))
    done = phone.one(TaskCompleted)
    assert (done.outcome, done.duration_ms) == ("timed_out", 5000)
    assert phone.one(FunctionCallOutput).output == "Day got no result within 5 s."
    assert said(phone) == ["Which day?", "Let us leave that."]


def test_a_time_limit_stands_still_while_the_caller_holds():
    desk = Desk(timeout_s=8.0)

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        phone.session.on_hold(phone.now)
        await phone.wait(20_000)
        phone.session.on_resume(phone.now)
        await phone.wait(1500)
        await phone.speak(600, 4000)

    llm = FakeLLM(calls("book"), calls("is_monday"), "Done.")
    phone = call(script, desk, llm=llm, stt=FakeSTT("a table", "monday"), away_ms=None)
    assert phone.one(TaskCompleted).outcome == "completed"
    assert said(phone) == ["Which day?", "I'm here.", "Which day?", "Done."]


def test_the_caller_hangs_up_amid_a_task():
    desk = Desk()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        phone.session.leg_ended()
        closed = await phone.closed()
        assert closed.reason == "leg_ended"

    phone = call(script, desk, llm=FakeLLM(calls("book")), stt=FakeSTT("a table"), away_ms=None)
    assert phone.one(TaskCompleted).outcome == "cancelled"
    assert isinstance(desk.seen[0], asyncio.CancelledError)
    assert desk.day.left == 1
    assert phone.types()[-1] == "session_closed"


def test_a_drain_ends_a_task_that_waits():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        await phone.session.drain()

    phone = call(script, Desk(), llm=FakeLLM(calls("book")), stt=FakeSTT("a table"), away_ms=None)
    assert phone.one(SessionClosed).reason == "drained"
    assert phone.one(TaskCompleted).outcome == "cancelled"
    assert said(phone)[0] == "Which day?" and phone.of(AgentMessage)[-1].kind == "farewell"
    assert phone.call.hung_up


def test_the_call_may_end_within_a_task():
    llm = FakeLLM(calls("book"), calls("ends"))
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "never mind"))
    assert phone.one(SessionClosed).reason == "agent_ended"
    assert said(phone) == ["Which day?", "Bye then."]
    assert phone.one(TaskCompleted).outcome == "cancelled"


def test_a_handoff_out_of_a_task_ends_whatever_waits_for_it():
    llm = FakeLLM(calls("book"), calls("to_billing"), "It is paid.")
    desk = Desk()
    phone = call(agent=desk, llm=llm, **conversation("a table", "no, my bill", "and now?"))
    assert said(phone) == ["Which day?", "Billing here.", "It is paid."]
    assert phone.one(AgentHandoff).from_persona == "Day" and phone.one(AgentHandoff).to_persona == "Billing"
    assert phone.one(TaskCompleted).outcome == "handed_over"
    assert isinstance(desk.seen[0], TaskAbandoned) and desk.day.left == 1
    assert len(llm.requests) == 3
    assert llm.requests[2].messages[0].text == "You know about invoices."
    assert type(phone.session.agent) is type(phone.session.persona) is Billing


def test_a_tool_may_give_up_on_its_task():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self) -> str:
            try:
                async with asyncio.timeout(3):
                    return await Day()
            except TimeoutError:
                return "no day"

    llm = FakeLLM(calls("book"), "Another time.", "Yes?")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "hello", between_ms=6000))
    assert phone.one(TaskCompleted).outcome == "cancelled"
    assert phone.one(FunctionCallOutput).output == "no day"
    assert said(phone) == ["Which day?", "Another time.", "Yes?"]


def test_a_conversation_that_is_lost_amid_a_task_asks_the_persona_s_model_again():
    snapshots: list[dict[str, Any]] = []

    async def script(phone: Phone) -> None:
        await phone.session.run(user_input="a table")
        snapshots.append(snapshot_of(phone.session))

    call(script, Desk(), llm=FakeLLM(calls("book")))
    assert snapshots[0]["persona"].endswith(":Desk")
    assert [(message.role, message.text) for message in restored_history(snapshots[0])] == [("user", "a table")]
