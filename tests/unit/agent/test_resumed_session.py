"""A conversation that continues in another session, as after the loss of its process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent import Agent, AgentSession, ChatMessage, RunContext, function_tool
from agent.providers.base import ToolCall
from agent.providers.instant import InstantLLM
from agent.worker.resumption import keep_stored, restore_userdata, restored_agent, restored_history, snapshot_of


class Desk(Agent):
    """You help."""

    greeting = "Hello."

    def __init__(self) -> None:
        super().__init__()
        self.entered = 0
        self.invoice = ""

    async def on_enter(self, ctx: RunContext) -> None:
        self.entered += 1

    def snapshot(self) -> dict[str, Any]:
        return {"invoice": self.invoice}

    def restore(self, data: dict[str, Any]) -> None:
        self.invoice = data["invoice"]


class Billing(Desk):
    """You know invoices."""


class NeedsMore(Agent):
    """It cannot be created without its argument."""

    def __init__(self, number: str) -> None:
        super().__init__()


class First(Agent):
    """You hand over."""

    @function_tool
    async def billing(self, ctx: RunContext) -> Billing:
        """About invoices."""
        return Billing()


def said(session: AgentSession) -> list[str]:
    return [message.text for message in session.history if message.role == "assistant"]


async def resumed(history: list[ChatMessage], agent: Agent) -> AgentSession:
    session = AgentSession(llm=InstantLLM("Tomorrow at nine."))
    await session.start(agent=agent, resumed=history)
    return session


async def test_what_was_asked_last_is_asked_again() -> None:
    desk = Desk()
    history = [ChatMessage("assistant", "Hello."), ChatMessage("user", "Hi."), ChatMessage("assistant", "Which day?")]
    session = await resumed(history, desk)
    assert said(session) == ["Hello.", "Which day?", "One moment, please.", "Which day?"]
    assert desk.entered == 0
    assert [m.text for m in session.history if m.role == "user"] == ["Hi."]
    await session.aclose()


async def test_an_answer_that_was_owed_is_given() -> None:
    session = await resumed([ChatMessage("assistant", "Hello."), ChatMessage("user", "When?")], Desk())
    assert said(session) == ["Hello.", "One moment, please.", "Tomorrow at nine."]
    await session.aclose()


async def test_a_conversation_that_had_not_begun_begins() -> None:
    desk = Desk()
    session = await resumed([], desk)
    assert said(session) == ["One moment, please.", "Hello."]
    assert desk.entered == 1
    await session.aclose()


async def test_a_snapshot_is_json_and_leads_back_to_the_same_conversation() -> None:
    stored: list[dict[str, Any]] = []
    session = AgentSession(llm=InstantLLM("Which day?"))
    keep_stored(session, stored.append)
    desk = Desk()
    await session.start(agent=desk)
    desk.invoice = "4711"
    await session.run(user_input="An appointment.")
    await session.aclose()
    data = json.loads(json.dumps(stored[-1]))
    assert restored_history(data) == session.history
    agent = restored_agent(data, Desk())
    assert isinstance(agent, Desk)
    assert agent.invoice == "4711"


async def test_the_persona_that_was_active_is_found_again() -> None:
    session = AgentSession(llm=InstantLLM())
    await session.start(agent=Billing())
    data = json.loads(json.dumps(snapshot_of(session)))
    await session.aclose()
    assert type(restored_agent(data, First())) is Billing


@pytest.mark.parametrize("persona", [f"{__name__}:NeedsMore", f"{__name__}:Nobody", "no.such.module:X", ""])
def test_a_persona_that_cannot_be_made_is_stood_in_for(persona: str) -> None:
    first = First()
    assert restored_agent({"persona": persona, "persona_state": {"invoice": "1"}}, first) is first


def test_tool_calls_without_an_answer_are_asked_for_again() -> None:
    call = ToolCall("t1", "billing", "{}")
    history = [
        ChatMessage("user", "My invoice."),
        ChatMessage("assistant", "", (call,)),
        ChatMessage("assistant", "One moment, please."),
    ]
    data = {"history": [_plain(message) for message in history]}
    assert restored_history(data) == history[:1]
    answered = [*history[:2], ChatMessage("tool", "done", tool_call_id="t1"), *history[2:]]
    assert restored_history({"history": [_plain(message) for message in answered]}) == answered


@pytest.mark.parametrize(
    "data", [{}, {"history": [{"role": "user"}]}, {"history": [{"role": "user", "tool_calls": [1]}]}]
)
def test_what_is_no_stored_conversation(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a stored conversation"):
        restored_history(data)


def _plain(message: ChatMessage) -> dict[str, Any]:
    from dataclasses import asdict

    plain: dict[str, Any] = json.loads(json.dumps(asdict(message)))
    return plain


def test_userdata_that_a_factory_made_anew_gets_what_was_kept() -> None:
    class Visit:
        seen = 0

        def snapshot(self) -> dict[str, int]:
            return {"seen": self.seen}

        def restore(self, data: dict[str, int]) -> None:
            self.seen = data["seen"]

    visit = Visit()
    restore_userdata({"userdata": {"seen": 3}}, visit)
    assert visit.seen == 3
    restore_userdata({"userdata": None}, visit)
    restore_userdata({"userdata": {"seen": 4}}, object())  # one that keeps nothing
    assert visit.seen == 3
