"""The question decides how long a silence may be, and so do the caller's own pauses if `dynamic`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phone import Phone, call

from agent import Agent, Expected, RunContext, function_tool
from agent.events import UserMessage, UserTurnEnded
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn
from agent.tasks import CollectDigits, Confirm
from agent.turns.endpointing import Endpointing, EndpointingSettings, TurnDecided
from agent.turns.expected import completeness
from agent.turns.rhythm import Rhythm
from agent.turns.signals import EndOfTurn, Final, SpeechEnded, SpeechStarted

SIX = Expected("digits", least=6, most=6)
DRINK = Expected("choice", choices=("tea", "black coffee"))


@pytest.mark.parametrize(
    ("expected", "text", "language", "found"),
    [
        (SIX, "two nine three four oh one", "en", "complete"),
        (SIX, "293 401", "de", "complete"),
        (SIX, "my number is two nine three four", "en", "incomplete"),
        (SIX, "two nine double", "en", "incomplete"),
        (SIX, "I don't have it", "en", "open"),
        (SIX, "my number is", "en", "incomplete"),
        (Expected("digits", least=4, most=8), "one two three four", "en", "open"),
        (Expected("phone"), "four one five five five five", "en", "incomplete"),
        (Expected("phone"), "four one five five five five two six seven one", "en", "complete"),
        (Expected("phone"), "one four one five five five five two six seven", "en", "incomplete"),
        (Expected("phone"), "0171 23 45", "de", "open"),
        (Expected("phone"), "0171 23", "de", "incomplete"),
        (Expected("yes_no"), "yes please", "en", "complete"),
        (Expected("yes_no"), "nein", "de", "complete"),
        (Expected("yes_no"), "yes but", "en", "incomplete"),
        (Expected("yes_no"), "well it depends on the price", "en", "open"),
        (Expected("date"), "next tuesday", "en", "complete"),
        (Expected("date"), "march the third", "en", "complete"),
        (Expected("date"), "March 3rd", "en", "complete"),
        (Expected("date"), "3/12", "en", "complete"),
        (Expected("date"), "in march", "en", "incomplete"),
        (Expected("date"), "the", "en", "incomplete"),
        (Expected("name"), "my name is", "en", "incomplete"),
        (Expected("name"), "my name is Ann", "en", "open"),
        (Expected("name"), "Ann Miller", "en", "complete"),
        (DRINK, "a black coffee please", "en", "complete"),
        (DRINK, "black", "en", "open"),
        (DRINK, "I would like a", "en", "incomplete"),
        (Expected("free"), "I wanted to ask about my bill and", "en", "incomplete"),
        (Expected("free"), "Ich hätte gern einen Tisch und", "de-DE", "incomplete"),
        (Expected("free"), "I wanted to ask about my bill", "en", "open"),
        (Expected("free"), "", "en", "open"),
    ],
)
def test_completeness(expected, text, language, found):
    assert completeness(expected, text, language) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "colour"},
        {"kind": "digits", "least": 5, "most": 4},
        {"kind": "choice"},
        {"kind": "name", "choices": ("a",)},
    ],
)
def test_contradictions_are_refused(wrong):
    with pytest.raises(ValueError, match=r"an answer is one of|cannot be expected|choices are given"):
        Expected(**wrong)


def decided(expected: Expected | None, text: str, *, p: float | None = None, heard_at: float = 2.25) -> TurnDecided:
    """Speech from 1.0 to 2.0 whose words are known at `heard_at`."""
    machine = Endpointing(EndpointingSettings())
    machine.expect(expected, "en")
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.1))
    machine.tick(2.16)
    if p is not None:
        machine.heard(EndOfTurn(p, 2.2, eager=True))
    actions = machine.heard(Final(text, heard_at))
    while not actions:
        assert machine.deadline is not None
        actions = machine.tick(machine.deadline)
    [turn] = actions
    assert isinstance(turn, TurnDecided)
    return turn


def test_a_complete_answer_is_taken_sooner_and_an_incomplete_one_later():
    assert decided(SIX, "two nine three four oh one") == TurnDecided(
        2.3, 1.0, 2.0, "silence", "300 ms of silence, the answer (digits) is complete"
    )
    late = decided(SIX, "two nine three four oh one", heard_at=2.4)
    assert late.at == 2.4
    unfinished = decided(SIX, "two nine three")
    assert unfinished.at == pytest.approx(5.0)
    assert unfinished.why == "3000 ms of silence, the answer (digits) is incomplete"
    assert decided(SIX, "I don't know").at == pytest.approx(2.55)
    assert decided(None, "two nine three").at == pytest.approx(2.55)


def test_what_was_asked_comes_before_a_likelihood():
    assert decided(SIX, "two nine three", p=0.99).at == pytest.approx(5.0)
    assert decided(SIX, "I don't know", p=0.99).at == pytest.approx(2.3)


def test_who_goes_on_is_judged_anew():
    machine = Endpointing(EndpointingSettings())
    machine.expect(SIX, "en")
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.1))
    machine.tick(2.16)
    machine.heard(Final("two nine three", 2.3))
    machine.heard(SpeechStarted(3.5, 3.55))
    machine.heard(SpeechEnded(4.0, 4.1))
    machine.tick(4.16)
    assert machine.deadline == pytest.approx(4.55)  # until the words are there
    machine.heard(Final("two nine three four oh one", 4.2))
    assert machine.deadline == pytest.approx(4.3)


# --- in a call ------------------------------------------------------------------------------------------------------


def delays(phone: Phone) -> list[int]:
    return [round((turn.at - turn.speech_ended_at) * 1000, -1) for turn in phone.of(UserTurnEnded)]


def test_a_persona_s_number_is_not_over_in_the_middle():
    class Clerk(Agent):
        expects = SIX

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(900, 1200)  # a pause that would have ended the turn
        await phone.speak(900, 2000)

    phone = call(script, Clerk(), stt=FakeSTT("two nine three", "four oh one"), llm=FakeLLM("Thanks."))
    assert phone.one(UserMessage).text == "two nine three four oh one"
    assert delays(phone) == [300]


def test_a_tool_says_what_it_has_asked():
    class Clerk(Agent):
        @function_tool(timeout_s=None)
        async def ask(self, ctx: RunContext) -> str:
            """Ask for the drink."""
            ctx.session.say("Tea or coffee?")
            return await ctx.session.next_message(expect=DRINK)

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 2500)
        await phone.speak(700, 2500)
        await phone.speak(700, 2500)

    llm = FakeLLM(ModelTurn((ToolCall("c1", "ask", "{}"),)), "Coming.", "Right.")
    phone = call(script, Clerk(), stt=FakeSTT("a drink", "tea please", "tea please"), llm=llm)
    assert delays(phone) == [550, 300, 550]  # afterwards nothing is expected


def test_a_question_of_yes_or_no_is_answered_at_once():
    class Clerk(Agent):
        @function_tool(timeout_s=None)
        async def ask(self, ctx: RunContext) -> str:
            """Ask."""
            return "yes" if await Confirm("Shall I?") else "no"

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 2500)
        await phone.speak(400, 2500)

    llm = FakeLLM(ModelTurn((ToolCall("c1", "ask", "{}"),)), "Done.")
    phone = call(script, Clerk(), stt=FakeSTT("do it", "yes"), llm=llm)
    assert delays(phone) == [550, 300]


def test_a_number_that_is_collected_is_not_cut_in_the_middle():
    class Clerk(Agent):
        @function_tool(timeout_s=None)
        async def ask(self, ctx: RunContext) -> str:
            """Ask."""
            numbers.append(await CollectDigits("Your number?", length=6))
            return "taken"

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 2500)
        await phone.speak(900, 1500)
        await phone.speak(900, 2000)

    numbers: list[str] = []
    llm = FakeLLM(ModelTurn((ToolCall("c1", "ask", "{}"),)), "Done.")
    phone = call(script, Clerk(), stt=FakeSTT("do it", "two nine three", "four oh one"), llm=llm)
    assert numbers == ["293401"]
    assert delays(phone) == [550, 300]
    assert len(phone.of(UserMessage)) == 2


# --- rhythm ---------------------------------------------------------------------------------------------------------


def rhythm() -> Rhythm:
    return Rhythm(start_ms=550, least_ms=300, most_ms=3000)


def test_a_caller_who_pauses_long_is_given_longer():
    known = rhythm()
    assert known.delay_ms == 550
    for _ in range(8):
        known.paused(900)
    assert 900 < known.delay_ms < 1200
    for _ in range(12):
        known.paused(150)
    assert known.delay_ms < 400


@given(st.lists(st.floats(0, 100_000, allow_nan=False), min_size=1, max_size=50))
def test_it_stays_within_its_bounds(pauses):
    known = rhythm()
    for ms in pauses:
        known.paused(ms)
        assert 300 <= known.delay_ms <= 3000


def test_alpha_is_a_weight():
    with pytest.raises(ValueError, match="alpha"):
        Rhythm(start_ms=550, least_ms=300, most_ms=3000, alpha=1.0)


def paused_by(ms: float, **options: Any) -> list[int]:
    """The delays of three turns of a caller who pauses this long within each."""

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        for _ in range(4):
            await phone.speak(600, ms)
            await phone.speak(600, 3500)

    phone = call(script, llm=FakeLLM("A.", "B.", "C.", "D."), away_ms=None, **options)
    return delays(phone)


def test_the_delay_follows_the_caller_s_pauses_where_that_is_wanted():
    assert set(paused_by(200)) == {550}
    follows = paused_by(200, endpointing="dynamic")
    assert follows[0] < 550
    assert follows[-1] <= follows[0]
    assert all(delay >= 300 for delay in follows)


def test_a_turn_that_was_decided_too_early_lengthens_the_next():
    cut = paused_by(800, endpointing="dynamic")
    assert cut[0] == 550
    assert cut[-1] > 800
