"""The yes-or-no task: with a model, without one, and by speech with the offline providers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from phone import Phone, call

from agent import Agent, Intent, Rules, RunContext, function_tool
from agent.events import AgentMessage, FunctionCallOutput, TaskCompleted
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn
from agent.providers.rules import RulesLLM
from agent.tasks import Confirm
from agent.testing.expectation import Expectation
from agent.testing.fixture_format import load_fixture
from agent.testing.replay import replay_fixture
from agent.turns.yes_or_no import yes_or_no

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"


class Host(Agent):
    """You book tables."""

    greeting = "Hello, how can I help?"
    rules = Rules(
        (
            Intent("book", ("i'd like an appointment [tomorrow] [morning] [please]",), tool="book", reply="{result}"),
            Intent("bye", ("no thank you goodbye", "goodbye"), tool="end_call", reply="Goodbye!"),
        )
    )

    @function_tool
    async def book(self, ctx: RunContext) -> str:
        """Book a table."""
        if await Confirm("Shall I book it for tomorrow at nine thirty?"):
            return "It is booked for tomorrow at nine thirty."
        return "I have not booked anything."


def asked(*sentences: str, llm: object, agent: Agent | None = None) -> Phone:
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        for _ in sentences:
            await phone.speak(600, 6000)

    return call(script, agent or Host(), llm=llm, stt=FakeSTT(*sentences), away_ms=None)


def book(*answers: object) -> FakeLLM:
    return FakeLLM(ModelTurn((ToolCall("c1", "book", "{}"),)), *answers)


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("Yes, please.", "It is booked for tomorrow at nine thirty."),
        ("yeah sure", "It is booked for tomorrow at nine thirty."),
        ("No.", "I have not booked anything."),
        ("no thanks", "I have not booked anything."),
    ],
)
def test_a_plain_answer_needs_no_model(words, outcome):
    llm = book("Fine.")
    phone = asked("a table", words, llm=llm)
    assert phone.one(FunctionCallOutput).output == outcome
    assert len(llm.requests) == 2 and phone.of(AgentMessage)[-1].text == "Fine."


def test_of_anything_else_the_model_says_what_it_means():
    llm = book("At nine thirty. Shall I?", ModelTurn((ToolCall("c2", "caller_said_yes", "{}"),)), "Booked.")
    phone = asked("a table", "what time was that again", "well go on then", llm=llm)
    assert [message.text for message in phone.of(AgentMessage)][-2:] == ["At nine thirty. Shall I?", "Booked."]
    assert phone.of(FunctionCallOutput)[-1].output == "It is booked for tomorrow at nine thirty."
    assert "Shall I book it" in llm.requests[1].messages[0].text


def test_a_caller_who_wants_something_else_is_no_no():
    wants = ModelTurn((ToolCall("c2", "caller_wants_something_else", '{"what": "the opening hours"}'),))
    phone = asked("a table", "when do you open on sundays", llm=book(wants, "At ten."))
    output = phone.of(FunctionCallOutput)[-1]
    assert output.is_error and output.output.endswith("but wants something else: the opening hours")
    assert phone.one(TaskCompleted).outcome == "failed"


def test_it_ends_when_no_answer_is_clear():
    phone = asked(
        "a table", "hm", "maybe", "i wonder", "who knows", llm=book("Yes or no?", "Yes or no?", "Yes or no?", "Ok.")
    )
    assert "no clear answer" in phone.of(FunctionCallOutput)[-1].output
    assert phone.of(AgentMessage)[-1].text == "Ok."


def test_the_rules_follow_what_was_said_to_the_persona_and_not_what_was_said_to_the_task():
    sentences = ("i'd like an appointment", "blue cheese", "yes", "goodbye")
    phone = asked(*sentences, llm=RulesLLM())
    texts = [message.text for message in phone.of(AgentMessage)]
    assert texts[1] == "Shall I book it for tomorrow at nine thirty?"
    assert texts[2].endswith("Shall I book it for tomorrow at nine thirty?") and texts[2].startswith("Sorry")
    assert texts[3:] == ["It is booked for tomorrow at nine thirty.", "Goodbye!"]


def test_it_works_by_speech_with_the_offline_providers():
    fixture = replace(load_fixture(AUDIO / "plain_booking"), expect=Expectation(), dialplan=None)
    result = replay_fixture(fixture, persona=Host)
    (done,) = [event for event in result.events if event.type == "task_completed"]
    assert (done.fields["task"], done.fields["outcome"], done.fields["result"]) == ("Confirm", "completed", "True")
    said = [str(event.fields["text"]) for event in result.events if event.type == "agent_message"]
    assert said[1:] == [
        "Shall I book it for tomorrow at nine thirty?",
        "It is booked for tomorrow at nine thirty.",
        "Goodbye!",
    ]
    assert result.end_reason == "agent_ended"
    assert "task_started task=Confirm persona=Host" in result.transcript


@pytest.mark.parametrize(
    ("text", "language", "answer"),
    [
        ("yes", "en", True),
        ("Yes, book it please.", "en", True),
        ("that's right", "en", True),
        ("no, that's wrong", "en", False),
        ("that's not right", "en", None),
        ("no problem, yes", "en", None),
        ("not sure", "en", None),
        ("yes but make it friday", "en", None),
        ("yes at nine thirty if that is possible", "en", None),
        ("", "en", None),
        ("Ja, gerne.", "de-AT", True),
        ("nein danke", "de", False),
        ("sí claro", "es", True),
        ("non merci", "fr", False),
        ("sì", "it", True),
        ("não", "pt-BR", False),
        ("tak", "pl", None),
    ],
)
def test_yes_or_no(text, language, answer):
    assert yes_or_no(text, language) is answer


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Press 1 for yes, or 2 for no."),
        ("de-AT", "Drücken Sie die 1 für ja oder die 2 für nein."),
        ("es", "Pulse 1 para sí o 2 para no."),
        ("fr", "Tapez 1 pour oui, ou 2 pour non."),
        ("it", "Prema 1 per sì o 2 per no."),
        ("pt", "Prima 1 para sim ou 2 para não."),
    ],
)
@pytest.mark.parametrize(("key", "answer"), [("1", "True"), ("2", "False")])
def test_keys_answer_as_the_prompt_says_in_every_language(language, words, key, answer):
    class Asks(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            await Confirm("?", say_keys=True)

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        phone.session.on_digit(key, phone.now)
        await phone.wait(500)

    asks = Asks()
    asks.language = language
    phone = call(script, asks, llm=FakeLLM())
    assert [message.full_text for message in phone.of(AgentMessage)] == [f"? {words}"]
    assert phone.one(TaskCompleted).result == answer
