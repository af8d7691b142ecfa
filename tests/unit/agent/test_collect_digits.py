"""The task that collects digits: keyed or spoken, during the agent's speech, with limits, retries, confirmation and
secrets."""

from __future__ import annotations

import asyncio
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
BY_KEY = "Press 1 for yes, or 2 for no."
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
        f"I have 4 8 1, 1 6. Is that right? {BY_KEY}",
        AGAIN,
        f"I have 4 8 1, 1 5. Is that right? {BY_KEY}",
        "Fine.",
    ]
    assert outcome(phone) == "order 48115"


def test_it_is_confirmed_by_keys_which_the_prompt_names():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "48116")
        await phone.wait(6000)
        await keys(phone, "2")
        await phone.wait(6000)
        await keys(phone, "48115")
        await phone.wait(6000)
        await keys(phone, "7")
        await phone.wait(9000)
        await keys(phone, "1")

    phone = collect(script, "Fine.", length=5, confirm=True)
    right = f"I have 4 8 1, 1 5. Is that right? {BY_KEY}"
    wrong = f"I have 4 8 1, 1 6. Is that right? {BY_KEY}"
    assert said(phone) == [PROMPT, wrong, AGAIN, right, AGAIN.replace(PROMPT, right), "Fine."]
    assert outcome(phone) == "order 48115"


def test_what_was_said_is_read_back_without_keys():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await phone.speak(600, 5000)
        await phone.speak(600, 1000)

    phone = collect(script, "Fine.", stt=("four eight one one five", "yes"), length=5, confirm=True)
    assert said(phone)[1] == "I have 4 8 1, 1 5. Is that right?"


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


@pytest.mark.parametrize("words", ["forty seven eleven", "my birthday is my code"])
def test_a_secret_is_nowhere_however_it_is_said(words):
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await phone.speak(600, 6000)
        await phone.speak(600, 4000)

    takes = ModelTurn((ToolCall("c2", "take_digits", '{"digits": "4711"}'),))
    first = ModelTurn((ToolCall("c1", "status", "{}"),))
    llm = FakeLLM(first, *([] if words.startswith("forty") else [takes]), "Fine.", "Anything else?")
    phone = collect(script, stt=(words, "no"), llm=llm, length=4, secret=True)
    assert phone.one(TaskCompleted).result == "••••"
    told = str([event.to_dict() for event in phone.events])
    assert not any(word in told for word in ("4711", "forty", "birthday"))
    kept = [each for each in llm.requests[-1].messages if not (each.role == "tool" and each.text == "order 4711")]
    assert words not in str(kept) and "4711" not in str(kept), "no later request to the model has it"


def test_the_shortest_secret_and_what_is_said_while_it_is_confirmed():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "47")
        await phone.wait(4000)
        await keys(phone, "9")
        await phone.speak(600, 6000)
        await phone.speak(600, 4000)

    phone = collect(
        script, "I do not know.", "Fine.", stt=("is it one two", "yes"), length=2, secret=True, confirm=True
    )
    assert {digit.digit for digit in phone.of(DigitReceived)} == {"•"}
    assert [task.result for task in phone.of(TaskCompleted)] == ["True", "••"]
    assert [message.text for message in phone.of(UserMessage)][1:] == ["••", "•", "• • • •", "•"]
    paused, resumed = phone.one(RecordingPaused), phone.one(RecordingResumed)
    assert (paused.reason, resumed.at) == ("secret", phone.of(TaskCompleted)[-1].at)


def test_a_persona_s_own_pause_lasts_beyond_a_secret():
    class Careful(Desk):
        async def on_enter(self, ctx: RunContext) -> None:
            ctx.session.pause_recording()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3600)
        await keys(phone, "4711")
        await phone.wait(1000)
        assert phone.session.recording_paused

    llm = FakeLLM(ModelTurn((ToolCall("c1", "status", "{}"),)), "Fine.")
    phone = call(script, Careful(length=4, secret=True), llm=llm, stt=FakeSTT("where is my order"))
    assert phone.one(RecordingPaused).reason == "asked" and not phone.of(RecordingResumed)


@pytest.mark.parametrize(
    ("pressed", "said_digits", "ended"),
    [
        ("48115", "", "full"),
        ("123#", "", "terminator"),
        ("123", "", "timeout"),
        ("", "four eight one one five", "spoken"),
    ],
)
def test_it_says_how_it_ended(pressed, said_digits, ended):
    task = CollectDigits(PROMPT, least=2, most=5)

    class Asks(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            await task

    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, pressed)
        if said_digits:
            await phone.speak(600)
        await phone.wait(5000)

    call(script, Asks(), stt=FakeSTT(said_digits))
    assert task.ended == ended


def test_a_terminator_alone_is_no_number_but_one_after_all_digits_is_only_late():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "#")
        await phone.wait(6000)
        await keys(phone, "48116#")
        await phone.wait(8000)
        await keys(phone, "48115#")

    phone = collect(script, "Fine.", length=5, valid=lambda digits: digits != "48116")
    assert said(phone) == [PROMPT, AGAIN, AGAIN, "Fine."]
    assert outcome(phone) == "order 48115"


def test_programs_outside_ask_through_the_session():
    results: list[object] = []

    async def asks(phone: Phone, **options: Any) -> None:
        try:
            results.append(await phone.session.ask(CollectDigits(PROMPT, **options)))
        except Exception as error:  # noqa: BLE001
            results.append(type(error).__name__)

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        first = asyncio.create_task(asks(phone, length=5))
        await phone.wait(4000)
        await asks(phone, length=5)
        await keys(phone, "48115")
        await first
        last = asyncio.create_task(asks(phone, length=5))
        await phone.wait(500)
        await phone.session.aclose()
        await last

    phone = call(script, Agent(greeting="Hello."), llm=FakeLLM())
    assert results == ["SessionMisuse", "48115", "TaskAbandoned"]
    assert said(phone)[:2] == ["Hello.", PROMPT]
    assert [task.outcome for task in phone.of(TaskCompleted)] == ["completed", "cancelled"]


def test_a_long_secret_is_confirmed_by_its_end():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await keys(phone, "4111111111111234")
        await phone.wait(6000)
        await phone.speak(600, 4000)

    phone = collect(script, "Fine.", stt=("yes",), length=16, secret=True, confirm=True)
    assert said(phone)[1] == f"I have a number that ends in 1 2 3 4. Is that right? {BY_KEY}"
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
        ("", "I want billing please", "billing"),
        ("", "i would like to buy something", "sales"),
        ("", "not billing, i would like to buy something", "sales"),
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


@pytest.mark.parametrize(("again", "spoken"), [("9", ""), ("", "Again, please."), ("", "Say that again")])
def test_a_menu_is_said_again_as_often_as_asked(again, spoken):
    class Repeats(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            ctx.session.say(f"to {await Menu({'1': 'sales'}, 'Sales?', repeat='9', retries=0)}")

    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        for _ in range(2):
            if again:
                phone.session.on_digit(again, phone.now)
            else:
                await phone.speak(600)
            await phone.wait(5000)
        await keys(phone, "1")
        await phone.wait(2000)

    phone = call(script, Repeats(), stt=FakeSTT(spoken, spoken))
    assert said(phone) == ["Sales?"] * 3 + ["to sales"]


def test_a_menu_gives_up_after_silence_and_wrong_keys():
    class Gives(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            try:
                await Menu({"1": "sales"}, "Sales?", retries=1, retry_prompt="Press 1.")
            except Exception as error:  # noqa: BLE001
                ctx.session.say(str(error))

    async def script(phone: Phone) -> None:
        await phone.wait(10_000)
        await keys(phone, "7")
        await phone.wait(3000)

    phone = call(script, Gives())
    assert said(phone) == ["Sales?", "Press 1.", 'the caller gave no answer that fits to "Sales?"']


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
    with pytest.raises(ValueError):
        Menu({"1": "a"}, "Which?", repeat="1")


def test_the_wait_for_a_first_digit():
    wait = FirstDigit(limit_ms=7000)
    assert wait.deadline is None and wait.tick(100.0) == ()
    wait.quiet(1.0)
    assert wait.deadline == 8.0 and wait.tick(7.9) == ()
    wait.busy()
    assert wait.tick(9.0) == ()
    wait.quiet(10.0)
    assert wait.tick(17.0) == (Nothing(),) and wait.tick(18.0) == ()
