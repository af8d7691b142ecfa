"""The summary of an ended call."""

from __future__ import annotations

from typing import Any

from phone import Phone, call

from agent import Agent, DigitEntry, RunContext
from agent.call_summary import call_summary
from agent.events import AgentMessage
from agent.providers.base import ProviderRejected
from agent.providers.fakes import FakeLLM, ModelTurn


def summary_of(agent: Agent, llm: FakeLLM, *, by_model: bool = True) -> tuple[str, str]:
    found: list[tuple[str, str]] = []

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(600)
        await phone.until(AgentMessage)
        await phone.session.aclose("leg_ended")
        found.append(await call_summary(phone.session, by_model=by_model))

    call(script, agent, llm=llm)
    return found[0]


def test_the_model_is_asked_with_what_was_said() -> None:
    llm = FakeLLM("We open at eight.", " Asked for the opening hours. ")
    assert summary_of(Agent(), llm) == ("Asked for the opening hours.", "model")
    asked = llm.requests[-1].messages
    assert "Summarise" in asked[0].text
    assert asked[1].text == "Caller: hello\nAgent: We open at eight."


def test_a_persona_s_own_words_come_first() -> None:
    class Own(Agent):
        async def on_call_summary(self, ctx: RunContext) -> str | None:
            return f"{len(ctx.session.history)} messages"

    llm = FakeLLM("Yes.")
    assert summary_of(Own(), llm) == ("2 messages", "persona")
    assert len(llm.requests) == 1


def test_a_model_that_fails_or_a_hook_that_raises_gives_no_words() -> None:
    class Broken(Agent):
        async def on_call_summary(self, ctx: RunContext) -> Any:
            raise LookupError("no database")

    failing = FakeLLM("Yes.", ModelTurn(error=ProviderRejected("fake-llm", "no money")))
    assert summary_of(Agent(), failing) == ("", "")
    assert summary_of(Broken(), FakeLLM("Yes.")) == ("", "")
    assert summary_of(Agent(), FakeLLM("Yes."), by_model=False) == ("", "")


def test_a_summary_has_no_secret() -> None:
    class Cashier(Agent):
        digits = DigitEntry(length=4, secret=True)

        async def on_call_summary(self, ctx: RunContext) -> str | None:
            return f"keyed {ctx.session.history[0].text}" if own else None

    async def script(phone: Phone) -> None:
        for key in "4711":
            phone.session.on_digit(key, phone.now)
        await phone.until(AgentMessage)
        await phone.session.aclose("leg_ended")
        found.append(await call_summary(phone.session, by_model=True))

    found: list[tuple[str, str]] = []
    llm = FakeLLM("Thank you.", "Keyed 4 7 1 1.")
    own = False
    call(script, Cashier(), llm=llm)
    assert llm.requests[-1].messages[1].text == "Caller: ••••\nAgent: Thank you."
    own = True
    call(script, Cashier(), llm=FakeLLM("Thank you."))
    assert found == [("Keyed • • • •.", "model"), ("keyed ••••", "persona")]
