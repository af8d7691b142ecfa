"""Secretly keyed digits reach the persona, and nobody else."""

from __future__ import annotations

import json

from agent import Agent, DigitEntry, RunContext, function_tool
from agent.events import (
    DigitReceived,
    FunctionCall,
    FunctionCallOutput,
    RecordingPaused,
    RecordingResumed,
    SessionEvent,
    UserMessage,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, ModelTurn
from agent.worker.resumption import snapshot_of
from tests.unit.agent.phone import Phone, call

CARD = "4929123456781234"


class Cashier(Agent):
    """You take payments."""

    digits = DigitEntry(length=16, secret=True)

    def __init__(self) -> None:
        super().__init__()
        self.keys = ""
        self.paid = ""

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        self.keys += digit

    @function_tool
    async def pay(self, ctx: RunContext, card: str) -> str:
        """Pay."""
        self.paid = card
        raise ValueError(f"no such card: {card}")


class Undeclared(Cashier):
    digits = DigitEntry(length=16)


def paying() -> FakeLLM:
    return FakeLLM(
        ModelTurn((ToolCall("call_1", "pay", json.dumps({"card": CARD})),)),
        "I can't pay with four nine two nine, one two three four, five six seven eight, one two three four.",
    )


async def key(phone: Phone, keys: str, gap_ms: float = 200) -> None:
    for one in keys:
        phone.session.on_digit(one, phone.now)
        await phone.wait(gap_ms)


def pays(persona: Cashier, **options: object) -> tuple[Phone, FakeLLM, dict[str, object]]:
    llm = paying()
    snapshots: list[dict[str, object]] = []

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await key(phone, CARD)
        await phone.wait(8000)
        snapshots.append(snapshot_of(phone.session))

    return call(script, persona, llm=llm, **options), llm, snapshots[0]


def shown(events: list[SessionEvent]) -> str:
    return str([event.to_dict() for event in events])


def test_the_persona_gets_it_and_events_and_snapshots_do_not():
    for persona in (Cashier(), Undeclared()):
        phone, llm, snapshot = pays(persona)
        assert (persona.keys, persona.paid) == (CARD, CARD)
        assert any(CARD in message.text for message in llm.requests[0].messages)
        assert [event.digit for event in phone.of(DigitReceived)] == ["•"] * 16
        assert phone.one(UserMessage).text == "•" * 16
        assert phone.one(FunctionCall).arguments == {"card": "•" * 16}
        assert CARD not in phone.one(FunctionCallOutput).output
        for told in (shown(phone.events), json.dumps(snapshot, ensure_ascii=False)):
            assert CARD not in told and CARD[:5] not in told and "five six seven" not in told


def test_tests_of_a_persona_see_what_they_keyed_in():
    unmasked: list[SessionEvent] = []

    async def script(phone: Phone) -> None:
        phone.session.subscribe(unmasked.append, unmasked=True)
        await key(phone, CARD)
        await phone.wait(8000)

    call(script, Cashier(), llm=paying())
    assert [event.text for event in unmasked if isinstance(event, UserMessage)] == [CARD]
    assert [event.arguments for event in unmasked if isinstance(event, FunctionCall)] == [{"card": CARD}]


def test_the_level_is_an_option():
    phone, _, _ = pays(Undeclared(), mask_digits="secret")
    assert phone.one(UserMessage).text == CARD
    assert phone.of(RecordingPaused) == []

    class Menu(Agent):
        digits = DigitEntry(length=1)

    async def script(phone: Phone) -> None:
        await key(phone, "5")
        await phone.wait(1000)

    phone = call(script, Menu(), mask_digits="all")
    assert (phone.one(UserMessage).text, phone.one(DigitReceived).digit) == ("•", "•")


def test_the_recording_is_paused_from_the_first_key_to_the_last():
    phone, _, _ = pays(Cashier())
    keys = phone.of(DigitReceived)
    paused, resumed = phone.one(RecordingPaused), phone.one(RecordingResumed)
    assert (paused.at, paused.reason, resumed.at) == (keys[0].at, "secret", keys[-1].at)


def test_an_entry_that_is_given_up_or_left_ends_the_pause():
    class Next(Agent):
        digits = None

    class Asks(Cashier):
        digits = DigitEntry(length=4, secret=True, inter_digit_timeout_ms=2000)

        @function_tool
        async def go_on(self) -> Agent:
            """Hand over."""
            return Next()

    async def times_out(phone: Phone) -> None:
        await key(phone, "12")
        await phone.wait(3000)

    phone = call(times_out, Asks())
    assert phone.one(RecordingResumed).at - phone.of(DigitReceived)[-1].at == 2.0
    assert phone.one(UserMessage).text == "••"


def test_the_persona_can_pause_by_itself_and_both_reasons_count():
    class Careful(Cashier):
        async def on_enter(self, ctx: RunContext) -> None:
            await ctx.call.pause_recording()
            await ctx.call.pause_recording()

    async def script(phone: Phone) -> None:
        await key(phone, CARD)
        await phone.wait(2000)
        assert snapshot_of(phone.session)["recording_paused"] is True
        phone.session.resume_recording()
        phone.session.resume_recording()
        await phone.wait(100)

    phone = call(script, Careful())
    assert phone.one(RecordingPaused).reason == "asked"
    assert phone.one(RecordingResumed).at > phone.of(DigitReceived)[-1].at + 2
