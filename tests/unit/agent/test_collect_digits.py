"""The task that collects digits: keyed or spoken, during the agent's speech, with limits, retries, confirmation and
secrets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, RunContext, function_tool
from agent.events import (
    AgentMessage,
    DigitReceived,
    FunctionCallOutput,
    RecordingPaused,
    RecordingResumed,
    TaskCompleted,
    UserMessage,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn
from agent.providers.rules import RulesLLM
from agent.rules import Intent, Rules
from agent.tasks import CollectDigits, Menu
from agent.tasks.collect_digits import digits_in
from agent.testing.expectation import Expectation
from agent.testing.fixture_format import load_fixture
from agent.testing.replay import replay_fixture
from agent.turns.first_digit import FirstDigit, Nothing

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
PROMPT = "Your order number, please."
AGAIN = f"Sorry, I didn't catch that. Could you say it again? {PROMPT}"


class Desk(Agent):
    """You know about orders."""

    rules = Rules((Intent("order", ("where is my order",), tool="status", reply="{result}"),))

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = options

    @function_tool
    async def status(self) -> str:
        """Where an order is."""
        return f"order {await CollectDigits(PROMPT, **self._options)}"


def collect(script: Any, *answers: object, stt: Any = (), llm: Any = None, **options: Any) -> Phone:
    async def asked(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 600)
        await script(phone)
        await phone.wait(4000)

    llm = llm or FakeLLM(ModelTurn((ToolCall("c1", "status", "{}"),)), *answers)
    return call(asked, Desk(**options), llm=llm, stt=FakeSTT("where is my order", *stt))


async def keys(phone: Phone, pressed: str, gap_ms: float = 200) -> None:
    for key in pressed:
        phone.session.on_digit(key, phone.now)
        await phone.wait(gap_ms)


def said(phone: Phone) -> list[str]:
    return [message.text for message in phone.of(AgentMessage) if message.text]


def outcome(phone: Phone) -> str:
    return phone.of(FunctionCallOutput)[-1].output


def test_it_is_done_at_once_at_its_full_length_over_the_agent_s_words():
    ended: list[float] = []

    async def script(phone: Phone) -> None:
        await phone.wait(300)  # amid the prompt
        await keys(phone, "48115")
        ended.append(phone.now - 0.2)

    phone = collect(script, "It is on its way.", length=5)
    assert outcome(phone) == "order 48115"
    prompt, answer = phone.of(AgentMessage)
    assert prompt.interrupted and prompt.full_text == PROMPT and answer.text == "It is on its way."
    assert phone.one(TaskCompleted).at == pytest.approx(ended[0], abs=0.05)


@pytest.mark.parametrize(("pressed", "terminators"), [("123#", "#"), ("123*", "#*"), ("123", "")])
def test_with_a_terminator_or_after_a_pause(pressed, terminators):
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, pressed)

    phone = collect(script, "Fine.", least=2, most=8, terminators=terminators, inter_digit_timeout_ms=2000)
    assert outcome(phone) == "order 123"


def test_too_few_are_asked_for_again_and_the_third_time_is_the_last():
    async def script(phone: Phone) -> None:
        for _ in range(3):
            await phone.wait(5000)
            await keys(phone, "12#")

    phone = collect(script, "Never mind.", length=5)
    assert said(phone) == [PROMPT, AGAIN, AGAIN, "Never mind."]
    assert (
        phone.of(FunctionCallOutput)[-1].is_error
        and outcome(phone) == f'the caller gave no answer that fits to "{PROMPT}"'
    )


def test_nobody_keys_anything():
    async def script(phone: Phone) -> None:
        await phone.wait(30_000)

    phone = collect(script, "Never mind.", length=5, retries=1, retry_prompt="The number, please.")
    assert said(phone)[:3] == [PROMPT, "The number, please.", "Never mind."]
    first, second = phone.of(AgentMessage)[:2]
    assert second.started_at - first.at == pytest.approx(7.0, abs=0.1)


def test_a_hold_is_no_silence():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        phone.session.on_hold(phone.now)
        await phone.wait(40_000)
        phone.session.on_resume(phone.now)
        await phone.wait(3000)
        await keys(phone, "48115")

    phone = collect(script, "Fine.", length=5, retries=0)
    assert outcome(phone) == "order 48115"


def test_spoken_digits_count_too_and_may_come_in_pieces():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await phone.speak(600, 2500)
        await phone.speak(600, 2500)

    phone = collect(script, "Fine.", stt=("it's four eight one", "one five"), length=5)
    assert outcome(phone) == "order 48115"
    assert said(phone) == [PROMPT, "Fine."]


def test_what_is_no_number_is_the_model_s():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await phone.speak(600, 4000)
        await phone.speak(600, 1000)

    none = ModelTurn((ToolCall("c2", "caller_has_none", '{"why": "lost the letter"}'),))
    phone = collect(script, "It is in the letter.", none, "I see.", stt=("where do I find it", "I lost it"), length=5)
    assert said(phone) == [PROMPT, "It is in the letter.", "I see."]
    assert outcome(phone) == "the caller gave no number: lost the letter"


def test_it_is_read_back_and_asked_for_again_when_that_is_wrong():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "48116")
        await phone.wait(5000)
        await phone.speak(600, 7000)
        await keys(phone, "48115")
        await phone.wait(5000)
        await phone.speak(600, 1000)

    phone = collect(script, "Fine.", stt=("no", "yes"), length=5, confirm=True)
    assert said(phone) == [
        PROMPT,
        "I have 4 8 1, 1 6. Is that right?",
        AGAIN,
        "I have 4 8 1, 1 5. Is that right?",
        "Fine.",
    ]
    assert outcome(phone) == "order 48115"


def test_the_application_may_say_what_fits():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "11")
        await phone.wait(6000)
        await keys(phone, "12")

    phone = collect(script, "Fine.", length=2, valid=lambda digits: int(digits) % 2 == 0)
    assert outcome(phone) == "order 12"


@pytest.mark.parametrize("spoken", [False, True])
def test_a_secret_is_nowhere_and_the_recording_is_silent_meanwhile(spoken):
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        if spoken:
            await phone.speak(600, 4000)
            await phone.speak(600, 4000)
        else:
            await keys(phone, "4711")

    pieces = ("four seven", "one one") if spoken else ()
    phone = collect(script, "Thank you, 4 7 1 1.", stt=pieces, length=4, secret=True)
    assert phone.one(TaskCompleted).outcome == "completed"
    told = [str(event.to_dict()) for event in phone.events]
    for secret in ("4711", "4 7 1 1", "seven"):
        assert not any(secret in line for line in told), secret
    assert {digit.digit for digit in phone.of(DigitReceived)} <= {"•"}
    assert [message.text for message in phone.of(UserMessage)][1:] == (["• •", "• •"] if spoken else ["••••"])
    paused, resumed = phone.one(RecordingPaused), phone.one(RecordingResumed)
    assert paused.at < 2.5 + phone.began_at and resumed.at >= phone.one(TaskCompleted).at


def test_a_long_secret_is_confirmed_by_its_end():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "4111111111111234")
        await phone.wait(6000)
        await phone.speak(600, 4000)

    phone = collect(script, "Fine.", stt=("yes",), length=16, secret=True, confirm=True)
    assert said(phone)[1] == "I have a number that ends in 1 2 3 4. Is that right?"
    assert outcome(phone) == "order ••••••••••••••••"


def test_it_needs_no_model():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await phone.speak(600, 7000)
        await keys(phone, "48115")

    phone = collect(script, stt=("blue cheese",), llm=RulesLLM(), length=5)
    assert said(phone) == [PROMPT, AGAIN, "order 48115"]


@pytest.mark.parametrize(
    "options",
    [{"length": 0}, {"least": 5, "most": 3}, {"retries": -1}, {"first_digit_timeout_ms": 0}, {"terminators": "x"}],
)
def test_contradictions_are_refused(options):
    with pytest.raises(ValueError):
        CollectDigits(PROMPT, **options)


@pytest.mark.parametrize(
    ("text", "said_before", "digits"),
    [
        ("48115", "", "48115"),
        ("four eight double one five", "", "48115"),
        ("it is 48 115", "", "48115"),
        ("the number is four eight one one five thank you", "", "48115"),
        ("four eight one", "", "481"),
        ("one five", "481", "48115"),
        ("I have two of those which one do you mean", "", ""),
        ("where do I find it", "", ""),
        ("", "", ""),
    ],
)
def test_digits_in_words(text, said_before, digits):
    assert digits_in(text, said_before, 5, 5) == digits


class Orders(Agent):
    """You know about orders."""

    greeting = "Order desk."
    rules = Rules((Intent("bye", ("no thank you goodbye", "goodbye"), tool="end_call", reply="Goodbye!"),))

    async def on_enter(self, ctx: RunContext) -> None:
        number = await CollectDigits("Please key in or say your order number.", length=5)
        await ctx.session.say(f"Order {number} is on its way.")


@pytest.mark.parametrize(("name", "number"), [("spoken_order_number", "29340"), ("dtmf_order", "48115")])
def test_it_works_by_speech_and_by_key_with_the_offline_providers(name, number):
    fixture = replace(load_fixture(AUDIO / name), expect=Expectation(), dialplan=None)
    result = replay_fixture(fixture, persona=Orders)
    (done,) = [event for event in result.events if event.type == "task_completed"]
    assert (done.fields["outcome"], done.fields["result"]) == ("completed", number), result.transcript
    assert f"Order {number} is on its way." in result.transcript


class Front(Agent):
    """You answer first."""

    @function_tool
    async def route(self) -> str:
        choices = {"1": "sales", "2": "billing", "*": "the operator"}
        return f"to {await Menu(choices, 'Sales, billing, or the operator?')}"


@pytest.mark.parametrize(
    ("pressed", "spoken", "chosen"),
    [
        ("2", "", "billing"),
        ("*", "", "the operator"),
        ("92", "", "billing"),
        ("", "billing", "billing"),
        ("", "number one please", "sales"),
        ("", "The operator.", "the operator"),
        ("", "i would like to buy something", "sales"),
    ],
)
def test_a_menu_by_key_by_number_and_by_name(pressed, spoken, chosen):
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 4000)
        for key in pressed:
            phone.session.on_digit(key, phone.now)
            await phone.wait(6000)
        if spoken:
            await phone.speak(600, 3000)

    picks = ModelTurn((ToolCall("c2", "choose", '{"name": "sales"}'),))
    llm = FakeLLM(ModelTurn((ToolCall("c1", "route", "{}"),)), *([picks] if "buy" in spoken else []), "Fine.")
    phone = call(script, Front(), llm=llm, stt=FakeSTT("hello", spoken), away_ms=None)
    assert outcome(phone) == f"to {chosen}"


def test_a_menu_needs_no_model():
    class Ruled(Front):
        rules = Rules((Intent("route", ("hello",), tool="route", reply="{result}"),))

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 4000)
        await phone.speak(600, 6000)
        await phone.speak(600, 3000)

    phone = call(script, Ruled(), llm=RulesLLM(), stt=FakeSTT("hello", "blue cheese", "billing please"), away_ms=None)
    assert outcome(phone) == "to billing"


@pytest.mark.parametrize("choices", [{}, {"1": "a", "2": "a"}, {"": "a"}, {"x": "a"}])
def test_choices_that_cannot_be_told_apart_are_refused(choices):
    with pytest.raises(ValueError):
        Menu(choices, "Which?")


def test_the_wait_for_a_first_digit():
    wait = FirstDigit(limit_ms=7000)
    assert wait.deadline is None and wait.tick(100.0) == ()
    wait.quiet(1.0)
    assert wait.deadline == 8.0 and wait.tick(7.9) == ()
    wait.busy()
    assert wait.tick(9.0) == ()
    wait.quiet(10.0)
    assert wait.tick(17.0) == (Nothing(),) and wait.tick(18.0) == ()
