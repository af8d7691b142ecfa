from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from agent.providers.base import ChatMessage, LLMEvent, ProviderBadRequest, TextDelta, ToolCall, ToolSpec
from agent.providers.rules import RulesLLM
from agent.rules import Intent, Rules, Slot

RULES = Rules(
    intents=(
        Intent(
            "status",
            ("where is my order", "order status", "my order number is {number}"),
            slots=("number",),
            tool="order_status",
            reply="Order {number} is {result}.",
            on_error="I can't see orders just now.",
        ),
        Intent(
            "book",
            ("(book|make) an appointment [on] [{day}] [{part}]", "see the doctor"),
            slots=("day", "part"),
            confirm="{day} {part}, is that right?",
            tool="book",
        ),
        Intent("hours", ("what are your opening hours", "when are you open"), reply="We are open from nine to five."),
        Intent("bye", ("goodbye", "bye"), tool="end_call", reply="Thank you for calling, goodbye!"),
    ),
    slots={
        "number": Slot("What is your order number?", digits=(5, 5), retry="I need the five digits, please."),
        "day": Slot("Which day?", {"monday": "2026-11-23", "tuesday": "2026-11-24"}),
        "part": Slot("Morning or afternoon?", {"morning": "am", "afternoon": "pm", "after lunch": "pm"}),
    },
)
TOOLS = (
    ToolSpec("order_status", "", {"type": "object", "properties": {"number": {"type": "string"}}}),
    ToolSpec("book", "", {"type": "object"}),
    ToolSpec("end_call", "", {"type": "object"}),
)


class Talk:
    """A conversation with the rules, as a session would hold it."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.llm = RulesLLM().for_persona(
            SimpleNamespace(rules=rules, language="en", canned={"tool_failed": "Canned."})
        )  # type: ignore[arg-type]
        self.messages = [ChatMessage("system", "Be kind."), ChatMessage("assistant", "Hello!")]

    async def answer(self) -> str | ToolCall:
        events: list[LLMEvent] = [event async for event in self.llm.chat(self.messages, TOOLS)]
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        calls = tuple(event for event in events if isinstance(event, ToolCall))
        self.messages.append(ChatMessage("assistant", text, tool_calls=calls))
        self.last_text = text
        return calls[0] if calls else text

    async def say(self, text: str) -> str | ToolCall:
        self.messages.append(ChatMessage("user", text))
        return await self.answer()

    async def tool_says(self, text: str, *, is_error: bool = False) -> str | ToolCall:
        call = self.messages[-1].tool_calls[0]
        self.messages.append(ChatMessage("tool", text, tool_call_id=call.call_id, name=call.name, is_error=is_error))
        return await self.answer()


@pytest.mark.parametrize("number", ["two nine three four oh", "29340", "it's two nine three, four zero", "29340#"])
async def test_asks_for_the_slot_then_calls_the_tool_then_tells(number: str) -> None:
    talk = Talk()
    assert await talk.say("Hello, where's my order?") == "What is your order number?"
    call = await talk.say(number)
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments)) == ("order_status", {"number": "29340"})
    assert await talk.tool_says("on its way") == "Order 2 9 3 4 0 is on its way."


async def test_a_slot_in_the_same_sentence_is_not_asked_for() -> None:
    call = await Talk().say("my order number is double five one oh two")
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"number": "55102"}


async def test_a_value_that_does_not_fit_is_asked_for_again_and_pieces_are_joined() -> None:
    talk = Talk()
    await talk.say("order status")
    assert await talk.say("two nine three") == "I need the five digits, please."
    call = await talk.say("four oh")
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"number": "29340"}


async def test_a_failed_tool_is_told_in_the_rule_s_words_or_the_persona_s() -> None:
    talk = Talk()
    await talk.say("order status")
    await talk.say("12345")
    assert await talk.tool_says("boom", is_error=True) == "I can't see orders just now."
    await talk.say("book an appointment monday morning")
    await talk.say("yes")
    assert await talk.tool_says("boom", is_error=True) == "Canned."


async def test_confirm_yes() -> None:
    talk = Talk()
    assert await talk.say("I want to book an appointment on Tuesday") == "Morning or afternoon?"
    assert await talk.say("after lunch, please") == "tuesday afternoon, is that right?"
    assert await talk.say("hm what") == "tuesday afternoon, is that right?"
    call = await talk.say("Yes, please.")
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"day": "2026-11-24", "part": "pm"}
    assert await talk.tool_says("Booked.") == "Booked."


@pytest.mark.parametrize("no", ["no", "no that's wrong", "that is not right", "nope"])
async def test_confirm_no_drops_it(no: str) -> None:
    talk = Talk()
    await talk.say("make an appointment monday morning")
    assert await talk.say(no) == RULES.dropped
    assert await talk.say("yes") == RULES.fallback


async def test_the_subject_may_be_changed_while_something_is_asked() -> None:
    talk = Talk()
    await talk.say("where is my order")
    assert await talk.say("actually when are you open") == "We are open from nine to five."


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("your opening hours, what are they?", "We are open from nine to five."),
        ("the order's status", "What is your order number?"),
        ("i would like to know where the order is", "What is your order number?"),
        ("the weather is terrible", RULES.fallback),
        ("what is my name", RULES.fallback),
        ("Hello?", RULES.hello),
        ("hi there, good morning", RULES.hello),
    ],
)
async def test_understanding_is_tolerant_but_not_gullible(said: str, answer: str) -> None:
    assert await Talk().say(said) == answer


async def test_goodbye_says_the_farewell_and_ends_the_call() -> None:
    talk = Talk()
    call = await talk.say("okay bye now")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments, talk.last_text) == ("end_call", "{}", "Thank you for calling, goodbye!")


async def test_an_interrupted_or_repeated_reply_changes_nothing() -> None:
    talk = Talk()
    await talk.say("where is my order")
    talk.messages[-1] = ChatMessage("assistant", "What is", interrupted=True)
    again = [event async for event in talk.llm.chat(talk.messages[:-1], TOOLS)]
    assert "".join(e.text for e in again if isinstance(e, TextDelta)) == "What is your order number?"
    assert isinstance(await talk.say("29340"), ToolCall)


async def test_words_said_while_a_tool_runs_are_a_new_turn() -> None:
    talk = Talk()
    await talk.say("my order number is 29340")
    assert await talk.say("when are you open") == "We are open from nine to five."


async def test_what_another_persona_was_told_is_not_for_these_rules() -> None:
    talk = Talk()
    talk.messages += [ChatMessage("user", "where is my order"), ChatMessage("assistant", "Transferring you.")]
    assert await talk.say("29340") == RULES.fallback
    assert await talk.say("order status") == "What is your order number?"


async def test_two_utterances_before_the_first_answer_belong_together() -> None:
    talk = Talk()
    talk.messages.append(ChatMessage("user", "where is my order"))
    assert isinstance(await talk.say("29340"), ToolCall)


async def test_conversations_do_not_share_state() -> None:
    llm = RulesLLM()
    persona = SimpleNamespace(rules=RULES, language="en", canned={})
    assert llm.for_persona(persona) is not llm.for_persona(persona)  # type: ignore[arg-type]


async def test_numbers_are_numbers_where_the_tool_wants_them() -> None:
    talk = Talk()
    talk.messages.append(ChatMessage("user", "my order number is 29340"))
    tools = [ToolSpec("order_status", "", {"properties": {"number": {"type": "integer"}}})]
    (event,) = [event async for event in talk.llm.chat(talk.messages, tools)]
    assert isinstance(event, ToolCall)
    assert json.loads(event.arguments) == {"number": 29340}


async def test_a_tool_that_the_persona_lacks_is_named() -> None:
    talk = Talk()
    talk.messages.append(ChatMessage("user", "my order number is 29340"))
    with pytest.raises(ProviderBadRequest, match="order_status"):
        _ = [event async for event in talk.llm.chat(talk.messages, [])]


def test_rules_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="either values or digits"):
        Slot("?")
    with pytest.raises(ValueError, match="color"):
        Rules((Intent("x", ("x",), slots=("color",)),))


def test_expectations_hold_bare_answers() -> None:
    expectations = RULES.expectations()
    assert {"{number}", "{day}", "{part}", "yeah"} <= set(expectations.phrases)
    assert expectations.digits == {"number": (5, 5)}
    assert "number" not in expectations.slots


@pytest.mark.parametrize(
    ("heard", "remark", "answer"),
    [
        ("", "okay", "Order 1 2 3 4 5 is ready."),
        ("", "gibberish", "Order 1 2 3 4 5 is ready."),
        ("", "when are you open", "Order 1 2 3 4 5 is ready. We are open from nine to five."),
        ("Order 1 2 3 4 5 is ready.", "when are you open", "We are open from nine to five."),
        ("Order 1 2", "when are you open", "We are open from nine to five."),
        ("Order 1 2 3 4 5 is ready.", "gibberish", RULES.fallback),
    ],
)
async def test_a_remark_while_a_function_runs_does_not_lose_its_outcome(heard, remark, answer):
    """The session puts the outcome before the remark, with the heard part of the answer between them."""
    talk = Talk()
    call = await talk.say("my order number is one two three four five")
    assert isinstance(call, ToolCall)
    talk.messages.append(ChatMessage("tool", "ready", tool_call_id=call.call_id, name=call.name))
    if heard:
        talk.messages.append(ChatMessage("assistant", heard, interrupted=True))
    assert await talk.say(remark) == answer


async def test_an_answer_that_was_not_heard_is_given_when_the_caller_only_says_okay():
    talk = Talk()
    talk.messages.append(ChatMessage("user", "when are you open"))
    assert await talk.say("okay") == "We are open from nine to five."
